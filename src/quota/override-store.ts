import type { Json, Queryable } from "../platform/postgres.ts";
import type { QuotaOverride } from "./override.ts";

/** One override of a tenant, or undefined. */
export async function selectOverride(
  sql: Queryable,
  tenantUid: string,
  overrideId: string,
): Promise<QuotaOverride | undefined> {
  const [row] = await sql<QuotaOverride[]>`${columns(sql)}
    where o.tenant_uid = ${tenantUid} and o.override_id = ${overrideId}`;
  return row;
}

/** A page of a tenant's overrides, by id; without `showEnded` only those that have not ended at `now`. */
export function selectOverrides(
  sql: Queryable,
  query: { tenantUid: string; afterId: string; showEnded: boolean; now: number; limit: number },
): Promise<QuotaOverride[]> {
  return sql<
    QuotaOverride[]
  >`${columns(sql)} where o.tenant_uid = ${query.tenantUid} and o.override_id > ${query.afterId}
    ${query.showEnded ? sql`` : sql`and not o.ended and coalesce(o.expires_at > ${query.now}, true)`}
    order by o.override_id limit ${query.limit}`;
}

/** The overrides of a tenant that are not on record as ended. */
export function selectOpenOverrides(sql: Queryable, tenantUid: string): Promise<QuotaOverride[]> {
  return sql<QuotaOverride[]>`${columns(sql)} where o.tenant_uid = ${tenantUid} and not o.ended`;
}

/** The overrides of one limit of a tenant, ended ones too. */
export function selectOverridesOf(sql: Queryable, tenantUid: string, limitId: string): Promise<QuotaOverride[]> {
  return sql<QuotaOverride[]>`${columns(sql)} where o.tenant_uid = ${tenantUid} and o.limit_id = ${limitId}`;
}

/** Streams the overrides of all tenants that are not on record as ended. */
export function scanOpenOverrides(sql: Queryable, batch: number): AsyncIterable<QuotaOverride[]> {
  return sql<QuotaOverride[]>`${columns(sql)} where not o.ended`.cursor(batch);
}

/** Overrides whose time has passed without being on record, oldest first. */
export function selectDueOverrides(sql: Queryable, now: number, limit: number): Promise<QuotaOverride[]> {
  return sql<QuotaOverride[]>`${columns(sql)}
    where not o.ended and o.expires_at <= ${now} order by o.expires_at limit ${limit}`;
}

/** Inserts an override. */
export async function insertOverride(sql: Queryable, override: QuotaOverride): Promise<void> {
  const { limit } = override;
  await sql`insert into quota_override (tenant_uid, override_id, uid, limit_id, quota_limit, reason, creator, expires_at,
      ended, revision, created_at, updated_at)
    values (${override.tenantUid}, ${override.overrideId}, ${override.uid}, ${limit.limitId},
      ${sql.json(limit as unknown as Json)}, ${override.reason}, ${override.creator}, ${override.expiresAt},
      ${override.ended}, ${override.revision}, ${override.createdAt}, ${override.updatedAt})`;
}

/** Writes what can change of an override. */
export async function updateOverrideRow(sql: Queryable, override: QuotaOverride): Promise<void> {
  await sql`update quota_override set quota_limit = ${sql.json(override.limit as unknown as Json)},
      reason = ${override.reason}, expires_at = ${override.expiresAt}, ended = ${override.ended},
      revision = ${override.revision}, updated_at = ${override.updatedAt}
    where tenant_uid = ${override.tenantUid} and override_id = ${override.overrideId}`;
}

/** Removes an override. */
export async function deleteOverrideRow(sql: Queryable, tenantUid: string, overrideId: string): Promise<void> {
  await sql`delete from quota_override where tenant_uid = ${tenantUid} and override_id = ${overrideId}`;
}

function columns(sql: Queryable) {
  return sql`select o.uid, o.tenant_uid as "tenantUid", t.tenant_id as "tenantId", o.override_id as "overrideId",
      o.quota_limit as "limit", o.reason, o.creator, o.expires_at as "expiresAt", o.ended, o.revision,
      o.created_at as "createdAt", o.updated_at as "updatedAt"
    from quota_override o join tenant t on t.uid = o.tenant_uid`;
}
