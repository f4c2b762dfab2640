import { type Amount, difference } from "./amount.ts";
import { type GcraState, gcraUsed, leak } from "./gcra.ts";
import { faded, roll, type SlidingState } from "./sliding-window.ts";
import { type HotFacts, type HotLimit, KIND, MODE, type Mode } from "./state.ts";

/** The count of a period or a gauge: what this epoch was given and what of it is spent or held, above a base. */
export interface Counter {
  readonly mark: number;
  readonly grant: number;
  readonly base: Amount;
  readonly given: number;
  readonly spent: number;
  readonly held: number;
}

/** The time of expiry of each slot, and when slots were last lost. */
export interface SlotSet {
  readonly expiries: Map<string, number>;
  readonly lostAt: number;
}

/** The count of a limit, of whatever kind, as a run sees it. */
export interface Tally {
  readonly facts: HotFacts;
  /** It knows its base; of rates and slots always. */
  readonly isAttached: boolean;
  used(): number;
  /** What is held; of slots, when the next one expires, or -1 when this one is held. */
  held(slot: string): number;
  /** What is free by what was given, and by the cap. */
  free(mode: Mode, slot: string): { given: number; cap: number };
  add(amount: number, slot: string, mode: Mode): void;
  /** Takes away, at most down to nothing used; answers how much. */
  subtract(amount: number, slot: string): number;
  /** Turns what was held into what was spent. */
  resolve(held: number, spent: number): void;
}

/** The tally of a period or a gauge; `keep` takes in what it becomes. */
export function tallyCounter(limit: HotLimit, stored: Counter | undefined, keep: (counter: Counter) => void): Tally {
  const startAt = limit.kind === KIND.PERIOD ? limit.startAt : 0;
  let counter = stored && stored.mark >= startAt ? stored : emptyCounter(startAt);
  const change = (spent: number, held: number) => {
    counter = { ...counter, spent, held };
    keep(counter);
  };
  const { mark, grant, base, given } = counter;
  return {
    facts: { mark, grant, base, given, rest: 0, before: 0 },
    isAttached: grant > 0,
    used: () => counter.spent,
    held: () => counter.held,
    free(mode) {
      const used = counter.spent + counter.held;
      const cap = mode === MODE.FORCE ? MAX : difference(limit.cap, base) - used;
      // A count that no grant has reached yet does not know its base.
      if (grant === 0) return { given: -1, cap };
      return { given: mode === MODE.CHECK_ONLY ? cap : given - used, cap };
    },
    add(amount, _, mode) {
      const isHold = mode === MODE.HOLD;
      change(isHold ? counter.spent : atMost(counter.spent + amount), counter.held + (isHold ? amount : 0));
    },
    subtract(amount) {
      const taken = typeof base === "number" ? within(amount, base + counter.spent) : amount;
      change(counter.spent - taken, counter.held);
      return taken;
    },
    resolve: (held, spent) => change(atMost(counter.spent + spent), counter.held - held),
  };
}

/** A count that nothing was given to. */
export function emptyCounter(mark: number): Counter {
  return { mark, grant: 0, base: 0, given: 0, spent: 0, held: 0 };
}

/** The tally of a GCRA rate. After a loss a strict one starts full: it admits nothing until it has leaked. */
export function tallyGcra(
  limit: HotLimit,
  stored: GcraState | undefined,
  now: number,
  coldAt: number,
  keep: (state: GcraState) => void,
): Tally {
  const cap = difference(limit.cap, 0);
  const isLost = !stored && limit.strict && coldAt > 0;
  const before = stored ?? (isLost ? { level: cap, rest: 0, at: coldAt } : { level: 0, rest: 0, at: now });
  let state = leak(before, limit, now);
  const move = (level: number) => {
    state = { ...state, level };
    keep(state);
  };
  return rateTally(limit, cap, {
    facts: { ...NO_FACTS, rest: state.rest },
    used: () => gcraUsed(state),
    least: Math.min(1, state.rest),
    move: (used) => move(used - Math.min(1, state.rest)),
  });
}

/** The tally of a sliding window. After a loss a strict one starts with a full window. */
export function tallySliding(
  limit: HotLimit,
  stored: SlidingState | undefined,
  now: number,
  coldAt: number,
  keep: (state: SlidingState) => void,
): Tally {
  const { windowMs } = limit;
  const cap = difference(limit.cap, 0);
  const isLost = !stored && limit.strict && coldAt > 0;
  const from = isLost ? coldAt : now;
  const empty = { startAt: from - (from % windowMs), count: isLost ? cap : 0, before: 0 };
  let state = roll(stored ?? empty, windowMs, now);
  const rest = faded(state, windowMs, now);
  return rateTally(limit, cap, {
    facts: { ...NO_FACTS, mark: state.startAt, before: state.before, rest },
    used: () => state.count + rest,
    least: rest,
    move(used) {
      state = { ...state, count: used - rest };
      keep(state);
    },
  });
}

/** The tally of slots. After a loss strict ones are only extended until all that were lost have expired. */
export function tallySlots(limit: HotLimit, { expiries, lostAt }: SlotSet, now: number): Tally {
  for (const [slot, expiresAt] of expiries) if (expiresAt <= now) expiries.delete(slot);
  const closedUntil = limit.strict && lostAt > 0 ? lostAt + limit.windowMs : 0;
  return {
    facts: { ...NO_FACTS, before: closedUntil },
    isAttached: true,
    used: () => expiries.size,
    held(slot) {
      if (expiries.has(slot)) return -1;
      return expiries.size > 0 ? Math.min(...expiries.values()) : 0;
    },
    free(mode, slot) {
      if (mode === MODE.FORCE || expiries.has(slot)) return { given: MAX, cap: MAX };
      const cap = closedUntil > now ? 0 : (limit.soft ? MAX : difference(limit.cap, 0)) - expiries.size;
      return { given: cap, cap };
    },
    add(_, slot) {
      expiries.set(slot, now + limit.windowMs);
    },
    subtract: (_, slot) => (expiries.delete(slot) ? 1 : 0),
    resolve: () => {},
  };
}

const MAX = Number.MAX_SAFE_INTEGER;
const NO_FACTS: HotFacts = { mark: 0, grant: 0, base: 0, given: 0, rest: 0, before: 0 };

// What rates have in common: `least` is what can't be taken away, `move` sets what is used.
function rateTally(
  limit: HotLimit,
  cap: number,
  rate: { facts: HotFacts; used: () => number; least: number; move: (used: number) => void },
): Tally {
  const tally: Tally = {
    facts: rate.facts,
    isAttached: true,
    used: rate.used,
    held: () => 0,
    free(mode) {
      const free = mode === MODE.FORCE ? MAX : (limit.soft ? MAX : cap) - rate.used();
      return { given: free, cap: free };
    },
    add(amount, _, mode) {
      // What a soft rate lets pass beyond its end is not counted: it tells what would have been refused.
      const isForced = mode === MODE.FORCE || mode === MODE.COUNT_ANYHOW;
      if (limit.soft && !isForced && rate.used() + amount > cap) return;
      rate.move(atMost(rate.used() + amount));
    },
    subtract(amount) {
      const taken = within(amount, rate.used() - rate.least);
      rate.move(rate.used() - taken);
      return taken;
    },
    resolve(held, spent) {
      if (spent > held) tally.add(spent - held, "", MODE.FORCE);
      else tally.subtract(held - spent, "");
    },
  };
  return tally;
}

function atMost(value: number): number {
  return Math.min(MAX, value);
}

function within(amount: number, max: number): number {
  return Math.max(0, Math.min(amount, max));
}
