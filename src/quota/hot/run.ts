import { type HotFound, type HotOutcome, type HotPart, type HotRun, MODE, type Mode } from "./state.ts";
import type { Tally } from "./tally.ts";

/** A part of a run with the tally of its limit. */
export interface OpenPart {
  readonly part: HotPart;
  readonly tally: Tally;
  /** The count is still the one that the part belongs to. */
  readonly isSame: boolean;
  /** Of RESOLVE: the holder knows the reservation. */
  readonly isKnown: boolean;
}

/** What a run did, and whether it counted anything. */
export interface Ran {
  readonly outcome: HotOutcome;
  readonly counted: boolean;
}

/** Carries out a run on open tallies. */
export function carryOut(run: HotRun, parts: readonly OpenPart[]): Ran {
  switch (run.mode) {
    case MODE.HOLD:
      return parts.every((part) => part.isSame) ? admit(run, parts) : { outcome: { status: "MOVED" }, counted: false };
    case MODE.RESOLVE:
      return { outcome: decided(1, 1, parts.map(resolve)), counted: true };
    case MODE.RELEASE:
      return releaseAll(parts);
    case MODE.BEST_EFFORT:
    case MODE.TAKE_GIVEN:
      return admitSome(run.mode, parts);
    default:
      return admit(run, parts);
  }
}

// As many of the checks as fit by what was given; also, how many would fit by the caps.
function admit({ mode, count }: HotRun, parts: readonly OpenPart[]): Ran {
  let fit = count;
  let capFit = count;
  for (const { part, tally } of mode === MODE.COUNT_ANYHOW ? [] : parts) {
    const free = tally.free(mode, part.slot ?? "");
    fit = Math.min(fit, times(free.given, part.amount, count));
    capFit = Math.min(capFit, times(free.cap, part.amount, count));
  }
  fit = Math.min(fit, capFit);
  const counts = fit > 0 && mode !== MODE.CHECK_ONLY;
  const found = parts.map(({ part, tally }) => {
    const before = look(tally, part, 0);
    if (counts && part.amount > 0) tally.add(fit * part.amount, part.slot ?? "", mode);
    return before;
  });
  return { outcome: decided(fit, capFit, found), counted: counts };
}

// Of each entry as much as all of its limits have; unless content with what was given, all wait for a grant that one needs.
function admitSome(mode: Mode, parts: readonly OpenPart[]): Ran {
  const amounts: number[] = [];
  let complete = true;
  for (let from = 0, to = 0; from < parts.length; from = to) {
    const first = parts[from] as OpenPart;
    let amount = first.part.amount;
    let room = first.part.amount;
    for (let next = parts[to]; next && isSameEntry(next, first); next = parts[to]) {
      const free = next.tally.free(MODE.CONSUME, next.part.slot ?? "");
      amount = Math.max(0, Math.min(amount, free.given));
      room = Math.max(0, Math.min(room, free.cap));
      to += 1;
    }
    if (amount < room && mode === MODE.BEST_EFFORT) complete = false;
    while (amounts.length < to) amounts.push(amount);
  }
  const found = parts.map(({ part, tally }, index) => {
    const amount = amounts[index] as number;
    const before = look(tally, part, amount);
    if (complete && amount > 0) tally.add(amount, part.slot ?? "", MODE.CONSUME);
    return before;
  });
  return { outcome: decided(complete ? 1 : 0, 1, found), counted: complete && amounts.some((amount) => amount > 0) };
}

function isSameEntry(a: OpenPart, b: OpenPart): boolean {
  return a.part.entry === b.part.entry && a.part.slot === b.part.slot;
}

function resolve({ part, tally, isSame, isKnown }: OpenPart): HotFound {
  const before = look(tally, part, isSame && isKnown ? 1 : 0);
  if (before.done === 1) tally.resolve(part.amount, part.spent ?? 0);
  return before;
}

// Gives back, or waits for the grant that tells a count its base: until then it does not know what is used.
function releaseAll(parts: readonly OpenPart[]): Ran {
  const isReady = parts.every(({ tally }) => tally.isAttached);
  const found = parts.map(({ part, tally, isSame }) => {
    const before = look(tally, part, 0);
    return { ...before, done: isReady && isSame ? tally.subtract(part.amount, part.slot ?? "") : 0 };
  });
  return { outcome: decided(isReady ? 1 : 0, 1, found), counted: isReady };
}

function look(tally: Tally, part: HotPart, done: number): HotFound {
  return { used: tally.used(), held: tally.held(part.slot ?? ""), done };
}

// How often a cost fits. Nothing always fits, unless more is used already.
function times(free: number, cost: number, count: number): number {
  if (cost === 0) return free >= 0 ? count : 0;
  return Math.max(0, Math.min(count, Math.floor(free / cost)));
}

function decided(fit: number, capFit: number, found: readonly HotFound[]): HotOutcome {
  return { status: "DECIDED", fit, capFit, found };
}
