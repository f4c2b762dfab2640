import { TENANT_ID } from "../aip/name.ts";
import { invalidField } from "../errors.ts";

/** What a flagd selector says here: in the place of a set of flags, who asks and for whom. */
export interface Selector {
  readonly tenantId: string | undefined;
  /** An API key or a token: a secret. */
  readonly credential: string | undefined;
}

const NOTHING: Selector = { tenantId: undefined, credential: undefined };
/** As flagd has it: which set of flags, or where it comes from. A bare value is the latter. */
const KEYS = ["flagSetId", "source"];

/**
 * Reads `[flagSetId=]` and then a tenant, a key, or `{tenant}:{key}`. Throws INVALID_FIELDS, which repeats nothing of the
 * selector: it may hold a secret.
 */
export function parseSelector(text: string): Selector {
  const at = text.indexOf("=");
  if (at >= 0 && !KEYS.includes(text.slice(0, at)))
    throw invalidField("selector", `must begin with ${KEYS.join("= or ")}=`);
  const value = text.slice(at + 1);
  if (value === "") return NOTHING;
  if (isCredential(value)) return { tenantId: undefined, credential: value };
  const [tenant = "", ...after] = value.split(":");
  const credential = after.join(":") || undefined;
  return { tenantId: parseTenant(tenant, "selector"), credential };
}

/** Reads "acme" or "tenants/acme". Throws INVALID_FIELDS. */
export function parseTenant(text: string, field: string): string {
  const tenantId = text.startsWith("tenants/") ? text.slice("tenants/".length) : text;
  if (!TENANT_ID.test(tenantId)) throw invalidField(field, "must name a tenant");
  return tenantId;
}

/** The tenant that a virtual host such as "acme.flags.example.com" names; undefined of one that names none. */
export function tenantOfHost(host: string): string | undefined {
  const [first = "", ...others] = host.replace(/:\d*$/, "").toLowerCase().split(".");
  const isAddress = others.length === 3 && [first, ...others].every((part) => /^\d+$/.test(part));
  return others.length > 0 && !isAddress && TENANT_ID.test(first) ? first : undefined;
}

// An API key, or three parts of a JWT.
function isCredential(text: string): boolean {
  return text.startsWith("tpk_") || /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text);
}
