import type { MembershipPatch, TenantFacts, TenantOverride } from "@tenantplane/sdk/evaluate";
import type { Document, DocumentId } from "@tenantplane/sdk/replica";
import type { Plan } from "../plan/plan.ts";
import type { SettingValue } from "../setting-value.ts";
import type { Tenant } from "../tenant/tenant.ts";
import type { Flag, Group, Override, Segment } from "./flag.ts";

/*
 * What evaluators are told of the server's resources. A document's JSON is the same on every node, since all that goes
 * into it comes out of Postgres, which orders the names in an object its own way.
 */

/** A flag as evaluators need it. */
export function flagDocument({ definition }: Flag): Document {
  return { kind: "flag", key: definition.key, json: JSON.stringify(definition) };
}

/** A segment as evaluators need it. */
export function segmentDocument({ definition }: Segment): Document {
  return { kind: "segment", key: definition.key, json: JSON.stringify(definition) };
}

/** A group as evaluators need it. */
export function groupDocument({ definition }: Group): Document {
  return { kind: "group", key: definition.key, json: JSON.stringify(definition) };
}

/** An override as evaluators need it. */
export function overrideDocument(override: Override): Document {
  const { tenantId: tenant, flagKey: flag, serve } = override;
  const definition: TenantOverride = { tenant, flag, serve };
  return { ...overrideId(override), json: JSON.stringify(definition) };
}

/** Names the document of an override. */
export function overrideId({ tenantId, flagKey }: Pick<Override, "tenantId" | "flagKey">): DocumentId {
  return { kind: "override", key: `${tenantId}/${flagKey}` };
}

/** What evaluators need to know of a tenant, with the entitlements of its plan. */
export function tenantDocument(tenant: Tenant, entitlements: Entitlements): Document {
  const { tenantId, state, planId, planVersion, integratorId, labels } = tenant;
  const facts: TenantFacts = {
    id: tenantId,
    state,
    plan: planId,
    ...(integratorId === null ? {} : { integrator: integratorId }),
    labels,
    entitlements: entitlements.get(planKey({ planId, version: planVersion })) ?? {},
  };
  return { kind: "tenant", key: tenantId, json: JSON.stringify(facts) };
}

/** What tenants are entitled to, by their plans' `planKey`. */
export type Entitlements = ReadonlyMap<string, NonNullable<TenantFacts["entitlements"]>>;

/** Names a version of a plan, which never changes. */
export function planKey({ planId, version }: Pick<Plan, "planId" | "version">): string {
  return `${planId}@${version}`;
}

/** What a plan entitles to, as evaluators need it. */
export function entitlementsOf(plan: Pick<Plan, "entitlements">): NonNullable<TenantFacts["entitlements"]> {
  return Object.fromEntries(Object.entries(plan.entitlements).map(([name, value]) => [name, plainValue(value)]));
}

/** Members of segments as patches of at most so many keys: a list of a hundred thousand is sent in several messages. */
export function membershipPatches(
  members: Iterable<{ readonly segment: string; readonly key: string; readonly excluded: boolean }>,
): MembershipPatch[] {
  const patches: { segment: string; include: string[]; exclude: string[] }[] = [];
  const open = new Map<string, (typeof patches)[number]>();
  for (const { segment, key, excluded } of members) {
    let patch = open.get(segment);
    if (!patch || patch.include.length + patch.exclude.length >= PATCH_KEYS) {
      patch = { segment, include: [], exclude: [] };
      open.set(segment, patch);
      patches.push(patch);
    }
    (excluded ? patch.exclude : patch.include).push(key);
  }
  return patches;
}

/** With the longest keys, half of what a message may have. */
const PATCH_KEYS = 2_000;

function plainValue(setting: SettingValue): boolean | number | string {
  return setting.type === "int" ? Number(setting.value) : setting.value;
}
