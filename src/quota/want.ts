import { blockSize, type Want } from "./allotment.ts";
import { difference } from "./hot/amount.ts";
import { KIND, MODE, type Mode } from "./hot/state.ts";
import type { Seen } from "./seen.ts";

/** What is wanted of a count, and its period. */
export interface CountWant extends Want {
  readonly startMark: number;
  readonly windowId: string;
  readonly endsAt: number | null;
  /** What this one check needs: as many as ask within a turn are given together. */
  readonly step: number;
}

/** What a count lacks so that one more check of its run passes; undefined when it lacks nothing. */
export function lackOf(seen: Seen, mode: Mode, fit: number, now: number): CountWant | undefined {
  const { part, facts, found } = seen;
  if (!found || part.limit.hot.kind > KIND.GAUGE) return undefined;
  const used = found.used + found.held + fit * part.amount;
  if (facts.grant > 0 && used + part.amount <= facts.given) return undefined;
  // Some modes only need to know the base.
  const counts = mode !== MODE.CHECK_ONLY && mode !== MODE.RELEASE;
  const step = counts ? part.amount : 0;
  return { ...wantOf(seen, used, now), needed: atMost(counts ? used + step : 0), forced: mode === MODE.FORCE, step };
}

/** What to have given before it is missed; undefined while there is enough. */
export function foresee(seen: Seen, used: number, now: number): CountWant | undefined {
  const { part, facts } = seen;
  const { ahead } = part.limit.account.given;
  if (ahead <= 1 || facts.given - used > ahead / LOW_SHARE || part.limit.account.giving) return undefined;
  if (difference(part.limit.hot.cap, facts.base) <= facts.given) return undefined;
  return { ...wantOf(seen, used, now), needed: atMost(facts.given + 1), forced: false, step: 0 };
}

/** A fifth of the last block: at a steady rate Postgres has a second to answer. */
const LOW_SHARE = 5;

function wantOf({ part, facts, epoch }: Seen, used: number, now: number) {
  const { account, effective, hot } = part.limit;
  const perMs = (account.spent - account.given.spent) / Math.max(1, now - account.given.at);
  return {
    epoch,
    // A server whose clock is behind asks for the period that runs.
    startMark: hot.kind === KIND.PERIOD ? Math.max(hot.startAt, facts.mark) : 0,
    windowId: effective.window?.id ?? "",
    endsAt: effective.window?.endAt ?? null,
    ahead: blockSize(perMs, part.amount, difference(hot.cap, facts.base) - used),
    cap: effective.cap,
  };
}

function atMost(value: number): number {
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}
