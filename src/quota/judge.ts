import type { Decision, DenyReason, LimitState } from "./decision.ts";
import type { Amount } from "./hot/amount.ts";
import { gcraEmptyMs, gcraRetryMs } from "./hot/gcra.ts";
import { slidingEmptyMs, slidingRetryMs } from "./hot/sliding-window.ts";
import { type HotFacts, type HotFound, KIND } from "./hot/state.ts";
import type { Prepared } from "./prepare.ts";
import { isCounter, type Judged } from "./seen.ts";

/** What a decision says of a limit, from the count as it is after the decision. */
export function stateOf(judged: Judged, refused: boolean, now: number): LimitState {
  const { part, facts, found, before, added, asked } = judged;
  const { effective, hot } = part.limit;
  const isCount = isCounter(hot);
  const spent = found.used + before + added;
  const held = isCount ? BigInt(found.held) : 0n;
  const used = atLeastNothing(isCount ? BigInt(facts.base) + BigInt(spent) : BigInt(spent));
  const amount = amountOf(part.limit);
  const left = amount - used - held;
  return {
    effective,
    used,
    held,
    remaining: atLeastNothing(left),
    resetAt: resetAtOf(part.limit, facts, spent, now),
    retryAfterMs: refused ? retryAfterOf(part.limit, facts, found, spent, asked, now) : undefined,
    exceeded: asked > 0 && left < BigInt(asked - added),
    failPolicy: undefined,
  };
}

/** Whether a limit refuses what is asked: the same sum as the hot state's. */
export function refuses({ part, facts, found, before, asked }: Judged, now: number): boolean {
  const { hot } = part.limit;
  if (isCounter(hot)) {
    const used = BigInt(facts.base) + BigInt(found.used + before) + BigInt(found.held);
    return used + BigInt(asked) > BigInt(hot.cap);
  }
  if (hot.soft) return false;
  if (hot.kind === KIND.SLOTS && facts.before > now) return true;
  return found.used + before + asked > Number(hot.cap);
}

/**
 * For how long a refusal is certain without asking: what a period has used up comes back only by what is given back, and a
 * rate refills at its own speed.
 */
export function certainMs({ part, facts, found, before, asked }: Judged, state: LimitState, now: number): number {
  const { hot } = part.limit;
  if (hot.kind === KIND.PERIOD) return state.remaining === 0n ? CERTAIN_MS_MAX : 0;
  const used = found.used + before;
  const limit = Number(hot.cap);
  if (hot.kind === KIND.GCRA)
    return Math.min(CERTAIN_MS_MAX, gcraRetryMs(levelOf(facts, used, now), hot, limit, asked) ?? CERTAIN_MS_MAX);
  if (hot.kind !== KIND.SLIDING) return 0;
  return Math.min(
    CERTAIN_MS_MAX,
    slidingRetryMs(windowOf(facts, used), hot.windowMs, limit, asked, now) ?? CERTAIN_MS_MAX,
  );
}

/** What is given back is seen at the latest after it. */
const CERTAIN_MS_MAX = 100;

/** A decision from the states of its limits: those that refuse come first, and say when asking again can help. */
export function toDecision(
  tenantEpoch: number,
  allowed: boolean,
  admittedAmounts: readonly number[],
  slots: readonly string[],
  states: readonly { readonly state: LimitState; readonly refused: boolean }[],
): Decision {
  const refusing = allowed ? NONE : states.filter(({ refused }) => refused);
  const others = allowed ? states : states.filter(({ refused }) => !refused);
  return {
    outcome: allowed ? "ALLOW" : "DENY",
    reason: allowed ? undefined : reasonOf(refusing[0]?.state),
    consistency: "EXACT",
    replayed: false,
    admittedAmounts,
    slots,
    limits: [...refusing, ...others].map(({ state }) => state),
    retryAfterMs: allowed ? undefined : longestWait(refusing.map(({ state }) => state.retryAfterMs)),
    tenantEpoch,
  };
}

/** What LimitState counts against: of GCRA what it admits at once, of others the effective amount. */
export function amountOf({ effective, hot }: Prepared): bigint {
  if (hot.kind !== KIND.GCRA) return effective.amount;
  return effective.limit.rule.kind === "RATE" ? BigInt(effective.limit.rule.burst) : effective.amount;
}

/** The longest of several waits; undefined when one of them never ends. */
export function longestWait(waits: readonly (number | undefined)[]): number | undefined {
  let longest = 0;
  for (const wait of waits) {
    if (wait === undefined) return undefined;
    longest = Math.max(longest, wait);
  }
  return waits.length > 0 ? longest : undefined;
}

const NONE: readonly never[] = [];

function reasonOf(state: LimitState | undefined): DenyReason {
  switch (state?.effective.limit.rule.kind) {
    case "RATE":
      return "RATE_LIMITED";
    case "CONCURRENCY":
      return "SLOTS_TAKEN";
    default:
      return "QUOTA_EXHAUSTED";
  }
}

function resetAtOf({ effective, hot }: Prepared, facts: HotFacts, used: number, now: number): number | undefined {
  switch (hot.kind) {
    case KIND.PERIOD:
      return effective.window?.endAt;
    case KIND.GCRA: {
      const emptyMs = gcraEmptyMs(levelOf(facts, used, now), hot);
      return emptyMs === undefined ? undefined : now + emptyMs;
    }
    case KIND.SLIDING:
      return now + slidingEmptyMs(windowOf(facts, used), hot.windowMs, now);
    default:
      return undefined;
  }
}

function retryAfterOf(
  { effective, hot }: Prepared,
  facts: HotFacts,
  found: HotFound,
  used: number,
  asked: number,
  now: number,
): number | undefined {
  switch (hot.kind) {
    case KIND.PERIOD:
      return effective.window && fits(asked, hot.cap) ? Math.max(0, effective.window.endAt - now) : undefined;
    case KIND.GAUGE:
      return undefined;
    case KIND.GCRA:
      return gcraRetryMs(levelOf(facts, used, now), hot, Number(hot.cap), asked);
    case KIND.SLIDING:
      return slidingRetryMs(windowOf(facts, used), hot.windowMs, Number(hot.cap), asked, now);
    case KIND.SLOTS:
      if (hot.cap === 0) return undefined;
      return Math.max(0, (facts.before > now ? facts.before : found.held) - now);
    default:
      return hot.kind satisfies never;
  }
}

function fits(asked: number, cap: Amount): boolean {
  return BigInt(asked) <= BigInt(cap);
}

function levelOf({ rest }: HotFacts, used: number, at: number) {
  return { level: used - Math.min(1, rest), rest, at };
}

function windowOf({ mark, before, rest }: HotFacts, used: number) {
  return { startAt: mark, before, count: used - rest };
}

function atLeastNothing(value: bigint): bigint {
  return value > 0n ? value : 0n;
}
