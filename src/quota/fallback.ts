import type { Decision, LimitState } from "./decision.ts";
import { MODE, type Mode } from "./hot/state.ts";
import { amountOf } from "./judge.ts";
import type { Part, Prepared } from "./prepare.ts";

/** Decides by the limits' fail policies, in the place of a state that can't be asked. */
export interface Fallback {
  /** Whether all limits let it pass; takes the safe amounts that it needs. */
  admits(parts: readonly Part[], mode: Mode, now: number): boolean;
}

const MINUTE_MS = 60_000;

/** Makes a fallback with all safe amounts left; `now` is monotonic. */
export function createFallback(): Fallback {
  let minute = -1;
  const taken = new Map<string, number>();
  return {
    admits(parts, mode, now) {
      if (Math.floor(now / MINUTE_MS) !== minute) {
        minute = Math.floor(now / MINUTE_MS);
        taken.clear();
      }
      if (isDone(mode)) return true;
      const safe = parts.filter(({ limit }) => policyOf(limit) === "SAFE_AMOUNT");
      const fits = safe.every(
        ({ limit, amount }) =>
          BigInt((taken.get(keyOf(limit)) ?? 0) + amount) <= BigInt(limit.effective.limit.safeAmount),
      );
      if (!fits || parts.some(({ limit }) => policyOf(limit) === "CLOSED")) return false;
      if (mode !== MODE.CHECK_ONLY) {
        for (const { limit, amount } of safe) taken.set(keyOf(limit), (taken.get(keyOf(limit)) ?? 0) + amount);
      }
      return true;
    },
  };
}

/** What is answered without the state: what the limits' policies say, and nothing of their use. */
export function fallbackDecision(
  parts: readonly Part[],
  allowed: boolean,
  rest: Pick<Decision, "admittedAmounts" | "slots" | "tenantEpoch">,
): Decision {
  return {
    ...rest,
    outcome: allowed ? "ALLOW" : "DENY",
    reason: allowed ? undefined : "DECISION_UNAVAILABLE",
    consistency: "FALLBACK",
    replayed: false,
    limits: parts.map(({ limit }) => unknownState(limit)),
    retryAfterMs: allowed ? undefined : RETRY_MS,
  };
}

/** What nothing tells how to decide. */
export function undecided(rest: Pick<Decision, "admittedAmounts" | "slots" | "tenantEpoch">): Decision {
  const reason = "DECISION_UNAVAILABLE";
  return {
    ...rest,
    outcome: "UNDECIDED",
    reason,
    consistency: "FALLBACK",
    replayed: false,
    limits: [],
    retryAfterMs: RETRY_MS,
  };
}

/** A state that is away for a moment is back soon. */
const RETRY_MS = 1_000;

// What refuses nothing when all is well refuses nothing now.
function policyOf({ effective: { limit } }: Prepared): "CLOSED" | "OPEN" | "SAFE_AMOUNT" {
  return limit.mode === "SOFT" || limit.mode === "SHADOW" ? "OPEN" : limit.failPolicy;
}

// The use has happened, or ends.
function isDone(mode: Mode): boolean {
  return mode === MODE.FORCE || mode === MODE.COUNT_ANYHOW || mode === MODE.RELEASE || mode === MODE.RESOLVE;
}

function keyOf({ account }: Prepared): string {
  return `${account.holder.uid} ${account.field}`;
}

function unknownState(limit: Prepared): LimitState {
  const { effective } = limit;
  return {
    effective,
    used: 0n,
    held: 0n,
    remaining: policyOf(limit) === "OPEN" ? amountOf(limit) : 0n,
    resetAt: effective.window?.endAt,
    retryAfterMs: undefined,
    exceeded: false,
    failPolicy: policyOf(limit),
  };
}
