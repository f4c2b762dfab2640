import type { Json, Queryable } from "../platform/postgres.ts";

/** What was spent of a count in an epoch. */
export interface Admission {
  readonly holderUid: string;
  readonly field: string;
  readonly mark: number;
  readonly epoch: number;
  readonly spent: number;
}

/** Adds to the ledger what was spent. */
export async function addAdmissions(sql: Queryable, admissions: readonly Admission[]): Promise<void> {
  await sql`
    insert into admission as a (holder_uid, field, mark, epoch, spent, updated_at)
    select w."holderUid", w.field, w.mark, w.epoch, sum(w.spent), now()
    from jsonb_to_recordset(${json(sql, admissions)}) as w("holderUid" uuid, field text, mark bigint, epoch bigint,
      spent bigint)
    join quota_holder h on h.holder_uid = w."holderUid"
    group by w."holderUid", w.field, w.mark, w.epoch order by w."holderUid", w.field, w.mark, w.epoch
    on conflict (holder_uid, field, mark, epoch) do update set spent = a.spent + excluded.spent, updated_at = now()`;
}

/** Registers a node that is about to admit. */
export async function insertNode(sql: Queryable, nodeUid: string): Promise<void> {
  await sql`insert into quota_node (node_uid, started_at, flushed_at, flush_number) values (${nodeUid}, now(), now(), 0)`;
}

/**
 * Says that the ledger has all that a node was told before this transaction began; false when a write of this number was
 * carried out before.
 */
export async function touchNode(sql: Queryable, nodeUid: string, flushNumber: number): Promise<boolean> {
  const rows = await sql`update quota_node set flushed_at = now(), flush_number = ${flushNumber}
    where node_uid = ${nodeUid} and flush_number = ${flushNumber - 1} returning 1`;
  return rows.length > 0;
}

/** Says that a node has written its whole ledger and admits nothing more. */
export async function stopNode(sql: Queryable, nodeUid: string): Promise<void> {
  await sql`update quota_node set stopped_at = now() where node_uid = ${nodeUid}`;
}

/** Forgets nodes that stopped, or vanished, long ago. */
export async function deleteOldNodes(sql: Queryable, keepMs: number): Promise<void> {
  await sql`delete from quota_node where coalesce(stopped_at + interval '1 day', flushed_at
    + make_interval(secs => ${keepMs / 1_000})) < now()`;
}

/** Takes down what the hot state had spent of periods when they ended. */
export async function updateEndedPeriods(sql: Queryable, ended: readonly Admission[]): Promise<void> {
  await sql`
    update allotment a set ended_spent = w.spent
    from jsonb_to_recordset(${json(sql, ended)}) as w("holderUid" uuid, field text, mark bigint, epoch bigint, spent bigint)
    where a.holder_uid = w."holderUid" and a.field = w.field and a.start_mark = w.mark and a.epoch = w.epoch`;
}

/** What was used of a limit in a period, as far as the nodes have told. */
export async function selectUsedInWindow(
  sql: Queryable,
  window: { holderUid: string; limitId: string; windowId: string },
): Promise<bigint> {
  const [row] = await sql<{ used: string }[]>`
    select coalesce(sum(a.base + greatest(coalesce(a.ended_spent, 0), ${spentIn(sql, "a")})), 0)::text as used
    from allotment a where a.holder_uid = ${window.holderUid} and a.limit_id = ${window.limitId}
      and a.window_id = ${window.windowId}`;
  return BigInt(row?.used ?? 0);
}

/** What is known to be spent in the epoch and since the mark of a row called so: the ledger, and what is still open. */
export function spentIn(sql: Queryable, row: "a" | "e") {
  const of = (
    table: string,
  ) => sql`${sql(table)}.holder_uid = ${sql(row)}.holder_uid and ${sql(table)}.field = ${sql(row)}.field
    and ${sql(table)}.mark = ${sql(row)}.mark and ${sql(table)}.epoch = ${sql(row)}.epoch`;
  return sql`coalesce((select spent from admission m where ${of("m")}), 0)
    + coalesce((select sum(amount) from allotment_hold o where ${of("o")}), 0)`;
}

/** Rows as a parameter for jsonb_to_recordset. */
export function json(sql: Queryable, rows: readonly object[]) {
  return sql.json(rows as unknown as Json);
}
