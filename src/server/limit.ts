import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Limit_FailPolicy,
  Limit_Mode,
  type LimitSchema,
  PeriodRule_Anchor,
  type Limit as ProtoLimit,
  RateRule_Algorithm,
} from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import { LIMIT_ID, METER_ID } from "../aip/name.ts";
import type { Problems } from "../errors.ts";
import type { FailPolicy, Limit, LimitMode, LimitRule } from "../limit.ts";
import { lastsDays, periodProblem } from "../quota/period.ts";
import { durationMs, toDuration } from "./convert.ts";

/** More limits than a price list has lines. */
const LIMITS_MAX = 100;
/** As many as a progress bar has colours. */
const WARNINGS_MAX = 10;
/** A window shorter than this is below the clock's grain; a longer one is a period. */
const WINDOW_MS = { fallback: 0, min: 1, max: 86_400_000 };
/** A slot shorter than this is over before it is used; a longer one is better extended. */
const SLOT_TTL_MS = { fallback: 0, min: 1_000, max: 86_400_000 };

/** The limits of a plan or an integrator, each with an id of its own; every bad field becomes a problem. */
export function parseLimits(problems: Problems, field: string, limits: readonly ProtoLimit[]): Limit[] {
  if (limits.length > LIMITS_MAX) problems.add(field, `must have at most ${LIMITS_MAX} entries`);
  const parsed = limits.slice(0, LIMITS_MAX).map((limit, index) => parseLimit(problems, `${field}[${index}]`, limit));
  const seen = new Set<string>();
  for (const [index, { limitId }] of parsed.entries()) {
    if (seen.has(limitId)) problems.add(`${field}[${index}].limit_id`, "is used twice");
    seen.add(limitId);
  }
  return parsed;
}

/** One limit; every bad field becomes a problem. */
export function parseLimit(problems: Problems, field: string, limit: ProtoLimit): Limit {
  const limitId = limit.limitId || limit.meter;
  if (!METER_ID.test(limit.meter)) {
    problems.add(`${field}.meter`, "must be 1 to 63 of [a-z0-9_.], first a letter");
  }
  if (!LIMIT_ID.test(limitId)) {
    problems.add(`${field}.limit_id`, "must be 1 to 63 of [a-z0-9_.-], first a letter");
  }
  for (const [name, amount] of [
    ["amount", limit.amount],
    ["overage_cap", limit.overageCap],
    ["safe_amount", limit.safeAmount],
  ] as const) {
    if (amount < 0n) problems.add(`${field}.${name}`, "must not be negative");
  }
  const mode = MODES[limit.mode];
  if (!mode) problems.add(`${field}.mode`, "is none that this server knows");
  if (limit.overageCap > 0n && mode !== "OVERAGE") problems.add(`${field}.overage_cap`, "is for mode OVERAGE alone");
  const failPolicy = FAIL_POLICIES_OF[limit.failPolicy];
  if (!failPolicy) problems.add(`${field}.fail_policy`, "is none that this server knows");
  return {
    limitId,
    meter: limit.meter,
    amount: String(limit.amount),
    mode: mode ?? "HARD",
    overageCap: String(limit.overageCap),
    failPolicy: failPolicy ?? "CLOSED",
    safeAmount: String(limit.safeAmount),
    warningPercents: parseWarnings(problems, `${field}.warning_percents`, limit.warningPercents),
    rule: parseRule(problems, field, limit),
  };
}

/** A limit as proto has it. */
export function toLimit(limit: Limit): MessageInitShape<typeof LimitSchema> {
  return {
    limitId: limit.limitId,
    meter: limit.meter,
    amount: BigInt(limit.amount),
    mode: Limit_Mode[limit.mode],
    overageCap: BigInt(limit.overageCap),
    failPolicy: Limit_FailPolicy[limit.failPolicy],
    safeAmount: BigInt(limit.safeAmount),
    warningPercents: [...limit.warningPercents],
    ...toRule(limit.rule),
  };
}

const MODES: Readonly<Record<number, LimitMode>> = { 0: "HARD", 1: "HARD", 2: "SOFT", 3: "OVERAGE", 4: "SHADOW" };
const FAIL_POLICIES_OF: Readonly<Record<number, FailPolicy>> = {
  0: "CLOSED",
  1: "CLOSED",
  2: "OPEN",
  3: "SAFE_AMOUNT",
};

function parseWarnings(problems: Problems, field: string, percents: readonly number[]): number[] {
  if (percents.length > WARNINGS_MAX) problems.add(field, `must have at most ${WARNINGS_MAX} entries`);
  if (percents.some((percent) => percent < 1 || percent > 1_000)) problems.add(field, "must be from 1 to 1000");
  return [...new Set(percents.slice(0, WARNINGS_MAX))].sort((a, b) => a - b);
}

function parseRule(problems: Problems, field: string, { rule, amount }: ProtoLimit): LimitRule {
  if (rule.case === "rate") {
    const windowMs = durationMs(problems, `${field}.rate.window`, rule.value.window, WINDOW_MS);
    if (!rule.value.window) problems.add(`${field}.rate.window`, "must be set");
    if (!Number.isInteger(windowMs)) problems.add(`${field}.rate.window`, "must be whole milliseconds");
    if (rule.value.burst < 0n) problems.add(`${field}.rate.burst`, "must not be negative");
    const algorithm = rule.value.algorithm === RateRule_Algorithm.SLIDING_WINDOW ? "SLIDING_WINDOW" : "GCRA";
    return { kind: "RATE", algorithm, windowMs, burst: String(rule.value.burst || amount) };
  }
  if (rule.case === "period") {
    const { duration, anchor, rolloverMax } = rule.value;
    if (rolloverMax < 0n) problems.add(`${field}.period.rollover_max`, "must not be negative");
    const from = anchor === PeriodRule_Anchor.ANNIVERSARY ? "ANNIVERSARY" : "CALENDAR";
    const wrong = periodProblem({ duration, anchor: from });
    if (wrong) problems.add(`${field}.period.duration`, wrong);
    // Each rollover is a write for each tenant.
    else if (rolloverMax > 0n && !lastsDays(duration)) {
      problems.add(`${field}.period.rollover_max`, "is for periods of a day or longer");
    }
    return { kind: "PERIOD", duration, anchor: from, rolloverMax: String(rolloverMax) };
  }
  if (rule.case === "concurrency") {
    const slotTtlMs = durationMs(problems, `${field}.concurrency.slot_ttl`, rule.value.slotTtl, SLOT_TTL_MS);
    if (!rule.value.slotTtl) problems.add(`${field}.concurrency.slot_ttl`, "must be set");
    return { kind: "CONCURRENCY", slotTtlMs };
  }
  return { kind: "GAUGE" };
}

function toRule(rule: LimitRule): Pick<MessageInitShape<typeof LimitSchema>, "rule"> {
  switch (rule.kind) {
    case "RATE": {
      const { windowMs, burst } = rule;
      const algorithm = RateRule_Algorithm[rule.algorithm];
      return { rule: { case: "rate", value: { algorithm, window: toDuration(windowMs), burst: BigInt(burst) } } };
    }
    case "PERIOD": {
      const { duration, rolloverMax } = rule;
      const anchor = PeriodRule_Anchor[rule.anchor];
      return { rule: { case: "period", value: { duration, anchor, rolloverMax: BigInt(rolloverMax) } } };
    }
    case "CONCURRENCY":
      return { rule: { case: "concurrency", value: { slotTtl: toDuration(rule.slotTtlMs) } } };
    case "GAUGE":
      return {};
    default:
      return rule satisfies never;
  }
}
