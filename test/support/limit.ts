import type { Limit, LimitRule } from "../../src/limit.ts";
import type { Decision, LimitState } from "../../src/quota/decision.ts";
import type { EffectiveLimit } from "../../src/quota/effective.ts";

/** A limit with what a test says of it; the rest is of no account. */
export function limitOf(of: Partial<Limit> & { readonly rule: LimitRule }): Limit {
  return {
    limitId: of.limitId ?? "calls",
    meter: of.meter ?? "api.calls",
    amount: "100",
    mode: "HARD",
    overageCap: "0",
    failPolicy: "CLOSED",
    safeAmount: "0",
    warningPercents: [],
    ...of,
  };
}

/** The limit as it applies to tenants/acme. */
export function effectiveOf(limit: Limit, of: Partial<EffectiveLimit> = {}): EffectiveLimit {
  const amount = BigInt(limit.amount);
  return {
    key: `t/${limit.limitId}`,
    holder: { kind: "tenant", uid: "u1", name: "tenants/acme" },
    limit,
    amount,
    cap: amount,
    version: "v1",
    source: "PLAN",
    window: undefined,
    ...of,
  };
}

/** A limit of which nothing is used, but for what a test says. */
export function stateOf(effective: EffectiveLimit, of: Partial<LimitState> = {}): LimitState {
  return {
    effective,
    used: 0n,
    held: 0n,
    remaining: effective.amount,
    resetAt: undefined,
    retryAfterMs: undefined,
    exceeded: false,
    failPolicy: undefined,
    ...of,
  };
}

/** An exact ALLOW, but for what a test says. */
export function decisionOf(limits: readonly LimitState[], of: Partial<Decision> = {}): Decision {
  return {
    outcome: "ALLOW",
    reason: undefined,
    consistency: "EXACT",
    replayed: false,
    admittedAmounts: [1],
    slots: [""],
    limits,
    retryAfterMs: undefined,
    tenantEpoch: 1,
    ...of,
  };
}
