import type { Json, Queryable } from "../platform/postgres.ts";

/** One row of the change log: a resource before and after, null where it did not or does not exist. */
export interface ChangeRow {
  readonly xid: bigint;
  readonly seq: number;
  readonly noun: Noun;
  readonly resource: string;
  readonly tenantUid: string | null;
  readonly integratorUid: string | null;
  readonly before: unknown;
  readonly after: unknown;
  readonly at: number;
}

/** The kinds of resources whose changes are logged. */
export type Noun =
  | "tenant"
  | "plan"
  | "integrator"
  | "user"
  | "apiKey"
  | "flag"
  | "flagSegment"
  | "flagMembership"
  | "flagGroup"
  | "flagOverride"
  | "flagSchedule"
  | "meter"
  | "quotaOverride"
  | "quotaGrant"
  | "quotaPeriod"
  | "usageEvent"
  | "webhookEndpoint"
  | "event";

/** Where a reader of the change log stands: everything up to and with this row has been read. */
export interface Position {
  readonly xid: bigint;
  readonly seq: number;
}

/** Appends one change; answers the transaction's id, by which it is ordered. */
export async function insertChange(sql: Queryable, change: Omit<ChangeRow, "xid" | "seq">): Promise<bigint> {
  const [row] = await sql<{ xid: string }[]>`
    insert into change (noun, resource, tenant_uid, integrator_uid, before, after, at)
    values (${change.noun}, ${change.resource}, ${change.tenantUid}, ${change.integratorUid},
      ${change.before === null ? null : sql.json(change.before as Json)},
      ${change.after === null ? null : sql.json(change.after as Json)}, ${change.at})
    returning xid::text`;
  return BigInt(row?.xid ?? 0);
}

/**
 * Reads changes after a position in commit order. A transaction's rows appear only when no older transaction is still
 * under way, so a late committer is never skipped; `through` is the bound below which all is decided. `floor` is the
 * newest forgotten transaction: only a position above it has missed nothing.
 */
export async function selectChanges(
  sql: Queryable,
  after: Position,
  limit: number,
): Promise<{ rows: ChangeRow[]; through: bigint; floor: bigint }> {
  const rows = await sql<(Omit<ChangeRow, "xid"> & { xid: string; through: string; floor: string })[]>`
    with bound as (select pg_snapshot_xmin(pg_current_snapshot()) as xmin, xid as floor from change_floor)
    select bound.xmin::text as through, bound.floor::text, c.xid::text, c.seq, c.noun, c.resource, c.tenant_uid as "tenantUid",
      c.integrator_uid as "integratorUid", c.before, c.after, c.at
    from bound left join lateral (
      select xid, seq, noun, resource, tenant_uid, integrator_uid, before, after, at from change
      where (xid, seq) > (${String(after.xid)}::xid8, ${after.seq}::bigint) and xid < bound.xmin
      order by xid, seq limit ${limit}) c on true
    order by c.xid, c.seq`;
  return {
    through: BigInt(rows[0]?.through ?? 0),
    floor: BigInt(rows[0]?.floor ?? 0),
    rows: rows
      .filter((row) => row.xid !== null)
      .map(({ through: _, floor: __, ...row }) => ({ ...row, xid: BigInt(row.xid) })),
  };
}

/** The newest changes that are committed while an older transaction still runs: their place in the order is not known yet. */
export async function selectUndecided(sql: Queryable, limit: number): Promise<ChangeRow[]> {
  const rows = await sql<(Omit<ChangeRow, "xid"> & { xid: string })[]>`
    select xid::text, seq, noun, resource, tenant_uid as "tenantUid", integrator_uid as "integratorUid", before, after
    from change where xid >= pg_snapshot_xmin(pg_current_snapshot()) order by xid desc, seq desc limit ${limit}`;
  return rows.map((row) => ({ ...row, xid: BigInt(row.xid) }));
}

/** The oldest transaction whose changes may still be running or unread: a snapshot taken now holds all before it. */
export async function selectBound(sql: Queryable): Promise<bigint> {
  const [row] = await sql<{ xmin: string }[]>`select pg_snapshot_xmin(pg_current_snapshot())::text as xmin`;
  return BigInt(row?.xmin ?? 0);
}

/** Forgets changes older than an instant, up to a transaction, and remembers up to where; answers how many. */
export async function deleteChangesBefore(sql: Queryable, at: number, through: bigint): Promise<number> {
  const deleted = await sql<{ n: number; last: string | null }[]>`
    with gone as (
      delete from change where at < ${at} and xid <= ${String(through)}::xid8
        and xid < pg_snapshot_xmin(pg_current_snapshot()) returning xid)
    select (select count(*) from gone)::int as n, (select xid from gone order by xid desc limit 1)::text as last`;
  const [row] = deleted;
  if (row?.last) await sql`update change_floor set xid = greatest(xid, ${row.last}::xid8)`;
  return row?.n ?? 0;
}
