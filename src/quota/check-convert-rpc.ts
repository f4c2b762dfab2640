import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Limit_FailPolicy, Limit_Mode } from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import {
  LimitState_Source,
  LimitStateSchema,
  type LimitState as ProtoLimitState,
  type QuotaCheckResult,
  QuotaCheckResultSchema,
  type QuotaDecision,
  QuotaDecision_Consistency,
  QuotaDecision_Outcome,
  QuotaDecisionSchema,
  type QuotaEntrySchema,
  type QuotaLeaseSchema,
  QuotaReservation_State,
  type QuotaReservationSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { DomainError } from "../errors.ts";
import { toDuration, toTimestamp } from "../server/convert.ts";
import { CODES } from "../server/errors.ts";
import type { Lease, Reservation } from "./checks.ts";
import type { Decision, Entry, LimitState } from "./decision.ts";

/** A decision as proto has it. */
export function toDecision(decision: Decision): QuotaDecision {
  const { retryAfterMs } = decision;
  return create(QuotaDecisionSchema, {
    outcome: QuotaDecision_Outcome[decision.outcome],
    reason: decision.reason ?? "",
    consistency: QuotaDecision_Consistency[decision.consistency],
    replayed: decision.replayed,
    admittedAmounts: decision.admittedAmounts.map(BigInt),
    slots: decision.slots.some((slot) => slot !== "") ? [...decision.slots] : [],
    limits: decision.limits.map(toLimitState),
    ...(retryAfterMs === undefined ? {} : { retryAfter: toDuration(retryAfterMs) }),
    tenantEpoch: BigInt(decision.tenantEpoch),
  });
}

/** A limit's state as proto has it. */
export function toLimitState(state: LimitState): ProtoLimitState {
  const { effective, resetAt, retryAfterMs, failPolicy } = state;
  return create(LimitStateSchema, {
    limitId: effective.limit.limitId,
    meter: effective.limit.meter,
    holder: effective.holder.name,
    amount: effective.amount,
    used: state.used,
    held: state.held,
    remaining: state.remaining,
    ...(resetAt === undefined ? {} : { resetTime: toTimestamp(resetAt) }),
    ...(retryAfterMs === undefined ? {} : { retryAfter: toDuration(retryAfterMs) }),
    version: effective.version,
    source: LimitState_Source[effective.source],
    mode: Limit_Mode[effective.limit.mode],
    exceeded: state.exceeded,
    failPolicy: failPolicy === undefined ? Limit_FailPolicy.UNSPECIFIED : Limit_FailPolicy[failPolicy],
  });
}

/** The outcome of one check of several: its decision, or why it was refused. */
export function toCheckResult(result: Decision | DomainError): QuotaCheckResult {
  if (!(result instanceof DomainError)) {
    return create(QuotaCheckResultSchema, { result: { case: "decision", value: toDecision(result) } });
  }
  const { reason, message, code } = result;
  return create(QuotaCheckResultSchema, {
    result: { case: "error", value: { reason, message, code: CODES[code] as number } },
  });
}

/** A reservation as proto has it. */
export function toReservation(reservation: Reservation): MessageInitShape<typeof QuotaReservationSchema> {
  return {
    name: `tenants/${reservation.tenantId}/reservations/${reservation.reservationId}`,
    entries: reservation.entries.map(toEntry),
    state: QuotaReservation_State[reservation.state],
    expireTime: toTimestamp(reservation.expiresAt),
    late: reservation.late,
  };
}

/** A lease as proto has it. */
export function toLease(lease: Lease): MessageInitShape<typeof QuotaLeaseSchema> {
  return {
    name: `tenants/${lease.tenantId}/leases/${lease.leaseId}`,
    meter: lease.meter,
    amount: BigInt(lease.amount),
    spentAmount: BigInt(lease.spentAmount),
    ttl: toDuration(lease.ttlMs),
    refreshAfter: toDuration(lease.refreshAfterMs),
    version: lease.version,
  };
}

function toEntry({ meter, amount, slot = "" }: Entry): MessageInitShape<typeof QuotaEntrySchema> {
  return { meter, amount: BigInt(amount), slot };
}
