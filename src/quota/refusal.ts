import { DomainError } from "../errors.ts";
import type { Decision, LimitState } from "./decision.ts";

/** A decision that is not ALLOW as the error that `enforce` asks for: it names every limit that refused. */
export function refusalOf(tenant: string, decision: Decision): DomainError {
  const { reason = "DECISION_UNAVAILABLE", retryAfterMs } = decision;
  const refusing = decision.limits.filter(refuses);
  const [first] = refusing;
  const metadata = { tenant, ...(first ? factsOf(first) : {}) };
  const details = {
    ...(refusing.length > 0
      ? { quota: refusing.slice(0, VIOLATIONS_MAX).map((state) => violationOf(tenant, state)) }
      : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
  const message = first ? sentenceOf(first) : MESSAGES[reason];
  return new DomainError(reason, `${tenant}: ${message}`, metadata, details);
}

/** Whether a limit of a denial is one that refused: limits of other modes are gone beyond as well, but admit. */
export function refuses({ exceeded, effective }: LimitState): boolean {
  return exceeded && (effective.limit.mode === "HARD" || effective.limit.mode === "OVERAGE");
}

/** An error travels in trailers, of which clients take some KiB; a check has sixteen entries at most. */
const VIOLATIONS_MAX = 16;

const MESSAGES: Readonly<Record<NonNullable<Decision["reason"]>, string>> = {
  QUOTA_EXHAUSTED: "a limit is used up",
  RATE_LIMITED: "too much within a window",
  SLOTS_TAKEN: "all slots are held",
  TENANT_NOT_ACTIVE: "the tenant is not ACTIVE",
  DECISION_UNAVAILABLE: "it could not be decided now",
};

function sentenceOf(state: LimitState): string {
  const { effective, used, held } = state;
  const taken = held > 0n ? `${used} used and ${held} held` : `${used} used`;
  return `${taken} of ${effective.amount} of limit ${effective.limit.limitId} (${effective.limit.meter})`;
}

function violationOf(tenant: string, state: LimitState) {
  const { effective } = state;
  return {
    subject: effective.holder.name,
    description: sentenceOf(state),
    meter: effective.limit.meter,
    limitId: effective.limit.limitId,
    amount: effective.amount,
    dimensions: { tenant },
  };
}

function factsOf({ effective, used, held, remaining }: LimitState): Record<string, string> {
  return {
    limit: effective.limit.limitId,
    meter: effective.limit.meter,
    holder: effective.holder.name,
    source: effective.source,
    version: effective.version,
    amount: String(effective.amount),
    used: String(used),
    held: String(held),
    remaining: String(remaining),
  };
}
