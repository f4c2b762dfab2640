import type { Noun } from "../change/store.ts";
import type { Queryable } from "../platform/postgres.ts";
import type { Tenant } from "../tenant/tenant.ts";
import { scanOpenGrants, scanPeriods, selectOpenGrants, selectPeriods } from "./grant-store.ts";
import { scanOpenOverrides, selectOpenOverrides } from "./override-store.ts";
import type { IntegratorFacts, PlanLimits, QuotaFacts } from "./resolve.ts";

/** Everything that a tenant's limits are made of, as the transaction sees it. */
export async function selectFacts(sql: Queryable, tenant: Tenant): Promise<QuotaFacts> {
  const [[plan], overrides, grants, periods, [integrator]] = await Promise.all([
    sql<PlanLimits[]>`select plan_uid as uid, version, limits from plan_version
      where plan_uid = ${tenant.planUid} and version = ${tenant.planVersion}`,
    selectOpenOverrides(sql, tenant.uid),
    selectOpenGrants(sql, tenant.uid),
    selectPeriods(sql, tenant.uid),
    sql<IntegratorFacts[]>`
      select ${tenant.integratorUid}::uuid as uid, integrator_id as "integratorId", limits, revision,
        created_at as "createdAt"
      from integrator_limits(${tenant.integratorUid})`,
  ]);
  return { tenant, plan: plan ?? { limits: [] }, overrides, grants, periods, integrator };
}

/** The seats that the users of all of an integrator's tenants take: also for those who may not see them. */
export async function selectIntegratorSeats(sql: Queryable, integratorUid: string): Promise<number> {
  const [row] = await sql<{ seats: number }[]>`select integrator_seats(${integratorUid}) as seats`;
  return row?.seats ?? 0;
}

/** The seats that a tenant's users take. */
export async function selectSeats(sql: Queryable, tenantUid: string): Promise<number> {
  const [row] = await sql<{ seats: number }[]>`
    select used_amount as seats from seat_count where tenant_uid = ${tenantUid}`;
  return row?.seats ?? 0;
}

/** Hands over all that limits are made of, row by row, in the form that the change log has it. */
export async function scanFacts(sql: Queryable, batch: number, take: (noun: Noun, row: object) => void): Promise<void> {
  const meters = sql`select meter_id as "meterId", kind from meter`;
  // Plans in all versions: tenants stay on theirs.
  const plans = sql`select plan_uid as uid, version, limits from plan_version`;
  const integrators = sql`
    select uid, integrator_id as "integratorId", limits, revision, created_at as "createdAt" from integrator`;
  for (const row of await meters) take("meter", row);
  for await (const rows of plans.cursor(batch)) for (const row of rows) take("plan", row);
  for await (const rows of integrators.cursor(batch)) for (const row of rows) take("integrator", row);
  for await (const rows of scanOpenOverrides(sql, batch)) for (const row of rows) take("quotaOverride", row);
  for await (const rows of scanOpenGrants(sql, batch)) for (const row of rows) take("quotaGrant", row);
  for await (const rows of scanPeriods(sql, batch)) for (const row of rows) take("quotaPeriod", row);
}
