import type { Json, Queryable } from "../platform/postgres.ts";
import { eraOf, shardOf, type UsageEvent } from "./event.ts";

/** An event with the key that its source and id give. */
export interface KeyedEvent extends UsageEvent {
  /** A UUID. */
  readonly key: string;
}

/** A stored event. */
export interface StoredEvent {
  readonly tenantUid: string;
  readonly key: string;
  readonly source: string;
  readonly id: string;
  readonly type: string;
  readonly at: number;
  readonly data: Readonly<Record<string, unknown>>;
  readonly era: number;
  readonly voidedAt: number | null;
}

/** Tells the locks of tenants' events from others. */
const EVENT_LOCK_SPACE = 2;

/**
 * Waits for the turn of each tenant to take in events: of two nodes that get the same event at once, the second one
 * then sees it. Tenants in the order of their uids, so that turns can't cross.
 */
export async function lockTenants(sql: Queryable, tenantUids: readonly string[]): Promise<void> {
  const sorted = [...new Set(tenantUids)].sort();
  await sql`select pg_advisory_xact_lock(${EVENT_LOCK_SPACE}, hashtext(uid)) from unnest(${sorted}::text[]) as uid`;
}

/** Inserts the events that are new; answers the keys of those, as "tenant uid/key". */
export async function insertEvents(sql: Queryable, events: readonly KeyedEvent[], now: number): Promise<Set<string>> {
  const column = <T>(read: (event: KeyedEvent) => T) => events.map(read);
  const era = eraOf(now);
  const rows = await sql<{ tenantUid: string; key: string }[]>`
    insert into usage_event (era, tenant_uid, event_key, source, event_id, event_type, at, received_at, data, shard)
    select ${era}, e.tenant_uid, e.event_key, e.source, e.event_id, e.event_type, to_timestamp(e.at / 1000.0),
      to_timestamp(${now}::float8 / 1000), e.data::jsonb, e.shard
    from unnest(${column((e) => e.tenantUid)}::uuid[], ${column((e) => e.key)}::uuid[],
      ${column((e) => e.source)}::text[], ${column((e) => e.id)}::text[], ${column((e) => e.type)}::text[],
      ${column((e) => e.at)}::float8[], ${column((e) => JSON.stringify(e.data))}::text[],
      ${column((e) => shardOf(e.tenantUid))}::smallint[])
      as e (tenant_uid, event_key, source, event_id, event_type, at, data, shard)
    where not exists (select from usage_event p
      where p.tenant_uid = e.tenant_uid and p.event_key = e.event_key and p.era = ${era - 1})
    on conflict do nothing
    returning tenant_uid as "tenantUid", event_key as key`;
  return new Set(rows.map(({ tenantUid, key }) => `${tenantUid}/${key}`));
}

/** Sees to it that the era of an instant and the next one are there. */
export async function beginEras(sql: Queryable, now: number): Promise<void> {
  await sql`select begin_usage_era(${eraOf(now)}::int), begin_usage_era(${eraOf(now) + 1}::int)`;
}

/** Drops the eras before the one of an instant; answers how many. */
export async function endErasBefore(sql: Queryable, keptFrom: number): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select end_usage_eras(${eraOf(keptFrom)}::int) as n`;
  return row?.n ?? 0;
}

/** Where the folding of a shard stands. */
export interface FoldCursor {
  readonly xid: bigint;
  readonly seq: number;
}

/** The cursor of a shard, locked until the transaction ends; undefined when another node has it. */
export async function lockFoldCursor(sql: Queryable, shard: number): Promise<FoldCursor | undefined> {
  const [row] = await sql<{ xid: string; seq: number }[]>`
    select xid::text, seq from usage_cursor where shard = ${shard} for update skip locked`;
  return row && { xid: BigInt(row.xid), seq: row.seq };
}

/** Waits until nobody folds a shard, and keeps it so until the transaction ends. */
export async function holdFoldCursor(sql: Queryable, shard: number): Promise<void> {
  await sql`select from usage_cursor where shard = ${shard} for update`;
}

/** An event to be folded. */
export interface FoldEvent extends Pick<StoredEvent, "tenantUid" | "type" | "at" | "data" | "voidedAt"> {
  readonly xid: bigint;
  readonly seq: number;
}

/**
 * Events of a shard after a cursor in the order of their commits; none that a transaction under way may come before. Those that
 * count no more are among them, to be passed over.
 */
export async function selectToFold(
  sql: Queryable,
  shard: number,
  after: FoldCursor,
  limit: number,
): Promise<FoldEvent[]> {
  const rows = await sql<(Omit<FoldEvent, "xid"> & { xid: string })[]>`
    select e.tenant_uid as "tenantUid", e.event_type as type, e.at, e.data, e.voided_at as "voidedAt",
      e.xid::text, e.seq
    from usage_event e
    where e.shard = ${shard} and (e.xid, e.seq) > (${String(after.xid)}::xid8, ${after.seq}::bigint)
      and e.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by e.xid, e.seq limit ${limit}`;
  return rows.map((row) => ({ ...row, xid: BigInt(row.xid) }));
}

/** Moves a shard's cursor on. */
export async function moveFoldCursor(sql: Queryable, shard: number, to: FoldCursor): Promise<void> {
  await sql`update usage_cursor set xid = ${String(to.xid)}::xid8, seq = ${to.seq} where shard = ${shard}`;
}

/** Up to when everything is folded: the receipt of the oldest event that is not, or else `now`. */
export async function selectWatermark(sql: Queryable, now: number): Promise<number> {
  const [row] = await sql<{ at: number | null }[]>`select min(e.received_at) as at
    from usage_cursor c join usage_event e on e.shard = c.shard and (e.xid, e.seq) > (c.xid, c.seq)`;
  return row?.at ?? now;
}

/** The shards that have events which are not folded yet. */
export async function selectShardsToFold(sql: Queryable): Promise<number[]> {
  const rows = await sql<{ shard: number }[]>`
    select c.shard from usage_cursor c where exists (select from usage_event e
      where e.shard = c.shard and (e.xid, e.seq) > (c.xid, c.seq))`;
  return rows.map(({ shard }) => shard);
}

/** One event by its key, locked until the transaction ends. */
export async function selectEvent(sql: Queryable, tenantUid: string, key: string): Promise<StoredEvent | undefined> {
  const [row] = await sql<StoredEvent[]>`select tenant_uid as "tenantUid", event_key as key, source, event_id as id,
      event_type as type, at, data, era, voided_at as "voidedAt"
    from usage_event where tenant_uid = ${tenantUid} and event_key = ${key} order by era desc limit 1 for update`;
  return row;
}

/** Writes an event's data and whether it counts. */
export async function updateEvent(sql: Queryable, event: StoredEvent): Promise<void> {
  await sql`update usage_event set data = ${sql.json(event.data as Json)}, voided_at = ${event.voidedAt}
    where tenant_uid = ${event.tenantUid} and event_key = ${event.key} and era = ${event.era}`;
}

/** Events of a tenant within a range that count and are folded, as far as a cursor says. */
export function selectFolded(
  sql: Queryable,
  range: { tenantUid: string; startAt: number; endAt: number },
): Promise<Pick<StoredEvent, "type" | "at" | "data">[]> {
  return sql<Pick<StoredEvent, "type" | "at" | "data">[]>`
    select e.event_type as type, e.at, e.data from usage_event e join usage_cursor c on c.shard = e.shard
    where e.tenant_uid = ${range.tenantUid} and e.at >= ${range.startAt} and e.at < ${range.endAt}
      and e.voided_at is null and (e.xid, e.seq) <= (c.xid, c.seq)
    order by e.at, e.seq`;
}
