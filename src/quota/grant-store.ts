import type { PagePosition } from "../aip/page.ts";
import type { Queryable } from "../platform/postgres.ts";
import type { QuotaGrant, QuotaPeriod } from "./grant.ts";

/** One grant of a tenant, or undefined. */
export async function selectGrant(sql: Queryable, tenantUid: string, grantId: string): Promise<QuotaGrant | undefined> {
  const [row] = await sql<QuotaGrant[]>`${columns(sql)} where g.tenant_uid = ${tenantUid} and g.grant_id = ${grantId}`;
  return row;
}

/** A page of a tenant's grants in the order in which they are used up; without `showOver` only those that have some left. */
export function selectGrants(
  sql: Queryable,
  query: { tenantUid: string; after: PagePosition | undefined; showOver: boolean; now: number; limit: number },
): Promise<QuotaGrant[]> {
  const [priority = 0, expiresAt = null, createdAt = 0, grantId = ""] = query.after ?? [];
  return sql<QuotaGrant[]>`${columns(sql)} where g.tenant_uid = ${query.tenantUid}
    ${query.showOver ? sql`` : sql`and g.usable_amount > g.used_amount and coalesce(g.expires_at > ${query.now}, true)`}
    ${
      query.after
        ? sql`and (g.priority, coalesce(g.expires_at, 'infinity'), g.created_at, g.grant_id)
            > (${Number(priority)}::int, coalesce(${expiresAt}::timestamptz, 'infinity'), ${createdAt}::timestamptz, ${grantId})`
        : sql``
    }
    order by g.priority, coalesce(g.expires_at, 'infinity'), g.created_at, g.grant_id limit ${query.limit}`;
}

/** The grants of a tenant that have some left. */
export function selectOpenGrants(sql: Queryable, tenantUid: string): Promise<QuotaGrant[]> {
  return sql<QuotaGrant[]>`${columns(sql)} where g.tenant_uid = ${tenantUid} and g.usable_amount > g.used_amount`;
}

/** Streams the grants of all tenants that have some left. */
export function scanOpenGrants(sql: Queryable, batch: number): AsyncIterable<QuotaGrant[]> {
  return sql<QuotaGrant[]>`${columns(sql)} where g.usable_amount > g.used_amount`.cursor(batch);
}

/** Grants whose time has passed without being on record, oldest first. */
export function selectDueGrants(sql: Queryable, now: number, limit: number): Promise<QuotaGrant[]> {
  return sql<QuotaGrant[]>`${columns(sql)}
    where not g.ended and g.expires_at <= ${now} order by g.expires_at limit ${limit}`;
}

/** Inserts a grant. */
export async function insertGrant(sql: Queryable, grant: QuotaGrant): Promise<void> {
  await sql`insert into quota_grant (tenant_uid, grant_id, uid, limit_id, amount, usable_amount, used_amount, priority,
      starts_at, expires_at, voided_at, ended, reason, creator, revision, created_at, updated_at)
    values (${grant.tenantUid}, ${grant.grantId}, ${grant.uid}, ${grant.limitId}, ${grant.amount}, ${grant.usableAmount},
      ${grant.usedAmount}, ${grant.priority}, ${grant.startsAt}, ${grant.expiresAt}, ${grant.voidedAt}, ${grant.ended},
      ${grant.reason}, ${grant.creator}, ${grant.revision}, ${grant.createdAt}, ${grant.updatedAt})`;
}

/** Writes what can change of a grant. */
export async function updateGrantRow(sql: Queryable, grant: QuotaGrant): Promise<void> {
  await sql`update quota_grant set usable_amount = ${grant.usableAmount}, used_amount = ${grant.usedAmount},
      voided_at = ${grant.voidedAt}, ended = ${grant.ended}, revision = ${grant.revision}, updated_at = ${grant.updatedAt}
    where tenant_uid = ${grant.tenantUid} and grant_id = ${grant.grantId}`;
}

/** The periods of a tenant's limits that are on record. */
export function selectPeriods(sql: Queryable, tenantUid: string): Promise<QuotaPeriod[]> {
  return sql<QuotaPeriod[]>`${periodColumns(sql)} where p.tenant_uid = ${tenantUid}`;
}

/** Streams the periods of all tenants that are on record. */
export function scanPeriods(sql: Queryable, batch: number): AsyncIterable<QuotaPeriod[]> {
  return sql<QuotaPeriod[]>`${periodColumns(sql)}`.cursor(batch);
}

/** Periods that ended before an instant, oldest first. */
export function selectDuePeriods(sql: Queryable, endedBefore: number, limit: number): Promise<QuotaPeriod[]> {
  return sql<QuotaPeriod[]>`${periodColumns(sql)} where p.ends_at <= ${endedBefore} order by p.ends_at limit ${limit}`;
}

/** Limits that roll over and have no period on record: the plan's, or those of the overrides that take their place. */
export function selectUnopenedPeriods(sql: Queryable, limit: number): Promise<{ tenantId: string; limitId: string }[]> {
  return sql`
    with override as (
      select distinct on (tenant_uid, limit_id) tenant_uid, limit_id, quota_limit from quota_override where not ended
      order by tenant_uid, limit_id, created_at desc, override_id desc),
    rolling as (
      select t.uid, t.tenant_id, l.value ->> 'limitId' as limit_id
        from plan_version v cross join jsonb_array_elements(v.limits) l
        join tenant t on t.plan_uid = v.plan_uid and t.plan_version = v.version
        where l.value -> 'rule' ->> 'rolloverMax' <> '0' and not exists (
          select from override o where o.tenant_uid = t.uid and o.limit_id = l.value ->> 'limitId')
      union all select t.uid, t.tenant_id, o.limit_id from override o join tenant t on t.uid = o.tenant_uid
        where o.quota_limit -> 'rule' ->> 'rolloverMax' <> '0')
    select tenant_id as "tenantId", limit_id as "limitId" from rolling where not exists (
      select from quota_period p where p.tenant_uid = rolling.uid and p.limit_id = rolling.limit_id)
    limit ${limit}`;
}

/** Puts a limit's period on record, in the place of the one before it. */
export async function upsertPeriod(sql: Queryable, period: QuotaPeriod): Promise<void> {
  await sql`insert into quota_period (tenant_uid, limit_id, window_id, starts_at, ends_at, base_amount, rollover_amount,
      revision)
    values (${period.tenantUid}, ${period.limitId}, ${period.windowId}, ${period.startsAt}, ${period.endsAt},
      ${period.baseAmount}, ${period.rolloverAmount}, ${period.revision})
    on conflict (tenant_uid, limit_id) do update set window_id = excluded.window_id, starts_at = excluded.starts_at,
      ends_at = excluded.ends_at, base_amount = excluded.base_amount, rollover_amount = excluded.rollover_amount,
      revision = excluded.revision`;
}

/** Takes a limit's period off the record. */
export async function deletePeriodRow(sql: Queryable, tenantUid: string, limitId: string): Promise<void> {
  await sql`delete from quota_period where tenant_uid = ${tenantUid} and limit_id = ${limitId}`;
}

function columns(sql: Queryable) {
  return sql`select g.uid, g.tenant_uid as "tenantUid", t.tenant_id as "tenantId", g.grant_id as "grantId",
      g.limit_id as "limitId", g.amount::text, g.usable_amount::text as "usableAmount", g.used_amount::text as "usedAmount",
      g.priority, g.starts_at as "startsAt", g.expires_at as "expiresAt", g.voided_at as "voidedAt", g.ended, g.reason,
      g.creator, g.revision, g.created_at as "createdAt", g.updated_at as "updatedAt"
    from quota_grant g join tenant t on t.uid = g.tenant_uid`;
}

function periodColumns(sql: Queryable) {
  return sql`select p.tenant_uid as "tenantUid", t.tenant_id as "tenantId", p.limit_id as "limitId",
      p.window_id as "windowId", p.starts_at as "startsAt", p.ends_at as "endsAt", p.base_amount::text as "baseAmount",
      p.rollover_amount::text as "rolloverAmount", p.revision
    from quota_period p join tenant t on t.uid = p.tenant_uid`;
}
