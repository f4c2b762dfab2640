import type { Json, Queryable } from "../platform/postgres.ts";
import type { LeaseRow } from "./lease.ts";
import { json } from "./ledger-store.ts";

const COLUMNS = `tenant_uid as "tenantUid", lease_uid as "leaseId", state, meter, parts, amount, spent, ttl_ms as "ttlMs",
  version, expires_at as "expiresAt", request_id as "requestId", request_hash as "requestHash", revision`;

/** Writes a new lease; false when its request has made one already. */
export async function insertLease(sql: Queryable, row: LeaseRow): Promise<boolean> {
  const rows = await sql`
    insert into quota_lease (tenant_uid, lease_uid, state, meter, parts, amount, spent, ttl_ms, version, expires_at,
      request_id, request_hash, revision, updated_at)
    values (${row.tenantUid}, ${row.leaseId}, ${row.state}, ${row.meter}, ${sql.json(row.parts as unknown as Json)},
      ${row.amount}, ${row.spent}, ${row.ttlMs}, ${row.version}, ${row.expiresAt}, ${row.requestId}, ${row.requestHash},
      ${row.revision}, now())
    on conflict do nothing returning 1`;
  return rows.length > 0;
}

/** One lease of a tenant, or undefined. */
export async function selectLease(sql: Queryable, tenantUid: string, leaseId: string): Promise<LeaseRow | undefined> {
  const [row] = await sql<LeaseRow[]>`select ${sql.unsafe(COLUMNS)} from quota_lease
    where tenant_uid = ${tenantUid} and lease_uid = ${leaseId}`;
  return row;
}

/** The lease that a request made before, or undefined. */
export async function selectLeaseByRequest(
  sql: Queryable,
  tenantUid: string,
  requestId: string,
): Promise<LeaseRow | undefined> {
  const [row] = await sql<LeaseRow[]>`select ${sql.unsafe(COLUMNS)} from quota_lease
    where tenant_uid = ${tenantUid} and request_id = ${requestId}`;
  return row;
}

/** Writes a lease unless somebody else has since it was read; false then. */
export async function updateLease(sql: Queryable, row: LeaseRow): Promise<boolean> {
  const rows = await sql`
    update quota_lease set state = ${row.state}, parts = ${sql.json(row.parts as unknown as Json)}, amount = ${row.amount},
      spent = ${row.spent}, ttl_ms = ${row.ttlMs}, version = ${row.version}, expires_at = ${row.expiresAt},
      revision = ${row.revision + 1}, updated_at = now()
    where tenant_uid = ${row.tenantUid} and lease_uid = ${row.leaseId} and revision = ${row.revision} returning 1`;
  return rows.length > 0;
}

/** Leases whose client should have stopped, the oldest first. */
export function selectLapsed(sql: Queryable, expiredBefore: number, limit: number): Promise<LeaseRow[]> {
  return sql<LeaseRow[]>`select ${sql.unsafe(COLUMNS)} from quota_lease
    where state = 'ACTIVE' and expires_at <= ${expiredBefore} order by expires_at limit ${limit}`;
}

/** Keeps the epochs of a lease's counts open: what comes back of it comes back to them. */
export async function replaceLeaseHolds(sql: Queryable, row: LeaseRow): Promise<void> {
  const rows = row.parts
    .filter(({ limit }) => limit.isCounter)
    .map(({ limit, mark, epoch }) => ({ holderUid: limit.holder.uid, field: limit.field, mark, epoch }));
  await sql`delete from allotment_hold where owner_uid = ${row.leaseId}`;
  await sql`insert into allotment_hold (owner_uid, holder_uid, field, mark, epoch, amount)
    select ${row.leaseId}, w."holderUid", w.field, w.mark, w.epoch, 0
    from jsonb_to_recordset(${json(sql, rows)}) as w("holderUid" uuid, field text, mark bigint, epoch bigint)`;
}

/** Forgets leases that ended long enough ago; answers how many. */
export async function deleteOldLeases(sql: Queryable, keepMs: number, limit: number): Promise<number> {
  const rows = await sql`
    with gone as (
      delete from quota_lease where (tenant_uid, lease_uid) in (
        select tenant_uid, lease_uid from quota_lease
        where state <> 'ACTIVE' and updated_at < now() - make_interval(secs => ${keepMs / 1_000}) limit ${limit})
      returning lease_uid)
    , holds as (delete from allotment_hold h using gone g where h.owner_uid = g.lease_uid)
    select 1 from gone`;
  return rows.length;
}
