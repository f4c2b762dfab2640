// Writes and reads the messages of the check stream by hand. A client that asks a hundred thousand times a second spends
// most of its time on objects; so a check makes none on its way out, and on its way back its result alone, whose limits
// are decoded when somebody looks at them.
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { QuotaCheckErrorSchema, QuotaDecisionSchema, type QuotaMode } from "../gen/tenantplane/v1/quota_check_pb.ts";
import { delimited, endOf, skip, varint } from "../wire.ts";
import { millisecondsOf } from "./duration.ts";
import { buildResult, errorOf, type QuotaResult } from "./result.ts";
import type { QuotaAmount } from "./use.ts";

/** A check on its way out. */
export interface OutgoingCheck {
  readonly id: number;
  readonly tenant: string;
  readonly entries: readonly QuotaAmount[];
  readonly mode: QuotaMode;
  readonly requestId: string;
}

/** Where answers go to. */
export interface Answers<C extends { readonly requestId: string }> {
  /** Whose answer it is; undefined when nobody waits for it any more. */
  leave(id: number): C | undefined;
  settle(check: C, result: QuotaResult): void;
  fail(check: C, error: Error): void;
}

/** The bytes of a StreamQuotaChecksRequest. */
export function writeChecks(checks: readonly OutgoingCheck[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const { id, tenant, entries, mode, requestId } of checks) {
    writer.uint32(delimited(1)).fork();
    writer.uint32(varint(1)).uint32(id);
    writer.uint32(delimited(2)).fork();
    writer.uint32(delimited(1)).string(tenant);
    for (const { meter, amount, slot } of entries) {
      writer.uint32(delimited(2)).fork();
      writer.uint32(delimited(1)).string(meter);
      if (amount !== undefined) writeAmount(writer.uint32(varint(2)), amount);
      if (slot !== undefined) writer.uint32(delimited(3)).string(slot);
      writer.join();
    }
    writer.uint32(varint(3)).uint32(mode);
    if (requestId !== "") writer.uint32(delimited(4)).string(requestId);
    writer.join().join();
  }
  return writer.finish();
}

function writeAmount(writer: BinaryWriter, amount: number): void {
  if (amount <= 0x7fffffff) writer.uint32(amount);
  else writer.int64(BigInt(amount));
}

/** Reads the bytes of a StreamQuotaChecksResponse. */
export function readAnswers<C extends { readonly requestId: string }>(bytes: Uint8Array, answers: Answers<C>): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === delimited(1)) readAnswer(bytes, reader, endOf(reader), answers);
    else skip(reader, tag);
  }
}

function readAnswer<C extends { readonly requestId: string }>(
  bytes: Uint8Array,
  reader: BinaryReader,
  end: number,
  answers: Answers<C>,
): void {
  let id = 0;
  let result = end;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === varint(1)) id = reader.uint32();
    else if (tag === delimited(2)) {
      result = reader.pos;
      reader.pos = endOf(reader);
    } else skip(reader, tag);
  }
  const check = answers.leave(id);
  if (check && result < end) {
    reader.pos = result;
    readResult(bytes, reader, answers, check);
  }
  reader.pos = end;
}

function readResult<C extends { readonly requestId: string }>(
  bytes: Uint8Array,
  reader: BinaryReader,
  answers: Answers<C>,
  check: C,
): void {
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === delimited(1)) answers.settle(check, readDecision(bytes, reader, endOf(reader), check.requestId));
    else if (tag === delimited(2)) answers.fail(check, errorOf(fromBinary(QuotaCheckErrorSchema, reader.bytes())));
    else skip(reader, tag);
  }
}

function readDecision(bytes: Uint8Array, reader: BinaryReader, end: number, requestId: string): QuotaResult {
  const start = reader.pos;
  const admittedAmounts: number[] = [];
  const slots: string[] = [];
  let [outcome, consistency, retryAfterMs] = [0, 0, undefined as number | undefined];
  let [reason, replayed] = ["", false];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === varint(1)) outcome = reader.uint32();
    else if (tag === delimited(2)) reason = reader.string();
    else if (tag === varint(3)) consistency = reader.uint32();
    else if (tag === varint(4)) replayed = reader.bool();
    else if (tag === varint(5)) admittedAmounts.push(Number(reader.int64()));
    else if (tag === delimited(5)) {
      for (const last = endOf(reader); reader.pos < last; ) admittedAmounts.push(Number(reader.int64()));
    } else if (tag === delimited(6)) slots.push(reader.string());
    else if (tag === delimited(8)) retryAfterMs = millisecondsOf(fromBinary(DurationSchema, reader.bytes()));
    else skip(reader, tag);
  }
  const facts = { outcome, reason, consistency, replayed, admittedAmounts, slots, retryAfterMs, requestId };
  return buildResult(facts, () => fromBinary(QuotaDecisionSchema, bytes.subarray(start, end)).limits);
}
