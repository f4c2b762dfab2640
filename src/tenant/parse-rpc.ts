import type { CreateTenantRequest, Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkEmail, checkLabels, checkText, RESOURCE_ID, TENANT_ID } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import type { Ids } from "../platform/clock.ts";
import { fromSettings } from "../server/convert.ts";
import type { SuspensionReason } from "./lifecycle.ts";
import type { NewTenant, TenantPatch } from "./service.ts";

/** What a creation asks for. Throws INVALID_FIELDS with every bad field. */
export function parseNewTenant(ids: Ids, request: CreateTenantRequest): NewTenant {
  const { tenant, activate, adminEmail } = request;
  if (!tenant) throw invalidField("tenant", "must be set");
  const problems = new Problems();
  const tenantId = request.tenantId || `t-${ids.uuid().slice(0, 13)}`;
  if (!TENANT_ID.test(tenantId)) problems.add("tenant_id", "must be 4 to 63 of [a-z0-9-], first a letter, last no '-'");
  if (adminEmail !== "") checkEmail(problems, "admin_email", adminEmail);
  const planId = idOf(problems, tenant.plan, "plans", "tenant.plan");
  const integratorId =
    tenant.integrator === "" ? null : idOf(problems, tenant.integrator, "integrators", "tenant.integrator");
  if (tenant.planVersion < 0) problems.add("tenant.plan_version", "must not be negative");
  const fields = checkFields(problems, tenant);
  problems.throwIfAny();
  return { ...fields, tenantId, planId, integratorId, planVersion: tenant.planVersion, activate, adminEmail };
}

type ProtoTenant = NonNullable<CreateTenantRequest["tenant"]>;

function checkFields(problems: Problems, tenant: ProtoTenant) {
  const timeZone = tenant.timeZone || "UTC";
  checkText(problems, "tenant.display_name", tenant.displayName, 1, 63);
  checkLabels(problems, "tenant.labels", tenant.labels);
  if (!/^([a-z0-9-]{1,32})?$/.test(tenant.region)) problems.add("tenant.region", "must be at most 32 of [a-z0-9-]");
  if (!/^[A-Za-z0-9_+/-]{1,64}$/.test(timeZone) || !isTimeZone(timeZone)) {
    problems.add("tenant.time_zone", "must be an IANA time zone, such as Europe/Berlin");
  }
  const settings = fromSettings(problems, "tenant.settings", tenant.settings);
  return { displayName: tenant.displayName, labels: tenant.labels, region: tenant.region, settings, timeZone };
}

const FIELDS = {
  display_name: "writable",
  labels: "writable",
  region: "writable",
  settings: "writable",
  time_zone: "writable",
  plan: "writable",
  plan_version: "writable",
  integrator: "immutable",
  name: "output",
  uid: "output",
  state: "output",
  suspensions: "output",
  epoch: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
  delete_time: "output",
  purge_time: "output",
  legal_holds: "output",
} as const;

/** The fields that an update writes. Throws INVALID_FIELDS with every bad one of them. */
export function patchOf(tenant: ProtoTenant, mask: readonly string[] | undefined): TenantPatch {
  const populated = [
    ...(tenant.displayName ? ["display_name"] : []),
    ...(Object.keys(tenant.labels).length > 0 ? ["labels"] : []),
    ...(tenant.region ? ["region"] : []),
    ...(Object.keys(tenant.settings).length > 0 ? ["settings"] : []),
    ...(tenant.timeZone ? ["time_zone"] : []),
    ...(tenant.plan ? ["plan"] : []),
  ];
  const fields = maskedFields(mask, populated, FIELDS);
  const problems = new Problems();
  const all = checkFields(problems, tenant);
  const planned = fields.has("plan") || fields.has("plan_version");
  const planId = planned ? idOf(problems, tenant.plan, "plans", "tenant.plan") : "";
  checkedFields(fields, problems);
  return {
    ...(fields.has("display_name") ? { displayName: all.displayName } : {}),
    ...(fields.has("labels") ? { labels: all.labels } : {}),
    ...(fields.has("region") ? { region: all.region } : {}),
    ...(fields.has("settings") ? { settings: all.settings } : {}),
    ...(fields.has("time_zone") ? { timeZone: all.timeZone } : {}),
    ...(planned ? { plan: { planId, version: tenant.planVersion } } : {}),
  };
}

function idOf(problems: Problems, name: string, collection: string, field: string): string {
  const id = name.startsWith(`${collection}/`) ? name.slice(collection.length + 1) : "";
  if (!RESOURCE_ID.test(id))
    problems.add(field, `must be a name of the form ${collection}/{${collection.slice(0, -1)}}`);
  return id;
}

/** A hold's id. Throws INVALID_FIELDS. */
export function holdId(id: string): string {
  if (!/^[a-z0-9-]{1,63}$/.test(id)) throw invalidField("hold_id", "must be 1 to 63 of [a-z0-9-]");
  return id;
}

/** A suspension's reason. Throws INVALID_FIELDS when unset. */
export function suspensionReason(reason: Suspension_Reason): SuspensionReason {
  const names = { 1: "BILLING", 2: "POLICY", 3: "SECURITY", 4: "MAINTENANCE", 5: "CUSTOMER" } as const;
  const name = names[reason as keyof typeof names];
  if (!name) throw invalidField("suspension", "must be BILLING, POLICY, SECURITY, MAINTENANCE or CUSTOMER");
  return name;
}

function isTimeZone(name: string): boolean {
  if (timeZones.has(name)) return true;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    // There are some 600, in any case of letters, and asking is slow.
    if (timeZones.size < TIME_ZONES_KEPT) timeZones.add(name);
    return true;
  } catch {
    return false;
  }
}

const timeZones = new Set<string>();
const TIME_ZONES_KEPT = 1_000;
