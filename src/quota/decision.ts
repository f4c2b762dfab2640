import type { EffectiveLimit } from "./effective.ts";

/** How a check treats its entries; see QuotaMode in the proto. */
export type CheckMode = "CONSUME" | "CHECK_ONLY" | "BEST_EFFORT" | "FORCE";

/** One thing that a tenant would use; amounts are safe integers. */
export interface Entry {
  readonly meter: string;
  readonly amount: number;
  /** The slot of a CONCURRENCY meter; undefined lets the server name it. */
  readonly slot: string | undefined;
}

/** A check, parsed and permitted. */
export interface Check {
  readonly tenantId: string;
  readonly entries: readonly Entry[];
  readonly mode: CheckMode;
  /** Scoped by tenant; `hash` is of the whole request. */
  readonly idempotency: { readonly requestId: string; readonly hash: string } | undefined;
}

/** Why a decision is not ALLOW. */
export type DenyReason =
  | "QUOTA_EXHAUSTED"
  | "RATE_LIMITED"
  | "SLOTS_TAKEN"
  | "TENANT_NOT_ACTIVE"
  | "DECISION_UNAVAILABLE";

/** What was decided of a check. */
export interface Decision {
  readonly outcome: "ALLOW" | "DENY" | "UNDECIDED";
  readonly reason: DenyReason | undefined;
  readonly consistency: "EXACT" | "LEASED" | "FALLBACK";
  readonly replayed: boolean;
  /** What was admitted of each entry. */
  readonly admittedAmounts: readonly number[];
  /** The slot of each entry, empty for other kinds. */
  readonly slots: readonly string[];
  readonly limits: readonly LimitState[];
  /** When asking again can help; undefined when waiting does not. */
  readonly retryAfterMs: number | undefined;
  readonly tenantEpoch: number;
}

/** A limit as it stands after a decision. */
export interface LimitState {
  readonly effective: EffectiveLimit;
  readonly used: bigint;
  readonly held: bigint;
  readonly remaining: bigint;
  readonly resetAt: number | undefined;
  readonly retryAfterMs: number | undefined;
  /** The request went, or would have gone, beyond the amount. */
  readonly exceeded: boolean;
  /** The policy that decided in the place of the state. */
  readonly failPolicy: "OPEN" | "CLOSED" | "SAFE_AMOUNT" | undefined;
}

/** A limit as it stands with so much used and held. */
export function stateOf(effective: EffectiveLimit, used: bigint, held: bigint): LimitState {
  const left = effective.amount - used - held;
  return {
    effective,
    used,
    held,
    remaining: left > 0n ? left : 0n,
    resetAt: effective.window?.endAt,
    retryAfterMs: undefined,
    exceeded: left < 0n,
    failPolicy: undefined,
  };
}
