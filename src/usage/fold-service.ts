import { selectCountingMeters } from "../meter/store.ts";
import type { MutationDeps } from "../mutation.ts";
import { PLATFORM_SCOPE, type Queryable, readAs, writeAs } from "../platform/postgres.ts";
import {
  addToBuckets,
  addUniques,
  type BucketMeasure,
  clearHour,
  insertGroups,
  rebuildDay,
  selectGroups,
  takeDirty,
  type UniqueMeasure,
} from "./bucket-store.ts";
import { shardOf } from "./event.ts";
import {
  holdFoldCursor,
  lockFoldCursor,
  moveFoldCursor,
  selectFolded,
  selectShardsToFold,
  selectToFold,
} from "./event-store.ts";
import { type CountingMeter, measure, otherGroup } from "./measure.ts";
import { dayOf, hourOf } from "./window.ts";

export interface FoldDeps extends Pick<MutationDeps, "sql" | "clock"> {
  /** A UUID made of a text. */
  readonly keyOf: (text: string) => string;
}

/** Events of one step: a second's work, and some megabytes of data. */
const FOLD_LIMIT = 10_000;
/** Groups of one tenant's meter; more of them make a table that nobody reads, and that grows without end. */
export const GROUPS_MAX = 1_000;
/** Minutes that are counted anew in one step. */
const DIRTY_LIMIT = 60;
/** A step takes a second or two; a database this slow is as good as away. */
const STEP_TIMEOUT_MS = 60_000;

/** Something that happened at a time to a tenant, with what the meters read from it. */
interface Counted {
  readonly tenantUid: string;
  readonly type: string;
  readonly at: number;
  readonly data: unknown;
}

/** The shards that have something to fold. */
export function shardsToFold(deps: FoldDeps): Promise<number[]> {
  return readAs(deps.sql, PLATFORM_SCOPE, STEP_TIMEOUT_MS, selectShardsToFold);
}

/**
 * Folds the next events of a shard into the roll-ups: in one transaction with the shard's cursor, so each counts once,
 * whatever crashes. Answers true when there may be more.
 */
export function foldShard(deps: FoldDeps, shard: number): Promise<boolean> {
  return writeAs(deps.sql, PLATFORM_SCOPE, STEP_TIMEOUT_MS, async (tx) => {
    const cursor = await lockFoldCursor(tx, shard);
    if (!cursor) return false;
    const events = await selectToFold(tx, shard, cursor, FOLD_LIMIT);
    const counting = events.filter(({ voidedAt }) => voidedAt === null);
    await count(deps, tx, await countingMeters(tx), counting);
    const last = events.at(-1);
    if (last) await moveFoldCursor(tx, shard, last);
    return events.length === FOLD_LIMIT;
  });
}

/** Counts anew what corrections have touched, an hour at a time. Answers true when there may be more. */
export async function recount(deps: FoldDeps): Promise<boolean> {
  return writeAs(deps.sql, PLATFORM_SCOPE, STEP_TIMEOUT_MS, async (tx) => {
    const dirty = await takeDirty(tx, DIRTY_LIMIT);
    if (dirty.length === 0) return false;
    const hours = new Map(dirty.map((mark) => [`${mark.tenantUid} ${hourOf(mark.minuteAt)}`, mark]));
    const meters = await countingMeters(tx);
    // While a shard is folded its hours can't be counted; in the order of shards, so that two recounts can't cross.
    const shards = [...new Set([...hours.values()].map(({ tenantUid }) => shardOf(tenantUid)))].sort((a, b) => a - b);
    for (const shard of shards) await holdFoldCursor(tx, shard);
    for (const { tenantUid, minuteAt } of hours.values()) {
      const startAt = hourOf(minuteAt);
      await clearHour(tx, tenantUid, startAt);
      const events = await selectFolded(tx, { tenantUid, startAt, endAt: startAt + HOUR_MS });
      await count(
        deps,
        tx,
        meters,
        events.map((event) => ({ ...event, tenantUid })),
      );
      await rebuildDay(tx, tenantUid, dayOf(minuteAt));
    }
    return dirty.length === DIRTY_LIMIT;
  });
}

const HOUR_MS = 3_600_000;

/** The meters that count events, as they are now. */
export async function countingMeters(sql: Queryable): Promise<CountingMeter[]> {
  const meters = await selectCountingMeters(sql);
  return meters.flatMap(({ meterId, eventSource }) => (eventSource ? [{ meterId, eventSource }] : []));
}

async function count(deps: FoldDeps, tx: Queryable, meters: readonly CountingMeter[], events: readonly Counted[]) {
  const measures = events.flatMap(({ tenantUid, at, ...event }) =>
    measure(meters, event).map((found) => ({ ...found, tenantUid, at })),
  );
  if (measures.length === 0) return;
  const grouped = await withinBounds(tx, meters, measures);
  const unique = new Set(
    meters.filter(({ eventSource }) => eventSource.aggregation === "UNIQUE_COUNT").map(({ meterId }) => meterId),
  );
  const uniques = grouped.filter(({ meterId }) => unique.has(meterId));
  await addUniques(
    tx,
    uniques.map(({ value, ...rest }): UniqueMeasure => ({ ...rest, valueKey: deps.keyOf(value) })),
  );
  // How many events there were is worth knowing of those meters, too.
  await addToBuckets(
    tx,
    grouped.map((found) => (unique.has(found.meterId) ? { ...found, value: "1" } : found)),
  );
}

// Groups past the bound become "(other)", whose sum stays right.
async function withinBounds(
  tx: Queryable,
  meters: readonly CountingMeter[],
  measures: readonly BucketMeasure[],
): Promise<BucketMeasure[]> {
  const pairOf = ({ tenantUid, meterId }: { tenantUid: string; meterId: string }) => `${tenantUid}/${meterId}`;
  const pairs = new Map(measures.map((found) => [pairOf(found), found]));
  const groups = new Map<string, Set<string>>([...pairs.keys()].map((pair) => [pair, new Set()]));
  for (const known of await selectGroups(tx, [...pairs.values()])) groups.get(pairOf(known))?.add(known.groupKey);
  const others = new Map(meters.map(({ meterId, eventSource }) => [meterId, otherGroup(eventSource)]));
  const fresh: BucketMeasure[] = [];
  const bounded = measures.map((found) => {
    const known = groups.get(pairOf(found));
    if (!known || known.has(found.groupKey)) return found;
    if (known.size >= GROUPS_MAX) return { ...found, groupKey: others.get(found.meterId) ?? found.groupKey };
    known.add(found.groupKey);
    fresh.push(found);
    return found;
  });
  await insertGroups(tx, fresh);
  return bounded;
}
