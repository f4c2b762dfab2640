import type { Json, Queryable } from "../platform/postgres.ts";
import { json } from "./ledger-store.ts";
import type { ReservationRow } from "./reservation.ts";

/** Names a reservation. */
export interface ReservationKey {
  readonly tenantUid: string;
  readonly reservationId: string;
}

const COLUMNS = `r.tenant_uid as "tenantUid", r.reservation_uid as "reservationId", r.state, r.entries, r.parts, r.late,
  r.expires_at as "expiresAt", r.request_id as "requestId", r.request_hash as "requestHash",
  r.resolution_id as "resolutionId", r.resolution_hash as "resolutionHash", r.applied`;

/** Writes new reservations down with all that they will hold; answers those whose request id was new. */
export async function insertReservations(sql: Queryable, rows: readonly ReservationRow[]): Promise<ReservationKey[]> {
  return sql<ReservationKey[]>`
    with made as (
      insert into reservation (tenant_uid, reservation_uid, state, entries, parts, late, expires_at, request_id,
        request_hash, applied, updated_at)
      select w."tenantUid", w."reservationId", w.state, w.entries, w.parts, false, to_timestamp(w."expiresAt" / 1000.0),
        w."requestId", w."requestHash", true, now()
      from jsonb_to_recordset(${json(sql, rows)}) as w("tenantUid" uuid, "reservationId" uuid, state text, entries jsonb,
        parts jsonb, "expiresAt" bigint, "requestId" text, "requestHash" text)
      on conflict do nothing
      returning tenant_uid, reservation_uid, parts)
    , holds as (
      insert into allotment_hold (owner_uid, holder_uid, field, mark, epoch, amount)
      select m.reservation_uid, p."holderUid", p.field, p.mark, p.epoch, p.amount
      from made m, jsonb_to_recordset(${json(sql, rows.flatMap(holdsOf))}) as p("ownerUid" uuid, "holderUid" uuid,
        field text, mark bigint, epoch bigint, amount bigint)
      where p."ownerUid" = m.reservation_uid)
    select tenant_uid as "tenantUid", reservation_uid as "reservationId" from made`;
}

/** Reservations by their request ids. */
export function selectByRequests(
  sql: Queryable,
  requests: readonly { readonly tenantUid: string; readonly requestId: string }[],
): Promise<ReservationRow[]> {
  return sql<ReservationRow[]>`
    select ${sql.unsafe(COLUMNS)} from reservation r
    join jsonb_to_recordset(${json(sql, requests)}) as w("tenantUid" uuid, "requestId" text)
      on w."tenantUid" = r.tenant_uid and w."requestId" = r.request_id`;
}

/** Locks reservations, in one order for everybody. */
export function lockReservations(sql: Queryable, keys: readonly ReservationKey[]): Promise<ReservationRow[]> {
  return sql<ReservationRow[]>`
    select ${sql.unsafe(COLUMNS)} from reservation r
    join jsonb_to_recordset(${json(sql, keys)}) as w("tenantUid" uuid, "reservationId" uuid)
      on w."tenantUid" = r.tenant_uid and w."reservationId" = r.reservation_uid
    order by r.tenant_uid, r.reservation_uid for update of r`;
}

/** Locks reservations that have expired, the oldest first, leaving out those that somebody resolves. */
export function lockExpired(sql: Queryable, now: number, limit: number): Promise<ReservationRow[]> {
  return sql<ReservationRow[]>`
    select ${sql.unsafe(COLUMNS)} from reservation r where r.state = 'HELD' and r.expires_at <= ${now}
    order by r.expires_at limit ${limit} for update skip locked`;
}

/** Resolved reservations of which the hot state may not have heard. */
export function selectUnapplied(sql: Queryable, olderThanMs: number, limit: number): Promise<ReservationRow[]> {
  return sql<ReservationRow[]>`
    select ${sql.unsafe(COLUMNS)} from reservation r
    where not r.applied and r.updated_at < now() - make_interval(secs => ${olderThanMs / 1_000})
    order by r.updated_at limit ${limit}`;
}

/** Writes what became of reservations that are under lock. */
export async function updateReservations(sql: Queryable, rows: readonly ReservationRow[]): Promise<void> {
  await sql`
    update reservation r set state = w.state, parts = w.parts, late = w.late, applied = w.applied,
      expires_at = to_timestamp(w."expiresAt" / 1000.0), resolution_id = w."resolutionId",
      resolution_hash = w."resolutionHash", updated_at = now()
    from jsonb_to_recordset(${json(sql, rows)}) as w("tenantUid" uuid, "reservationId" uuid, state text, parts jsonb,
      late boolean, applied boolean, "expiresAt" bigint, "resolutionId" text, "resolutionHash" text)
    where r.tenant_uid = w."tenantUid" and r.reservation_uid = w."reservationId"`;
}

/** What was held of a count. */
export interface Hold {
  readonly ownerUid: string;
  readonly holderUid: string;
  readonly field: string;
  readonly mark: number;
  readonly epoch: number;
}

/** Ends what reservations and leases held; answers the counts that they held of. */
export function deleteHolds(sql: Queryable, ownerUids: readonly string[]): Promise<Hold[]> {
  return sql<Hold[]>`delete from allotment_hold where owner_uid = any(${[...ownerUids]}::uuid[])
    returning owner_uid as "ownerUid", holder_uid as "holderUid", field, mark, epoch`;
}

/** Takes down that the hot state has heard of what became of reservations. */
export async function markApplied(sql: Queryable, keys: readonly ReservationKey[]): Promise<void> {
  await sql`
    update reservation r set applied = true
    from jsonb_to_recordset(${json(sql, keys)}) as w("tenantUid" uuid, "reservationId" uuid)
    where r.tenant_uid = w."tenantUid" and r.reservation_uid = w."reservationId"`;
}

/** Forgets reservations that were resolved long enough ago; answers how many. */
export async function deleteOldReservations(sql: Queryable, keepMs: number, limit: number): Promise<number> {
  const rows = await sql`
    delete from reservation where (tenant_uid, reservation_uid) in (
      select tenant_uid, reservation_uid from reservation
      where state <> 'HELD' and applied and updated_at < now() - make_interval(secs => ${keepMs / 1_000}) limit ${limit})
    returning 1`;
  return rows.length;
}

/** Removes reservations that were written down and not admitted. */
export async function deleteReservations(sql: Queryable, keys: readonly ReservationKey[]): Promise<void> {
  await sql`
    with gone as (
      delete from reservation r using jsonb_to_recordset(${json(sql, keys)}) as w("tenantUid" uuid, "reservationId" uuid)
      where r.tenant_uid = w."tenantUid" and r.reservation_uid = w."reservationId" returning r.reservation_uid)
    delete from allotment_hold h using gone g where h.owner_uid = g.reservation_uid`;
}

function holdsOf(row: ReservationRow): Record<string, Json>[] {
  return row.parts
    .filter(({ limit }) => limit.isCounter)
    .map(({ limit, mark, epoch, amount }) => ({
      ownerUid: row.reservationId,
      holderUid: limit.holder.uid,
      field: limit.field,
      mark,
      epoch,
      amount,
    }));
}
