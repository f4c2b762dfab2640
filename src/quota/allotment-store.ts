import type { Queryable } from "../platform/postgres.ts";
import type { Allotment } from "./allotment.ts";
import { json, spentIn } from "./ledger-store.ts";

/** Names a count: its holder, its field and the start of its period, 0 for gauges. */
export interface CountKey {
  readonly holderUid: string;
  readonly field: string;
  readonly startMark: number;
}

/** A count that may have no row yet. */
export interface NewCount extends CountKey {
  readonly limitId: string;
  readonly windowId: string;
  readonly endsAt: number | null;
  /** The holder's epoch as the node knows it. */
  readonly epoch: number;
}

/** A row under lock, and what is known to be spent in its epoch if that is over. */
export interface LockedCount extends CountKey {
  readonly row: Allotment;
  readonly known: bigint;
}

/** Makes rows for counts that have none. */
export async function insertCounts(sql: Queryable, counts: readonly NewCount[]): Promise<void> {
  await sql`
    insert into allotment (holder_uid, field, start_mark, limit_id, window_id, ends_at, mark, epoch, opened_at,
      grant_number, base, given)
    select w."holderUid", w.field, w."startMark", w."limitId", w."windowId", to_timestamp(w."endsAt" / 1000.0),
      w."startMark", w.epoch, h.opened_at, 1, 0, 0
    from jsonb_to_recordset(${json(sql, counts)}) as w("holderUid" uuid, field text, "startMark" bigint, "limitId" text,
      "windowId" text, "endsAt" bigint, epoch bigint)
    join quota_holder h on h.holder_uid = w."holderUid"
    order by w."holderUid", w.field, w."startMark"
    on conflict do nothing`;
}

/** Locks the rows of counts, in one order for everybody; those that have none are left out. */
export async function lockCounts(sql: Queryable, counts: readonly (CountKey & { epoch: number })[]) {
  const rows = await sql<LockedRow[]>`
    select a.holder_uid as "holderUid", a.field, a.start_mark as "startMark", a.mark, a.epoch, a.grant_number as "grantNumber",
      a.base::text, a.given::text,
      (case when a.epoch < w.epoch then ${spentIn(sql, "a")} else 0 end)::text as known
    from jsonb_to_recordset(${json(sql, counts)}) as w("holderUid" uuid, field text, "startMark" bigint, epoch bigint)
    join allotment a on a.holder_uid = w."holderUid" and a.field = w.field and a.start_mark = w."startMark"
    order by a.holder_uid, a.field, a.start_mark
    for update of a`;
  return rows.map(toLocked);
}

/** Writes rows that are under lock. */
export async function updateCounts(sql: Queryable, counts: readonly (CountKey & { row: Allotment })[]): Promise<void> {
  const rows = counts.map(({ holderUid, field, startMark, row }) => ({
    ...{ holderUid, field, startMark },
    ...{ ...row, base: String(row.base), given: String(row.given) },
  }));
  await sql`
    update allotment a set mark = w.mark, epoch = w.epoch, grant_number = w."grantNumber", base = w.base, given = w.given,
      opened_at = case when a.epoch < w.epoch then h.opened_at else a.opened_at end
    from jsonb_to_recordset(${json(sql, rows)}) as w("holderUid" uuid, field text, "startMark" bigint, mark bigint,
      epoch bigint, "grantNumber" bigint, base bigint, given bigint)
    join quota_holder h on h.holder_uid = w."holderUid"
    where a.holder_uid = w."holderUid" and a.field = w.field and a.start_mark = w."startMark"`;
}

/** Counts whose page must be turned: their holder is in a later epoch, and they were given something in theirs. */
export async function lockStaleCounts(sql: Queryable, limit: number) {
  const rows = await sql<(LockedRow & { currentEpoch: number })[]>`
    select a.holder_uid as "holderUid", a.field, a.start_mark as "startMark", a.mark, a.epoch,
      a.grant_number as "grantNumber", a.base::text, a.given::text, (${spentIn(sql, "a")})::text as known, h.epoch as "currentEpoch"
    from allotment a join quota_holder h on h.holder_uid = a.holder_uid
    where a.epoch < h.epoch and a.given > 0
    order by a.holder_uid, a.field, a.start_mark limit ${limit}
    for update of a skip locked`;
  return rows.map((row) => ({ ...toLocked(row), currentEpoch: row.currentEpoch }));
}

/** A row as it comes from the database. */
export interface LockedRow extends CountKey {
  readonly mark: number;
  readonly epoch: number;
  readonly grantNumber: number;
  readonly base: string;
  readonly given: string;
  readonly known: string;
}

/** A row with its amounts as whole numbers. */
export function toLocked({
  holderUid,
  field,
  startMark,
  mark,
  epoch,
  grantNumber,
  base,
  given,
  known,
}: LockedRow): LockedCount {
  const row = { mark, epoch, grantNumber, base: BigInt(base), given: BigInt(given) };
  return { holderUid, field, startMark, row, known: BigInt(known) };
}

/** What open reservations hold of a gauge in an epoch; from now on they hold it of its new mark. */
export async function moveHolds(sql: Queryable, count: CountKey & { epoch: number }, mark: number): Promise<bigint> {
  const rows = await sql<{ amount: string }[]>`
    update allotment_hold set mark = ${mark} where holder_uid = ${count.holderUid} and field = ${count.field}
      and epoch = ${count.epoch} returning amount::text`;
  return rows.reduce((sum, { amount }) => sum + BigInt(amount), 0n);
}

/** What clients may still spend of leases on a gauge. */
export async function selectLeased(sql: Queryable, { holderUid, field }: CountKey): Promise<bigint> {
  const [row] = await sql<{ leased: string }[]>`
    select coalesce(sum(l.amount - l.spent), 0)::text as leased from allotment_hold h
    join quota_lease l on l.lease_uid = h.owner_uid and l.state in ('ACTIVE', 'LAPSED')
    where h.holder_uid = ${holderUid} and h.field = ${field}`;
  return BigInt(row?.leased ?? 0);
}

/**
 * Forgets periods that ended long enough ago, with their ledger; answers how many. Those from which on a tenant's grants and
 * rollover are not settled yet stay, however long nobody was there to do it.
 */
export async function deleteOldPeriods(sql: Queryable, keepMs: number, limit: number): Promise<number> {
  const rows = await sql`
    with gone as (
      delete from allotment where (holder_uid, field, start_mark) in (
        select holder_uid, field, start_mark from allotment a
        where ends_at + (ends_at - to_timestamp(start_mark / 1000.0)) + make_interval(secs => ${keepMs / 1_000}) < now()
          and not exists (select from quota_period p where p.tenant_uid = a.holder_uid and p.limit_id = a.limit_id
            and p.starts_at <= to_timestamp(a.start_mark / 1000.0))
        limit ${limit})
      returning holder_uid, field, start_mark)
    , spent as (delete from admission a using gone g
      where a.holder_uid = g.holder_uid and a.field = g.field and a.mark = g.start_mark)
    select 1 from gone`;
  return rows.length;
}
