import { AMOUNT_MAX, type Limit } from "../../../src/limit.ts";
import { PLATFORM_SCOPE, type Sql, writeAs } from "../../../src/platform/postgres.ts";
import type { EffectiveLimit, TenantQuotas } from "../../../src/quota/effective.ts";

/** A limit of a test: what it leaves out is as in most plans. */
export type TestLimit = Omit<Partial<EffectiveLimit>, "limit"> & {
  readonly limit: Partial<Limit> & Pick<Limit, "meter" | "rule">;
};

/** The limits of a tenant, by hand. */
export interface TestTenant {
  readonly uid: string;
  readonly id: string;
  readonly integratorUid: string | undefined;
  limits: readonly EffectiveLimit[];
  state: TenantQuotas["state"];
}

/** Makes rows that the counts of tenants refer to. */
export async function insertTenants(sql: Sql, tenants: readonly TestTenant[]): Promise<void> {
  await writeAs(sql, PLATFORM_SCOPE, 5_000, async (tx) => {
    const plan = crypto.randomUUID();
    await tx`insert into plan (uid, plan_id, version, revision, created_at) values (${plan}, ${plan}, 1, 1, now())`;
    await tx`insert into plan_version (plan_uid, version, display_name, limits, entitlements, settings, created_at)
      values (${plan}, 1, '', '[]', '{}', '{}', now())`;
    for (const uid of new Set(tenants.flatMap(({ integratorUid }) => integratorUid ?? []))) {
      await tx`insert into integrator (uid, integrator_id, display_name, revision, created_at, updated_at)
        values (${uid}, ${uid}, '', 1, now(), now())`;
    }
    for (const { uid, id, integratorUid } of tenants) {
      await tx`insert into tenant (uid, tenant_id, display_name, state, suspensions, legal_holds, integrator_uid,
          integrator_id, plan_uid, plan_id, plan_version, labels, region, settings, time_zone, epoch, revision,
          created_at, updated_at)
        values (${uid}, ${id}, '', 'ACTIVE', '[]', '[]', ${integratorUid ?? null}, ${integratorUid ?? null}, ${plan}, ${plan}, 1,
          '{}', '', '{}', 'UTC', 1, 1, now(), now())`;
    }
  });
}

/** A tenant of a test. */
export function testTenant(limits: readonly TestLimit[] = [], integratorUid?: string): TestTenant {
  const uid = crypto.randomUUID();
  const tenant: TestTenant = { uid, id: `t-${uid.slice(0, 13)}`, integratorUid, limits: [], state: "ACTIVE" };
  tenant.limits = limits.map((limit) => effectiveOf(tenant, limit));
  return tenant;
}

/** What decisions know of tenants, by hand; meters without limits are known too. */
export function quotasOf(tenants: readonly TestTenant[], meters: readonly string[] = ["free"]) {
  const compiled = new WeakMap<readonly EffectiveLimit[], Map<string, EffectiveLimit[]>>();
  return (tenantId: string): TenantQuotas | undefined => {
    const tenant = tenants.find(({ id }) => id === tenantId);
    if (!tenant) return undefined;
    const { limits, uid, integratorUid, state } = tenant;
    const byMeter = compiled.get(limits) ?? Map.groupBy(limits, ({ limit }) => limit.meter);
    compiled.set(limits, byMeter);
    return {
      tenantUid: uid,
      tenantId,
      state,
      epoch: 1,
      rootUid: integratorUid ?? uid,
      limits,
      limitsOf: (meter) => byMeter.get(meter) ?? (meters.includes(meter) ? NONE : undefined),
      nextChangeAt: Number.POSITIVE_INFINITY,
      replacedPeriod: false,
    };
  };
}

const NONE: readonly EffectiveLimit[] = [];

/** A test's limit as it applies to its tenant; HARD and without grants unless it says otherwise. */
export function effectiveOf(tenant: TestTenant, { limit: given, ...rest }: TestLimit): EffectiveLimit {
  const limit: Limit = {
    limitId: given.meter,
    amount: "0",
    mode: "HARD",
    overageCap: "0",
    failPolicy: "CLOSED",
    safeAmount: "0",
    warningPercents: [],
    ...given,
  };
  const amount = rest.amount ?? BigInt(limit.amount);
  const isSoft = limit.mode === "SOFT" || limit.mode === "SHADOW";
  return {
    key: `t/${limit.limitId}`,
    holder: { kind: "tenant", uid: tenant.uid, name: `tenants/${tenant.id}` },
    limit,
    amount,
    cap: isSoft ? AMOUNT_MAX : amount + BigInt(limit.overageCap),
    version: `v=${amount}`,
    source: "PLAN",
    window:
      limit.rule.kind === "PERIOD"
        ? { id: "P1M:2026-09", startAt: 1_788_220_800_000, endAt: 4_102_444_800_000 }
        : undefined,
    ...rest,
  };
}

/** The same limit of an integrator. */
export function ofIntegrator(tenant: TestTenant, limit: TestLimit): EffectiveLimit {
  const uid = tenant.integratorUid ?? "";
  const effective = effectiveOf(tenant, limit);
  return {
    ...effective,
    key: `i/${effective.limit.limitId}`,
    holder: { kind: "integrator", uid, name: `integrators/${uid}` },
    source: "INTEGRATOR",
  };
}

export const MONTH = { kind: "PERIOD", duration: "P1M", anchor: "CALENDAR", rolloverMax: "0" } as const;
export const GAUGE = { kind: "GAUGE" } as const;
export const rate = (burst: number, windowMs = 60_000) =>
  ({ kind: "RATE", algorithm: "GCRA", windowMs, burst: String(burst) }) as const;
