import { DomainError } from "../errors.ts";
import { every } from "../platform/clock.ts";
import { PLATFORM_SCOPE, readAs, type Sql, writeAs } from "../platform/postgres.ts";
import { type Batch, comparePositions, type Hub, type Subscription } from "./hub.ts";
import { type ChangeRow, deleteChangesBefore, type Position, selectChanges, selectUndecided } from "./store.ts";

export interface FeedDeps {
  readonly sql: Sql;
  readonly hub: Hub;
  readonly pollMs: number;
  /** Takes in each batch before the watchers hear of it: the node's memory is never behind what it tells. */
  readonly apply: (batch: Batch) => void;
  /**
   * Takes in changes whose place in the order is not known yet, again with each read. A long transaction anywhere in the
   * cluster holds back the log; what ends a key or stops a tenant must not wait for it.
   */
  readonly hasten: (changes: readonly ChangeRow[]) => void;
  /** Fills the node's memory anew, when what it has missed is forgotten; answers where it then stands. */
  readonly reload: () => Promise<Position>;
  readonly onError: (error: unknown) => void;
  readonly monotonic: () => number;
}

/** The node's one reader of the change log. */
export interface Feed {
  /** Reads at once, rather than at the next poll. */
  nudge(): void;
  /** Reads at once, and resolves when all that was decided before is in the node's memory. */
  refresh(): Promise<void>;
  /** Every transaction below this id is in the node's memory. */
  through(): bigint;
  position(): Position;
  /** How long ago the log was last read to its end. */
  ageMs(): number;
  stop(): Promise<void>;
}

/** Rows of one read: large enough for a burst, small enough to keep the loop responsive. */
const READ_LIMIT = 2_000;
/** The log is read far faster; a database this slow is as good as away. */
const READ_TIMEOUT_MS = 10_000;

/** Follows the change log from `start`, by polling and by nudges. Polling alone is enough; a nudge only saves time. */
export function startFeed(deps: FeedDeps, start: Position): Feed {
  let position = start;
  let through = start.xid;
  let readAt = deps.monotonic();
  let reading: Promise<void> | undefined;
  let again = false;
  let stopped = false;
  const readOnce = async () => {
    for (let more = true; more; ) {
      const result = await readChanges(deps.sql, position, READ_LIMIT);
      if (position.xid <= result.floor) {
        position = await deps.reload();
        through = position.xid;
        deps.hub.cutOff();
        continue;
      }
      if (result.undecided.length > 0) deps.hasten(result.undecided);
      more = !result.complete;
      through = result.position.xid;
      if (comparePositions(result.position, position) === 0) continue;
      position = result.position;
      const batch = { changes: result.changes, position };
      deps.apply(batch);
      deps.hub.publish(batch);
    }
    readAt = deps.monotonic();
  };
  const read = async (): Promise<void> => {
    if (reading) {
      again = true;
      return reading;
    }
    reading = readOnce().finally(() => {
      reading = undefined;
    });
    await reading;
    if (again) {
      again = false;
      await read();
    }
  };
  const stopPolling = every(deps.pollMs, read, deps.onError);
  return {
    nudge() {
      if (stopped) return;
      void read().catch((error: unknown) => {
        if (!stopped) deps.onError(error);
      });
    },
    refresh: read,
    through: () => through,
    position: () => position,
    ageMs: () => deps.monotonic() - readAt,
    async stop() {
      stopped = true;
      stopPolling();
      await reading?.catch(() => {});
    },
  };
}

/** Changes after a position, whole transactions only; complete when nothing more was decided at the time. */
export async function readChanges(sql: Sql, after: Position, limit: number): Promise<Reading> {
  const [{ rows, through, floor }, undecided] = await readAs(sql, PLATFORM_SCOPE, READ_TIMEOUT_MS, (tx) =>
    Promise.all([selectChanges(tx, after, limit), selectUndecided(tx, limit)]),
  );
  const common = { floor, undecided };
  if (rows.length < limit) {
    const end = { xid: through, seq: 0 };
    return { ...common, changes: rows, position: comparePositions(end, after) > 0 ? end : after, complete: true };
  }
  const cut = rows.at(-1)?.xid;
  const whole = rows.filter((row) => row.xid !== cut);
  const last = whole.at(-1);
  // One transaction larger than a read is taken in a larger read.
  if (!last) return readChanges(sql, after, limit * 2);
  return { ...common, changes: whole, position: { xid: last.xid, seq: last.seq }, complete: false };
}

/** What was read of the log at one time. */
interface Reading {
  readonly changes: readonly ChangeRow[];
  readonly position: Position;
  readonly complete: boolean;
  /** The newest forgotten transaction. */
  readonly floor: bigint;
  readonly undecided: readonly ChangeRow[];
}

/**
 * Yields batches after a position, for ever: first from the log, then live. Starts without gap or doubles (see hub.ts).
 * Throws REVISION_COMPACTED when changes after the position were forgotten, WATCHER_TOO_SLOW with the last position, and
 * SHUTTING_DOWN.
 */
export async function* follow(
  deps: { sql: Sql; hub: Hub; token: (position: Position) => string },
  subscription: Subscription,
  after: Position,
): AsyncGenerator<Batch> {
  let position = after;
  for (let complete = false; !complete; ) {
    const result = await readChanges(deps.sql, position, READ_LIMIT);
    // With each read: what is not read yet may be forgotten meanwhile.
    if (position.xid <= result.floor) {
      const oldest = deps.token({ xid: result.floor + 1n, seq: 0 });
      throw new DomainError("REVISION_COMPACTED", `changes before ${oldest} are forgotten`, {
        oldest_revision: oldest,
      });
    }
    complete = result.complete;
    position = result.position;
    if (result.changes.length > 0) yield { changes: result.changes, position };
  }
  yield* live(deps, subscription, position);
}

/** Yields the subscription's batches that come after a position. Throws WATCHER_TOO_SLOW and SHUTTING_DOWN. */
export async function* live(
  deps: { token: (position: Position) => string },
  subscription: Subscription,
  after: Position,
): AsyncGenerator<Batch> {
  let position = after;
  for (let batch = await subscription.next(); batch; batch = await subscription.next()) {
    if (comparePositions(batch.position, position) <= 0) continue;
    const [first] = batch.changes;
    const straddles = first !== undefined && comparePositions(first, position) <= 0;
    const start = position;
    position = batch.position;
    // A batch that straddles the start holds transactions that the reader has: they are dropped one by one.
    if (straddles) yield { changes: batch.changes.filter((change) => comparePositions(change, start) > 0), position };
    else yield batch;
  }
  const token = deps.token(position);
  if (subscription.closedBy() === "too slow") {
    throw new DomainError("WATCHER_TOO_SLOW", `the stream was read too slowly; resume with ${token}`, {
      resume_token: token,
    });
  }
  if (subscription.closedBy() === "shutdown") {
    throw new DomainError("SHUTTING_DOWN", `the server is shutting down; resume with ${token}`, {
      resume_token: token,
    });
  }
}

/** Forgets the changes and request ids that are older than they need be; of the changes those up to `through` alone. */
export async function compact(
  sql: Sql,
  input: { changesBefore: number; through: bigint; requestIdsBefore: number },
): Promise<number> {
  return writeAs(sql, PLATFORM_SCOPE, COMPACT_TIMEOUT_MS, async (tx) => {
    await tx`delete from idempotency where at < ${input.requestIdsBefore}`;
    return deleteChangesBefore(tx, input.changesBefore, input.through);
  });
}

/** A day of changes at full rate is deleted within it. */
const COMPACT_TIMEOUT_MS = 60_000;
