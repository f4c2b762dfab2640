// Writes the answers of the hot path by hand, as check-read-rpc.ts reads its requests. Of a limit's state most is the same
// in every answer: it is encoded once.
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { Limit_FailPolicy, Limit_Mode } from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import {
  type BatchCheckQuotaResponse,
  BatchCheckQuotaResponseSchema,
  type CheckQuotaResponse,
  CheckQuotaResponseSchema,
  LimitState_Source,
  LimitStateSchema,
  type LimitState as ProtoLimitState,
  type QuotaDecision,
  QuotaDecision_Consistency,
  QuotaDecision_Outcome,
  QuotaDecisionSchema,
  type StreamQuotaChecksResponse,
  StreamQuotaChecksResponseSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { delimited, messageOf, varint } from "@tenantplane/sdk/wire";
import { DomainError } from "../errors.ts";
import { CODES } from "../server/errors.ts";
import type { Decision, LimitState } from "./decision.ts";
import type { EffectiveLimit } from "./effective.ts";

/** An answer on a stream: whose it is, and what became of the check. */
export interface StreamedAnswer {
  readonly id: bigint;
  readonly result: Decision | DomainError;
}

/** A decision as proto has it. */
export function toDecision(decision: Decision): QuotaDecision {
  const writer = new BinaryWriter();
  writeDecision(writer, decision);
  return messageOf(QuotaDecisionSchema, writer.finish());
}

/** A limit's state as proto has it. */
export function toLimitState(state: LimitState): ProtoLimitState {
  const writer = new BinaryWriter();
  writeLimit(writer, state);
  return messageOf(LimitStateSchema, writer.finish());
}

/** The answer to one check. */
export function toCheckResponse(decision: Decision): CheckQuotaResponse {
  const writer = new BinaryWriter();
  writer.uint32(delimited(1)).fork();
  writeDecision(writer, decision);
  return messageOf(CheckQuotaResponseSchema, writer.join().finish());
}

/** The answer to several checks, in their order. */
export function toBatchResponse(results: readonly (Decision | DomainError)[]): BatchCheckQuotaResponse {
  const writer = new BinaryWriter();
  for (const result of results) {
    writer.uint32(delimited(1)).fork();
    writeResult(writer, result);
    writer.join();
  }
  return messageOf(BatchCheckQuotaResponseSchema, writer.finish());
}

/** Answers to checks on a stream. */
export function toStreamResponse(answers: readonly StreamedAnswer[]): StreamQuotaChecksResponse {
  const writer = new BinaryWriter();
  for (const { id, result } of answers) {
    writer.uint32(delimited(1)).fork();
    if (id < SMALL) writer.uint32(varint(1)).uint32(Number(id));
    else writer.uint32(varint(1)).uint64(id);
    writer.uint32(delimited(2)).fork();
    writeResult(writer, result);
    writer.join().join();
  }
  return messageOf(StreamQuotaChecksResponseSchema, writer.finish());
}

/** Below it a number is written faster. */
const SMALL = 2n ** 31n;

function writeResult(writer: BinaryWriter, result: Decision | DomainError): void {
  if (result instanceof DomainError) {
    writer.uint32(delimited(2)).fork();
    writer.uint32(delimited(1)).string(result.reason);
    writer.uint32(delimited(2)).string(result.message);
    writer.uint32(varint(3)).uint32(CODES[result.code]);
  } else {
    writer.uint32(delimited(1)).fork();
    writeDecision(writer, result);
  }
  writer.join();
}

function writeDecision(writer: BinaryWriter, decision: Decision): void {
  const { outcome, reason, consistency, replayed, admittedAmounts, slots, limits, retryAfterMs, tenantEpoch } =
    decision;
  writer.uint32(varint(1)).uint32(QuotaDecision_Outcome[outcome]);
  if (reason !== undefined) writer.uint32(delimited(2)).string(reason);
  writer.uint32(varint(3)).uint32(QuotaDecision_Consistency[consistency]);
  if (replayed) writer.uint32(varint(4)).bool(true);
  writer.uint32(delimited(5)).fork();
  for (const amount of admittedAmounts) writeAmount(writer, BigInt(amount));
  writer.join();
  if (slots.some((slot) => slot !== "")) for (const slot of slots) writer.uint32(delimited(6)).string(slot);
  for (const limit of limits) {
    writer.uint32(delimited(7)).fork();
    writeLimit(writer, limit);
    writer.join();
  }
  if (retryAfterMs !== undefined) writeMillis(writer.uint32(delimited(8)), retryAfterMs);
  writer.uint32(varint(9)).int64(tenantEpoch);
}

function writeLimit(writer: BinaryWriter, state: LimitState): void {
  const { effective, used, held, remaining, resetAt, retryAfterMs, exceeded, failPolicy } = state;
  writer.raw(staticFields(effective));
  if (used !== 0n) writeAmount(writer.uint32(varint(5)), used);
  if (held !== 0n) writeAmount(writer.uint32(varint(6)), held);
  if (remaining !== 0n) writeAmount(writer.uint32(varint(7)), remaining);
  if (resetAt !== undefined) writeMillis(writer.uint32(delimited(8)), resetAt);
  if (retryAfterMs !== undefined) writeMillis(writer.uint32(delimited(9)), retryAfterMs);
  if (exceeded) writer.uint32(varint(13)).bool(true);
  if (failPolicy !== undefined) writer.uint32(varint(14)).uint32(Limit_FailPolicy[failPolicy]);
}

const encoded = new WeakMap<EffectiveLimit, Uint8Array>();

// What is the same in every state of a limit.
function staticFields(effective: EffectiveLimit): Uint8Array {
  const known = encoded.get(effective);
  if (known) return known;
  const writer = new BinaryWriter();
  writer.uint32(delimited(1)).string(effective.limit.limitId);
  writer.uint32(delimited(2)).string(effective.limit.meter);
  writer.uint32(delimited(3)).string(effective.holder.name);
  writer.uint32(varint(4)).int64(effective.amount);
  writer.uint32(delimited(10)).string(effective.version);
  writer.uint32(varint(11)).uint32(LimitState_Source[effective.source]);
  writer.uint32(varint(12)).uint32(Limit_Mode[effective.limit.mode]);
  const bytes = writer.finish();
  encoded.set(effective, bytes);
  return bytes;
}

// A Timestamp or a Duration: both are seconds and nanoseconds.
function writeMillis(writer: BinaryWriter, ms: number): void {
  const seconds = Math.floor(ms / 1_000);
  const nanos = Math.round((ms - seconds * 1_000) * 1_000_000);
  writer.fork();
  writeAmount(writer.uint32(varint(1)), BigInt(seconds));
  if (nanos > 0) writer.uint32(varint(2)).uint32(nanos);
  writer.join();
}

function writeAmount(writer: BinaryWriter, amount: bigint): void {
  if (amount >= 0n && amount < SMALL) writer.uint32(Number(amount));
  else writer.int64(amount);
}
