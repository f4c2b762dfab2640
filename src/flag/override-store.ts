import { variantsOf } from "@tenantplane/sdk/evaluate";
import type { Json, Queryable } from "../platform/postgres.ts";
import type { Override } from "./flag.ts";
import { segmentsOf } from "./serve.ts";

/** One tenant's override of a flag, or undefined. */
export async function selectOverride(sql: Queryable, tenantId: string, flagKey: string): Promise<Override | undefined> {
  const [row] = await sql<Override[]>`${columns(sql)} where t.tenant_id = ${tenantId} and f.flag_id = ${flagKey}`;
  return row;
}

/** A page of overrides that the transaction may see, by tenant and flag. */
export function selectOverrides(
  sql: Queryable,
  query: { tenantId: string | undefined; flagKey: string | undefined; after: readonly [string, string]; limit: number },
): Promise<Override[]> {
  const tenant = query.tenantId === undefined ? sql`` : sql`and t.tenant_id = ${query.tenantId}`;
  const flag = query.flagKey === undefined ? sql`` : sql`and f.flag_id = ${query.flagKey}`;
  return sql<Override[]>`${columns(sql)}
    where (t.tenant_id, f.flag_id) > (${query.after[0]}, ${query.after[1]}) ${tenant} ${flag}
    order by t.tenant_id, f.flag_id limit ${query.limit}`;
}

/** Streams all overrides, a batch at a time. */
export function scanOverrides(sql: Queryable, batch: number): AsyncIterable<Override[]> {
  return sql<Override[]>`${columns(sql)}`.cursor(batch);
}

/** Overrides whose time is over, oldest first. */
export async function selectExpiredOverrides(
  sql: Queryable,
  now: number,
  limit: number,
): Promise<{ tenantId: string; flagKey: string }[]> {
  return sql<{ tenantId: string; flagKey: string }[]>`
    select t.tenant_id as "tenantId", f.flag_id as "flagKey"
    from flag_override o join tenant t on t.uid = o.tenant_uid join flag f on f.uid = o.flag_uid
    where o.expires_at <= ${now} order by o.expires_at limit ${limit}`;
}

/** The variants that overrides of flags serve by name, each with one tenant that has such an override. */
export function selectOverriddenVariants(
  sql: Queryable,
  flagKeys: readonly string[],
): Promise<{ flagKey: string; variant: string; tenantId: string }[]> {
  return sql<{ flagKey: string; variant: string; tenantId: string }[]>`
    select f.flag_id as "flagKey", v.variant, min(t.tenant_id) as "tenantId"
    from flag f join flag_override o on o.flag_uid = f.uid join tenant t on t.uid = o.tenant_uid
      cross join unnest(o.variant_refs) as v(variant)
    where f.flag_id = any(${[...flagKeys]}) group by f.flag_id, v.variant`;
}

/** Inserts an override. */
export async function insertOverride(sql: Queryable, override: Override): Promise<void> {
  const { tenantUid, flagUid } = override;
  await sql`insert into flag_override ${sql({ tenant_uid: tenantUid, flag_uid: flagUid, ...fields(sql, override) })}`;
}

/** Writes all fields of an override. */
export async function updateOverrideRow(sql: Queryable, override: Override): Promise<void> {
  await sql`update flag_override set ${sql(fields(sql, override))}
    where tenant_uid = ${override.tenantUid} and flag_uid = ${override.flagUid}`;
}

/** Removes an override. */
export async function deleteOverrideRow(sql: Queryable, override: Override): Promise<void> {
  await sql`delete from flag_override where tenant_uid = ${override.tenantUid} and flag_uid = ${override.flagUid}`;
}

function columns(sql: Queryable) {
  return sql`select o.tenant_uid as "tenantUid", t.tenant_id as "tenantId", o.flag_uid as "flagUid",
      f.flag_id as "flagKey", o.serve, o.reason, o.writer, o.expires_at as "expiresAt", o.revision,
      o.created_at as "createdAt", o.updated_at as "updatedAt"
    from flag_override o join tenant t on t.uid = o.tenant_uid join flag f on f.uid = o.flag_uid`;
}

function fields(sql: Queryable, override: Override) {
  return {
    serve: sql.json(override.serve as unknown as Json),
    variant_refs: [...new Set(variantsOf(override.serve))],
    segment_refs: [...segmentsOf(override.serve)],
    reason: override.reason,
    writer: override.writer,
    expires_at: override.expiresAt,
    revision: override.revision,
    created_at: override.createdAt,
    updated_at: override.updatedAt,
  };
}
