import type { Queryable } from "../platform/postgres.ts";
import type { PastEpoch } from "./allotment.ts";
import { type CountKey, type LockedRow, toLocked } from "./allotment-store.ts";
import { json, spentIn } from "./ledger-store.ts";

/**
 * Begins the next epoch of holders; answers those of which it did. Of the others somebody has begun one just now, and is
 * about to install it.
 */
export function openEpochs(
  sql: Queryable,
  holders: readonly { readonly uid: string; readonly kind: "tenant" | "integrator" }[],
  claimMs: number,
): Promise<{ holderUid: string; epoch: number }[]> {
  return sql<{ holderUid: string; epoch: number }[]>`
    insert into quota_holder as h (holder_uid, tenant_uid, integrator_uid, epoch, opened_at)
    select uid, case kind when 'tenant' then uid end, case kind when 'integrator' then uid end, 1, now()
      from jsonb_to_recordset(${json(sql, holders)}) as w(uid uuid, kind text)
      where exists (select from tenant t where t.uid = w.uid) or exists (select from integrator i where i.uid = w.uid)
      order by uid
    on conflict (holder_uid) do update set epoch = h.epoch + 1, opened_at = now()
      where h.opened_at < now() - make_interval(secs => ${claimMs / 1_000})
    returning h.holder_uid as "holderUid", h.epoch`;
}

/** Remembers epochs that are over until they are settled; before the rows turn their page. */
export async function insertPastEpochs(
  sql: Queryable,
  epochs: readonly (CountKey & { past: PastEpoch })[],
): Promise<void> {
  const rows = epochs.map(toPastRow);
  await sql`
    insert into allotment_epoch (holder_uid, field, start_mark, mark, epoch, counted, opened_at, ended_at)
    select a.holder_uid, a.field, a.start_mark, w.mark, w.epoch, w.counted, a.opened_at, h.opened_at
    from jsonb_to_recordset(${json(sql, rows)}) as w("holderUid" uuid, field text, "startMark" bigint, mark bigint,
      epoch bigint, counted bigint)
    join allotment a on a.holder_uid = w."holderUid" and a.field = w.field and a.start_mark = w."startMark"
    join quota_holder h on h.holder_uid = w."holderUid"`;
}

/**
 * Past epochs, their rows under lock, of which every node has told all that it admitted: each node that could has written
 * its ledger since they ended. A node that vanished without doing so leaves what it could have admitted in doubt for good,
 * but only in epochs that began before it must have stopped by itself.
 */
export async function lockKnownEpochs(sql: Queryable, limit: number, timing: { marginMs: number; lostMs: number }) {
  const margin = sql`make_interval(secs => ${timing.marginMs / 1_000})`;
  const rows = await sql<(LockedRow & PastRow)[]>`
    select e.holder_uid as "holderUid", e.field, e.start_mark as "startMark", a.mark, a.epoch,
      a.grant_number as "grantNumber", a.base::text, a.given::text, e.mark as "pastMark", e.epoch as "pastEpoch",
      e.counted::text, coalesce(t.integrator_uid, h.holder_uid) as "rootUid", a.ends_at is null as "isGauge",
      k.known::text, k.is_open as "isOpen"
    from allotment_epoch e
    join quota_holder h on h.holder_uid = e.holder_uid left join tenant t on t.uid = h.tenant_uid
    join allotment a on a.holder_uid = e.holder_uid and a.field = e.field and a.start_mark = e.start_mark
    cross join lateral (select ${spentIn(sql, "e")} as known,
      exists (select from allotment_hold o where o.holder_uid = e.holder_uid and o.field = e.field and o.mark = e.mark
        and o.epoch = e.epoch) as is_open) k
    where e.ended_at + ${margin} < now() and (k.known <> e.counted or not k.is_open)
      and not exists (select from quota_node n where n.stopped_at is null and n.started_at < e.ended_at + ${margin}
        and n.flushed_at <= e.ended_at + ${margin}
        and n.flushed_at + make_interval(secs => ${timing.lostMs / 1_000}) > e.opened_at)
    order by e.ended_at, a.holder_uid, a.field, a.start_mark limit ${limit}
    for update of a skip locked`;
  return rows.map((row) => ({
    ...toLocked(row),
    past: { mark: row.pastMark, epoch: row.pastEpoch, counted: BigInt(row.counted) },
    isOpen: row.isOpen,
    rootUid: row.rootUid,
    isGauge: row.isGauge,
  }));
}

/** Writes what epochs count for once they are settled. */
export async function updatePastEpochs(
  sql: Queryable,
  epochs: readonly (CountKey & { past: PastEpoch })[],
): Promise<void> {
  const rows = epochs.map(toPastRow);
  await sql`
    update allotment_epoch e set counted = w.counted
    from jsonb_to_recordset(${json(sql, rows)}) as w("holderUid" uuid, field text, "startMark" bigint, mark bigint,
      epoch bigint, counted bigint)
    where e.holder_uid = w."holderUid" and e.field = w.field and e.start_mark = w."startMark"
      and e.mark = w.mark and e.epoch = w.epoch`;
}

/** Forgets epochs that are settled for good. */
export async function deletePastEpochs(
  sql: Queryable,
  epochs: readonly (CountKey & { past: PastEpoch })[],
): Promise<void> {
  const rows = epochs.map(toPastRow);
  await sql`
    delete from allotment_epoch e
    using jsonb_to_recordset(${json(sql, rows)}) as w("holderUid" uuid, field text, "startMark" bigint, mark bigint,
      epoch bigint)
    where e.holder_uid = w."holderUid" and e.field = w.field and e.start_mark = w."startMark"
      and e.mark = w.mark and e.epoch = w.epoch`;
}

/** Forgets the past of a gauge: an observation has taken its place. */
export async function deletePastOf(sql: Queryable, { holderUid, field }: CountKey): Promise<void> {
  await sql`delete from allotment_epoch where holder_uid = ${holderUid} and field = ${field}`;
}

interface PastRow {
  readonly pastMark: number;
  readonly pastEpoch: number;
  readonly counted: string;
  /** Reservations or leases of it are open. */
  readonly isOpen: boolean;
  /** Where the hot state has the count. */
  readonly rootUid: string;
  readonly isGauge: boolean;
}

function toPastRow({ holderUid, field, startMark, past }: CountKey & { past: PastEpoch }) {
  return { holderUid, field, startMark, ...past, counted: String(past.counted) };
}
