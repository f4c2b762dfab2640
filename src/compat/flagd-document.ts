import type { Lowered, TenantFacts } from "@tenantplane/sdk/evaluate";

/** What a provider that evaluates in process is given. */
export interface ProviderDocument {
  readonly flags: Lowered["document"]["flags"];
  readonly metadata: Readonly<Record<string, boolean | number | string>>;
}

/**
 * A tenant's flags as flagd's providers take them. One flag that they can't read would cost them all others, so each is
 * looked at by itself. The metadata says whose flags these are: without it, providers put there their selector, which may
 * hold a key.
 */
export function providerDocument({ document }: Lowered, tenantId: string): ProviderDocument {
  const flags = Object.entries(document.flags).filter(([key, flag]) => isReadable(key, flag));
  return { flags: Object.fromEntries(flags), metadata: { ...document.metadata, scope: tenantId } };
}

type ProviderFlag = Lowered["document"]["flags"][string];

// What providers check before they take a document.
function isReadable(key: string, { state, variants, defaultVariant, targeting }: ProviderFlag): boolean {
  const values = Object.values(variants);
  const kinds = new Set(values.map((value) => (Array.isArray(value) ? "list" : typeof value)));
  const [kind] = kinds;
  return (
    key !== "" &&
    (state === "ENABLED" || state === "DISABLED") &&
    kinds.size === 1 &&
    ["boolean", "string", "number", "object"].includes(kind ?? "") &&
    (defaultVariant === undefined || Object.hasOwn(variants, defaultVariant)) &&
    (targeting === undefined || (typeof targeting === "object" && targeting !== null && !Array.isArray(targeting)))
  );
}

/**
 * What providers put into every context: the tenant's facts, under the name that no caller's attribute may have. The flags
 * themselves need none of it, since they are made for the tenant.
 */
export function syncContext({ id, state, plan, integrator, labels, entitlements }: TenantFacts) {
  const facts = { id, state, plan, integrator, labels, entitlements };
  return { $tenant: Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) };
}
