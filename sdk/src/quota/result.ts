import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import {
  QuotaDecision_Consistency as Consistency,
  type LimitState,
  QuotaDecision_Outcome as Outcome,
  type QuotaCheckError,
  type QuotaDecision,
} from "../gen/tenantplane/v1/quota_check_pb.ts";
import { millisecondsOf } from "./duration.ts";

/** What was decided: ALLOW, DENY, or UNDECIDED when nobody could decide. Only ALLOW is `allowed`. */
export type QuotaResult = QuotaAllowed | QuotaDenied | QuotaUndecided;

/** Admitted. */
export interface QuotaAllowed extends QuotaFacts {
  readonly outcome: "ALLOW";
  readonly allowed: true;
  /** How much was admitted of each entry. */
  readonly admittedAmounts: readonly number[];
  /** The slot of each entry; empty for other kinds than CONCURRENCY. */
  readonly slots: readonly string[];
}

/** Refused; nothing was counted. */
export interface QuotaDenied extends QuotaFacts {
  readonly outcome: "DENY";
  readonly allowed: false;
  /** QUOTA_EXHAUSTED, RATE_LIMITED, SLOTS_TAKEN, TENANT_NOT_ACTIVE or DECISION_UNAVAILABLE. */
  readonly reason: string;
  /** When asking again can help; undefined when waiting does not. */
  readonly retryAfterMs: number | undefined;
}

/**
 * The server could not decide, or no answer came in time: then it is not known whether the use was counted. Ask again
 * with the same `requestId` to find out; it is counted once.
 */
export interface QuotaUndecided extends QuotaFacts {
  readonly outcome: "UNDECIDED";
  readonly allowed: false;
  readonly reason: string;
}

/** What every result has. */
export interface QuotaFacts {
  /** Who decided: the server, a lease that this client holds, a denial that it remembers, or nobody. */
  readonly source: "SERVER" | "LEASE" | "REMEMBERED" | "NONE";
  /** What the decision rests on. */
  readonly consistency: "EXACT" | "LEASED" | "FALLBACK" | "NONE";
  /** True when this is the answer that the same request id got before. */
  readonly replayed: boolean;
  readonly requestId: string;
  /** Every limit that took part, the refusing ones first. */
  readonly limits: readonly LimitState[];
}

/** What a result is made of. */
export interface DecisionFacts {
  readonly outcome: number;
  readonly reason: string;
  readonly consistency: number;
  readonly replayed: boolean;
  readonly admittedAmounts: readonly number[];
  readonly slots: readonly string[];
  readonly retryAfterMs: number | undefined;
  readonly requestId: string;
}

/** The server's decision as a result. */
export function resultOf(decision: QuotaDecision, requestId: string): QuotaResult {
  const admittedAmounts = decision.admittedAmounts.map(Number);
  const retryAfterMs = decision.retryAfter && millisecondsOf(decision.retryAfter);
  return buildResult({ ...decision, admittedAmounts, retryAfterMs, requestId }, () => decision.limits);
}

/** A result; `readLimits` is called when somebody looks at its limits. */
export function buildResult(facts: DecisionFacts, readLimits: () => readonly LimitState[]): QuotaResult {
  const { outcome, reason, replayed, admittedAmounts, slots, retryAfterMs, requestId } = facts;
  const source = "SERVER";
  const consistency = CONSISTENCIES[facts.consistency] ?? "NONE";
  let limits: readonly LimitState[] | undefined;
  const look = () => {
    limits ??= readLimits();
    return limits;
  };
  if (outcome === Outcome.ALLOW) {
    return {
      outcome: "ALLOW",
      allowed: true,
      admittedAmounts,
      slots,
      source,
      consistency,
      replayed,
      requestId,
      get limits() {
        return look();
      },
    };
  }
  const refused = {
    allowed: false,
    reason,
    source,
    consistency,
    replayed,
    requestId,
    get limits() {
      return look();
    },
  } as const;
  return outcome === Outcome.DENY
    ? Object.assign(refused, { outcome: "DENY", retryAfterMs } as const)
    : Object.assign(refused, { outcome: "UNDECIDED" } as const);
}

const CONSISTENCIES: Readonly<Record<number, "EXACT" | "LEASED" | "FALLBACK">> = {
  [Consistency.EXACT]: "EXACT",
  [Consistency.LEASED]: "LEASED",
  [Consistency.FALLBACK]: "FALLBACK",
};

/** The result when no answer came in time. */
export function unanswered(requestId: string): QuotaUndecided {
  return {
    outcome: "UNDECIDED",
    allowed: false,
    reason: "DECISION_UNAVAILABLE",
    source: "NONE",
    consistency: "NONE",
    replayed: false,
    requestId,
    limits: [],
  };
}

/** The result of what was spent of a lease. */
export function leased(amount: number): QuotaAllowed {
  return {
    outcome: "ALLOW",
    allowed: true,
    admittedAmounts: [amount],
    slots: [""],
    source: "LEASE",
    consistency: "LEASED",
    replayed: false,
    requestId: "",
    limits: [],
  };
}

/** One check's refusal as the error that a call of its own would have thrown; `reasonOf` reads it. */
export function errorOf({ code, reason, message }: QuotaCheckError): ConnectError {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "tenantplane.dev" } };
  return new ConnectError(message, (code || Code.Unknown) as Code, undefined, [info]);
}
