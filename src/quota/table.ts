import type { ChangeRow } from "../change/store.ts";
import type { MeterKind } from "../limit.ts";
import type { TenantTable } from "../tenant/table.ts";
import type { Tenant } from "../tenant/tenant.ts";
import type { TenantQuotas } from "./effective.ts";
import { isOver, type QuotaGrant, type QuotaPeriod } from "./grant.ts";
import type { QuotaOverride } from "./override.ts";
import { createWindows } from "./period.ts";
import { compile, type IntegratorFacts, type PlanLimits, type QuotaFacts } from "./resolve.ts";

/** What this node knows of all tenants' limits: fed by the change log, read by every check, never waiting for anything. */
export interface QuotaTable {
  /** A tenant's limits as they are now; undefined for a tenant that this node does not know. */
  quotasOf(tenantId: string): TenantQuotas | undefined;
  /** What a tenant's limits are made of. */
  factsOf(tenantId: string): QuotaFacts | undefined;
  /** How a meter counts; undefined when there is none. */
  meterKind(meterId: string): MeterKind | undefined;
  /** Takes in a change of anything that limits are made of, and lets others pass. The tenants' own table comes first. */
  apply(change: Pick<ChangeRow, "noun" | "before" | "after" | "tenantUid">): void;
  /** Forgets everything, to be filled anew. */
  clear(): void;
}

export interface QuotaTableDeps {
  readonly tenants: TenantTable;
  readonly now: () => number;
  /** Hears of a tenant whose period on record is of a rule that is none of its limits' any more. */
  readonly onReplaced: (tenantId: string) => void;
}

/** Compiled limits of so many tenants are kept, half a kilobyte for each limit; others are compiled when asked for. */
const COMPILED_MAX = 10_000;

/** Makes an empty table over the node's tenants. */
export function createQuotaTable(deps: QuotaTableDeps, compiledMax = COMPILED_MAX): QuotaTable {
  const { tenants, now, onReplaced } = deps;
  const plans = new Map<string, Map<number, PlanLimits>>();
  const integrators = new Map<string, IntegratorFacts>();
  const meters = new Map<string, MeterKind>();
  // Most tenants have none of these.
  const overrides = createRows<QuotaOverride>(
    ({ overrideId }) => overrideId,
    ({ ended }) => !ended,
  );
  const grants = createRows<QuotaGrant>(
    ({ grantId }) => grantId,
    (grant) => !isOver(grant),
  );
  const periods = createRows<QuotaPeriod>(
    ({ limitId }) => limitId,
    () => true,
  );
  const compiled = new Map<string, { tenant: Tenant; integrator: IntegratorFacts | undefined; quotas: TenantQuotas }>();

  const windowAt = createWindows();

  // What stops a tenant or lowers a limit must not wait for a long transaction of somebody else.
  const find = (tenantId: string) => tenants.newest(tenants.byId(tenantId)?.uid ?? "");
  const integratorOf = (tenant: Tenant) => integrators.get(tenant.integratorUid ?? "");
  const factsFor = (tenant: Tenant): QuotaFacts | undefined => {
    const plan = plans.get(tenant.planUid)?.get(tenant.planVersion);
    const integrator = integratorOf(tenant);
    if (!plan || (tenant.integratorUid !== null && !integrator)) return undefined;
    const { uid } = tenant;
    return { tenant, plan, overrides: overrides.of(uid), grants: grants.of(uid), periods: periods.of(uid), integrator };
  };
  const compileFor = (tenant: Tenant, at: number): TenantQuotas | undefined => {
    const facts = factsFor(tenant);
    if (!facts) return undefined;
    const quotas = compile(facts, meters, { now: at, windowAt });
    const [oldest] = compiled.keys();
    if (compiled.size >= compiledMax && oldest !== undefined) compiled.delete(oldest);
    compiled.set(tenant.uid, { tenant, integrator: facts.integrator, quotas });
    if (quotas.replacedPeriod) onReplaced(tenant.tenantId);
    return quotas;
  };
  const parts: Parts = { plans, integrators, meters, overrides, grants, periods };
  return {
    quotasOf(tenantId) {
      const tenant = find(tenantId);
      if (!tenant) return undefined;
      const at = now();
      const known = compiled.get(tenant.uid);
      const fresh = known?.tenant === tenant && known.integrator === integratorOf(tenant);
      return fresh && at < known.quotas.nextChangeAt ? known.quotas : compileFor(tenant, at);
    },
    factsOf(tenantId) {
      const tenant = find(tenantId);
      return tenant && factsFor(tenant);
    },
    meterKind: (meterId) => meters.get(meterId),
    apply(change) {
      takeIn(parts, change);
      // Of tenants, plans and integrators it is told at the next look whether they are still the same.
      if (change.tenantUid !== null && change.noun.startsWith("quota")) compiled.delete(change.tenantUid);
    },
    clear() {
      for (const part of [...Object.values(parts), compiled]) part.clear();
    },
  };
}

interface Parts {
  readonly plans: Map<string, Map<number, PlanLimits>>;
  readonly integrators: Map<string, IntegratorFacts>;
  readonly meters: Map<string, MeterKind>;
  readonly overrides: Rows<QuotaOverride>;
  readonly grants: Rows<QuotaGrant>;
  readonly periods: Rows<QuotaPeriod>;
}

function takeIn(parts: Parts, { noun, before, after }: Pick<ChangeRow, "noun" | "before" | "after">): void {
  const [row, gone] = [after ?? before, after === null];
  switch (noun) {
    case "plan": {
      const { uid, version, limits } = row as PlanLimits;
      const versions = parts.plans.get(uid) ?? new Map<number, PlanLimits>();
      if (gone) parts.plans.delete(uid);
      else parts.plans.set(uid, versions.set(version, { uid, version, limits }));
      return;
    }
    case "integrator": {
      const { uid, integratorId, limits, revision, createdAt } = row as IntegratorFacts;
      if (gone) parts.integrators.delete(uid);
      else if ((parts.integrators.get(uid)?.revision ?? 0) < revision) {
        parts.integrators.set(uid, { uid, integratorId, limits, revision, createdAt });
      }
      return;
    }
    case "meter": {
      const { meterId, kind } = row as { meterId: string; kind: MeterKind };
      if (gone) parts.meters.delete(meterId);
      else parts.meters.set(meterId, kind);
      return;
    }
    case "quotaOverride":
      parts.overrides.put(row as QuotaOverride, gone);
      return;
    case "quotaGrant":
      parts.grants.put(row as QuotaGrant, gone);
      return;
    case "quotaPeriod":
      parts.periods.put(row as QuotaPeriod, gone);
      return;
    case "tenant":
      if (gone) for (const rows of [parts.overrides, parts.grants, parts.periods]) rows.drop((row as Tenant).uid);
      return;
    default:
  }
}

/** Rows of some tenants, few of each. */
interface Rows<T> {
  of(tenantUid: string): readonly T[];
  /** Takes in a row unless a newer one is known, or takes it out when it is gone or no longer counts. */
  put(row: T, gone: boolean): void;
  drop(tenantUid: string): void;
  clear(): void;
}

function createRows<T extends { readonly tenantUid: string; readonly revision: number }>(
  idOf: (row: T) => string,
  counts: (row: T) => boolean,
): Rows<T> {
  const byTenant = new Map<string, readonly T[]>();
  return {
    of: (tenantUid) => byTenant.get(tenantUid) ?? [],
    put(row, gone) {
      const rows = byTenant.get(row.tenantUid) ?? [];
      if (!gone && rows.some((known) => idOf(known) === idOf(row) && known.revision >= row.revision)) return;
      const others = rows.filter((known) => idOf(known) !== idOf(row));
      const left = gone || !counts(row) ? others : [...others, row];
      if (left.length > 0) byTenant.set(row.tenantUid, left);
      else byTenant.delete(row.tenantUid);
    },
    drop: (tenantUid) => void byTenant.delete(tenantUid),
    clear: () => byTenant.clear(),
  };
}
