import { type Answers, createAnswers } from "./answers.ts";
import type { GcraState } from "./gcra.ts";
import { carryOut, type OpenPart } from "./run.ts";
import type { SlidingState } from "./sliding-window.ts";
import {
  type EndedCount,
  type HotBatch,
  type HotGrant,
  type HotHolder,
  type HotLimit,
  type HotOutcome,
  type HotReply,
  type HotRun,
  type HotState,
  KIND,
  MODE,
} from "./state.ts";
import {
  type Counter,
  emptyCounter,
  type SlotSet,
  type Tally,
  tallyCounter,
  tallyGcra,
  tallySliding,
  tallySlots,
} from "./tally.ts";

/**
 * The hot state in the node's memory, for a single node: lost whenever the node ends, and then as cold as a lost Redis.
 * `fence` must differ between any two starts.
 */
export function createMemoryState(deps: { now: () => number; fence: string }): HotState & { lose(): void } {
  const holders = new Map<string, Counts>();
  const live = (holder: HotHolder, epoch: number) => {
    const counts = holders.get(holder.uid);
    return counts?.epoch === epoch ? counts : undefined;
  };
  return {
    decide: async (batch) => decide(holders, batch, deps.now(), deps.fence),
    async install(holder, epoch, wasLost) {
      const known = holders.get(holder.uid);
      if (known && known.epoch >= epoch) return false;
      holders.set(holder.uid, emptyCounts(epoch, deps.now(), wasLost, known));
      return true;
    },
    async raise(holder, epoch, grants) {
      const counts = live(holder, epoch);
      return counts ? grants.flatMap((grant) => raiseCounter(counts, grant)) : [];
    },
    async lower(holder, epoch, field, keep) {
      const counter = live(holder, epoch)?.counters.get(field);
      if (!counter || counter.grant === 0) return undefined;
      const given = counter.spent + counter.held + keep;
      if (given >= counter.given) return undefined;
      live(holder, epoch)?.counters.set(field, { ...counter, given });
      return { mark: counter.mark, grant: counter.grant, given };
    },
    forget: async (holder) => void holders.delete(holder.uid),
    isPrivate: true,
    laneOf: () => "",
    stop: async () => holders.clear(),
    lose: () => holders.clear(),
  };
}

/** All counts of one holder in one epoch. */
interface Counts {
  readonly epoch: number;
  /** When it was made live after a loss; 0 when nothing was lost. */
  readonly coldAt: number;
  readonly counters: Map<string, Counter>;
  readonly levels: Map<string, GcraState>;
  readonly windows: Map<string, SlidingState>;
  readonly slots: Map<string, { expiries: SlotSet["expiries"]; lostAt: number | undefined }>;
  readonly reservations: Set<string>;
  readonly answers: Answers<Answer>;
}

interface Answer {
  readonly hash: string;
  readonly outcome: HotOutcome;
}

// Answers and slots that outlive an epoch stay known: a retry is still a retry, and a slot is still held.
function emptyCounts(epoch: number, now: number, wasLost: boolean, former: Counts | undefined): Counts {
  const slots = [...(former?.slots ?? [])].map(
    ([field, { expiries }]) => [field, { expiries, lostAt: undefined }] as const,
  );
  return {
    epoch,
    coldAt: wasLost ? now : 0,
    counters: new Map(),
    levels: new Map(),
    windows: new Map(),
    slots: new Map(slots),
    reservations: new Set(),
    answers: former?.answers ?? createAnswers(now),
  };
}

function raiseCounter(counts: Counts, grant: HotGrant): EndedCount[] {
  const { field, kind, mark, grant: number, base, given } = grant;
  const known = counts.counters.get(field) ?? emptyCounter(0);
  if (mark < known.mark || (mark === known.mark && number <= known.grant)) return [];
  const isNext = mark > known.mark;
  const held = isNext && kind === KIND.PERIOD ? 0 : known.held;
  let spent = isNext ? 0 : known.spent;
  // What is used is never below nothing, however the base was settled.
  if (typeof base === "number") spent = Math.max(spent, -base);
  counts.counters.set(field, { mark, grant: number, base, given, spent, held });
  return isNext && known.grant > 0 ? [{ field, mark: known.mark, spent: known.spent }] : [];
}

function decide(holders: ReadonlyMap<string, Counts>, batch: HotBatch, now: number, fence: string): HotReply {
  const counts = batch.holders.map((holder) => holders.get(holder.uid));
  const tallies = batch.limits.map(({ holder, limit }) => {
    const of = counts[holder];
    return of ? openTally(of, limit, now) : tallyCounter(limit, undefined, () => {});
  });
  const outcomes = batch.runs.map((run) => decideRun(batch, run, counts, tallies, now));
  return {
    now,
    fence,
    epochs: counts.map((of) => of?.epoch ?? 0),
    limits: tallies.map((tally) => tally.facts),
    outcomes,
  };
}

function openTally(counts: Counts, limit: HotLimit, now: number): Tally {
  const { field } = limit;
  const { counters, levels, windows, slots, coldAt } = counts;
  switch (limit.kind) {
    case KIND.PERIOD:
    case KIND.GAUGE:
      return tallyCounter(limit, counters.get(field), (counter) => counters.set(field, counter));
    case KIND.GCRA:
      return tallyGcra(limit, levels.get(field), now, coldAt, (state) => levels.set(field, state));
    case KIND.SLIDING:
      return tallySliding(limit, windows.get(field), now, coldAt, (state) => windows.set(field, state));
    case KIND.SLOTS: {
      const known = slots.get(field);
      const expiries = known?.expiries ?? new Map();
      // Slots that outlived their count may have been others too.
      const set = { expiries, lostAt: known?.lostAt ?? (expiries.size > 0 ? now : coldAt) };
      slots.set(field, set);
      return tallySlots(limit, set, now);
    }
    default:
      return limit.kind satisfies never;
  }
}

function decideRun(
  batch: HotBatch,
  run: HotRun,
  counts: readonly (Counts | undefined)[],
  tallies: readonly Tally[],
  now: number,
): HotOutcome {
  const holderOf = (limit: number) => batch.limits[limit]?.holder ?? 0;
  const { answer } = run;
  const isCold = run.parts.some((part) => !counts[holderOf(part.limit)]) || (answer && !counts[answer.holder]);
  if (isCold && run.mode !== MODE.RESOLVE) return { status: "COLD" };
  const answers = answer && counts[answer.holder]?.answers;
  if (answer && answers) {
    const known = answers.find(answer.id, now);
    if (known) return known.hash === answer.hash ? known.outcome : { status: "REUSED" };
    if (answers.isFull()) return { status: "FULL" };
  }
  const { outcome, counted } = carryOut(run, openParts(batch, run, counts, tallies));
  if (outcome.status !== "DECIDED" || !counted) return outcome;
  if (run.mode === MODE.HOLD) remember(run, counts, holderOf);
  if (answer && answers) {
    const bases = run.parts.map((part) => tallies[part.limit]?.facts.base ?? 0);
    const replay = { signature: answer.signature, at: now, bases };
    answers.keep(answer.id, { hash: answer.hash, outcome: { ...outcome, status: "REPLAYED", replay } });
  }
  return outcome;
}

function openParts(
  batch: HotBatch,
  run: HotRun,
  counts: readonly (Counts | undefined)[],
  tallies: readonly Tally[],
): OpenPart[] {
  const known = new Map<number, boolean>();
  return run.parts.map((part) => {
    const holder = batch.limits[part.limit]?.holder ?? 0;
    const of = counts[holder];
    const tally = tallies[part.limit] as Tally;
    const kind = batch.limits[part.limit]?.limit.kind;
    if (run.mode === MODE.RESOLVE && !known.has(holder)) {
      known.set(holder, of?.reservations.delete(run.reservationId ?? "") ?? false);
    }
    // An observation of a gauge leaves what is held as it is: it is no other count to whoever holds some of it.
    const holds = run.mode === MODE.HOLD || run.mode === MODE.RESOLVE;
    const anyMark = kind !== KIND.PERIOD && (kind !== KIND.GAUGE || holds);
    const isSame = !part.epoch || (part.epoch === of?.epoch && (anyMark || part.mark === tally.facts.mark));
    return { part, tally, isSame, isKnown: known.get(holder) ?? false };
  });
}

function remember(run: HotRun, counts: readonly (Counts | undefined)[], holderOf: (limit: number) => number): void {
  for (const part of run.parts) counts[holderOf(part.limit)]?.reservations.add(run.reservationId ?? "");
}
