import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { Decision, LimitState } from "../quota/decision.ts";
import type { EffectiveLimit } from "../quota/effective.ts";
import { rateLimitFields } from "../quota/rate-limit-fields.ts";
import { refuses } from "../quota/refusal.ts";
import { toDuration } from "../server/convert.ts";
import type { Ask, Want } from "./envoy-parse-rpc.ts";
import {
  RateLimitResponse_Code as Code,
  type RateLimitResponseSchema,
  type RateLimitResponse_DescriptorStatusSchema as StatusSchema,
  RateLimitResponse_RateLimit_Unit as Unit,
} from "./gen/envoy/service/ratelimit/v3/rls_pb.ts";

type Status = MessageInitShape<typeof StatusSchema>;

/** Envoy counts in 32 bits; what is larger stands in `dynamic_metadata` exactly. */
const UINT32_MAX = 2n ** 32n - 1n;

/** The answer to a gateway: a status for each descriptor, in their order. No decision means that nothing is limited. */
export function toResponse(
  ask: Ask,
  decision: Decision | undefined,
  now: number,
): MessageInitShape<typeof RateLimitResponseSchema> {
  const over = decision?.outcome === "DENY";
  const statuses = ask.wants.map((want) => toStatus(want, decision, now));
  if (!decision || (!over && !decision.limits.some(isLarge))) return { overallCode: Code.OK, statuses };
  return {
    overallCode: over ? Code.OVER_LIMIT : Code.OK,
    statuses,
    responseHeadersToAdd: over ? headersOf(decision, now) : [],
    dynamicMetadata: metadataOf(ask, decision),
  };
}

function toStatus({ meter }: Want, decision: Decision | undefined, now: number): Status {
  // It limits nothing that we know.
  if (!decision || meter === undefined) return { code: Code.OK };
  const over = decision.outcome === "DENY";
  const states = decision.limits.filter((state) => state.effective.limit.meter === meter);
  const [nearest] = states.sort((a, b) => (isNearer(a, b) ? -1 : 1));
  // A known meter without limits; or a tenant that has nothing because it is not ACTIVE, or not there.
  if (!nearest) {
    const nothing = over && decision.limits.length === 0;
    return nothing ? { code: Code.OVER_LIMIT } : { code: Code.OK, limitRemaining: Number(UINT32_MAX) };
  }
  const { effective, remaining, resetAt, retryAfterMs } = nearest;
  const waitMs = retryAfterMs ?? (resetAt === undefined ? undefined : Math.max(0, resetAt - now));
  return {
    code: over && refuses(nearest) ? Code.OVER_LIMIT : Code.OK,
    currentLimit: {
      name: effective.limit.limitId,
      requestsPerUnit: clamp(effective.amount),
      unit: unitOf(effective),
    },
    limitRemaining: clamp(remaining),
    ...(waitMs === undefined ? {} : { durationUntilReset: toDuration(waitMs) }),
  };
}

// Nearer to its end: what refuses before what does not, then by the share that is left.
function isNearer(a: LimitState, b: LimitState): boolean {
  if (refuses(a) !== refuses(b)) return refuses(a);
  return a.remaining * b.effective.amount < b.remaining * a.effective.amount;
}

function isLarge({ effective, remaining }: LimitState): boolean {
  return effective.amount > UINT32_MAX || remaining > UINT32_MAX;
}

function clamp(amount: bigint): number {
  return Number(amount < UINT32_MAX ? amount : UINT32_MAX);
}

const WINDOWS: Readonly<Record<number, Unit>> = {
  1000: Unit.SECOND,
  60000: Unit.MINUTE,
  3600000: Unit.HOUR,
  86400000: Unit.DAY,
};
const PERIODS: Readonly<Record<string, Unit>> = {
  PT1M: Unit.MINUTE,
  PT1H: Unit.HOUR,
  P1D: Unit.DAY,
  P1W: Unit.WEEK,
  P1M: Unit.MONTH,
  P1Y: Unit.YEAR,
};

// Other windows than these the protocol has no word for.
function unitOf({ limit: { rule } }: EffectiveLimit): Unit {
  if (rule.kind === "RATE") return WINDOWS[rule.windowMs] ?? Unit.UNKNOWN;
  return (rule.kind === "PERIOD" ? PERIODS[rule.duration] : undefined) ?? Unit.UNKNOWN;
}

function headersOf(decision: Decision, now: number): { key: string; value: string }[] {
  const fields = rateLimitFields(decision, now);
  if (!fields) return [];
  const { policy, limit, retryAfter } = fields;
  return [
    ...(limit === ""
      ? []
      : [
          { key: "ratelimit-policy", value: policy },
          { key: "ratelimit", value: limit },
        ]),
    ...(retryAfter === undefined ? [] : [{ key: "retry-after", value: retryAfter }]),
  ];
}

function metadataOf({ tenantId = "" }: Ask, { outcome, reason, limits }: Decision): JsonObject {
  return {
    tenant: tenantId,
    ...(outcome === "DENY" ? { reason: reason ?? "RESOURCE_NOT_FOUND" } : {}),
    limits: limits.map(({ effective, used, held, remaining }) => ({
      limit: effective.limit.limitId,
      meter: effective.limit.meter,
      holder: effective.holder.name,
      amount: String(effective.amount),
      used: String(used),
      held: String(held),
      remaining: String(remaining),
      version: effective.version,
      source: effective.source,
    })),
  };
}
