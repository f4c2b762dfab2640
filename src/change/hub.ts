/*
 * The change hub: one reader of the change log, any number of watchers, and no watcher that can hold up another.
 *
 * A node reads the change log once (`feed` in service.ts) and publishes what it read here, one batch at a time. A batch is
 * a run of whole transactions in commit order, with the position after it. Batches without changes are published too:
 * they carry nothing but a newer position, which becomes the watchers' heartbeat token.
 *
 * Each watcher owns a bounded queue. Publishing appends the same batch object to every queue and returns: it never waits,
 * so the writer's speed does not depend on any reader. A watcher whose queue is full is closed on the spot with
 * "too slow"; what it has not taken is dropped, and it can resume from the position of the last batch that it did take.
 * Memory is bounded by watchers x queue length x pointer, since batches are shared.
 *
 * How a watcher starts without a gap and without doubles: it subscribes first, and only then looks at the state or reads
 * the old changes from the log. Everything published since is in its queue. It then skips the batches that end at or
 * before the position where its state or its reading ended. Positions compare by transaction id, then by sequence, and
 * batches never split a transaction, so a batch is either wholly old or wholly new to it.
 *
 * The order of transaction ids is the order of writes for every root, because a write draws its id while it holds the
 * root's turn (see mutation.ts). It is not the order of commits between unrelated roots, and nobody can tell.
 *
 * Pure: no timers, no I/O. Waiting is a promise that `publish` or `close` resolves.
 */
import type { ChangeRow, Position } from "./store.ts";

/** Whole transactions in order, and the position after them. */
export interface Batch {
  readonly changes: readonly ChangeRow[];
  readonly position: Position;
}

/** A watcher's end of the hub. */
export interface Subscription {
  /** The next batch; undefined when the subscription was closed and all was taken. */
  next(): Promise<Batch | undefined>;
  /** Why the hub closed it, if it did. */
  closedBy(): "too slow" | "shutdown" | undefined;
  close(): void;
}

export interface Hub {
  publish(batch: Batch): void;
  subscribe(): Subscription;
  watchers(): number;
  /** Ends every subscription as too slow: the node itself has missed changes. */
  cutOff(): void;
  /** Ends every subscription once its queue is empty. */
  shutdown(): void;
}

/** At five polls a second an idle watcher may stall this many batches: over three minutes. A burst fits as well. */
const QUEUE_MAX_BATCHES = 1_024;

/** Makes a hub. */
export function createHub(queueMax: number = QUEUE_MAX_BATCHES): Hub {
  const members = new Set<Member>();
  return {
    publish(batch) {
      for (const member of members) {
        if (member.queue.length >= queueMax) end(members, member, "too slow");
        else {
          member.queue.push(batch);
          member.wake();
        }
      }
    },
    subscribe() {
      const member: Member = { queue: [], wake: () => {}, closed: false, why: undefined };
      members.add(member);
      return {
        async next() {
          if (member.queue.length === 0 && !member.closed) {
            await new Promise<void>((resolve) => {
              member.wake = resolve;
            });
          }
          return member.why === "too slow" ? undefined : member.queue.shift();
        },
        closedBy: () => member.why,
        close: () => end(members, member, undefined),
      };
    },
    watchers: () => members.size,
    cutOff() {
      for (const member of members) end(members, member, "too slow");
    },
    shutdown() {
      for (const member of members) end(members, member, "shutdown");
    },
  };
}

/** Orders two positions: negative when `a` comes first. */
export function comparePositions(a: Position, b: Position): number {
  if (a.xid !== b.xid) return a.xid < b.xid ? -1 : 1;
  return a.seq - b.seq;
}

interface Member {
  readonly queue: Batch[];
  wake: () => void;
  closed: boolean;
  why: "too slow" | "shutdown" | undefined;
}

function end(members: Set<Member>, member: Member, why: Member["why"]): void {
  members.delete(member);
  member.closed = true;
  member.why ??= why;
  member.wake();
}
