import { create, fromBinary, type MessageInitShape, toBinary, toJson } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import {
  BatchCheckQuotaRequestSchema,
  BatchCheckQuotaResponseSchema,
  CheckQuotaRequestSchema,
  CheckQuotaResponseSchema,
  LimitState_Source,
  QuotaDecision_Outcome,
  QuotaMode,
  StreamQuotaChecksRequestSchema,
  StreamQuotaChecksResponseSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { bytesOf } from "@tenantplane/sdk/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DomainError } from "../../src/errors.ts";
import { CHECK_READERS } from "../../src/quota/check-read-rpc.ts";
import { toBatchResponse, toCheckResponse, toStreamResponse } from "../../src/quota/check-write-rpc.ts";
import type { Decision } from "../../src/quota/decision.ts";
import { decisionOf, effectiveOf, limitOf, stateOf } from "../support/limit.ts";

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const entry = fc.record({ meter: fc.string(), amount: fc.option(int64, { nil: undefined }), slot: fc.string() });
const request = fc.record({
  tenant: fc.string({ unit: "grapheme" }),
  entries: fc.array(entry, { maxLength: 4 }),
  mode: fc.constantFrom(...Object.values(QuotaMode).filter((mode) => typeof mode === "number")),
  requestId: fc.oneof(fc.constant(""), fc.uuid()),
  enforce: fc.boolean(),
});

/** The same without amounts that are absent: the library has no such property then. */
function plain<T>(message: T): T {
  return JSON.parse(JSON.stringify(message, (_, value) => (typeof value === "bigint" ? `${value}n` : value))) as T;
}

describe("reading requests by hand", () => {
  it("gives what the library gives, for any request", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ id: uint64, request }), { maxLength: 5 }), (checks) => {
        const stream = toBinary(
          StreamQuotaChecksRequestSchema,
          create(StreamQuotaChecksRequestSchema, { checks } as MessageInitShape<typeof StreamQuotaChecksRequestSchema>),
        );
        expect(plain(CHECK_READERS.streamQuotaChecks(stream))).toEqual(
          plain(fromBinary(StreamQuotaChecksRequestSchema, stream)),
        );
        const requests = checks.map((check) => check.request) as MessageInitShape<typeof CheckQuotaRequestSchema>[];
        const batch = toBinary(BatchCheckQuotaRequestSchema, create(BatchCheckQuotaRequestSchema, { requests }));
        expect(plain(CHECK_READERS.batchCheckQuota(batch))).toEqual(
          plain(fromBinary(BatchCheckQuotaRequestSchema, batch)),
        );
        for (const one of requests) {
          const bytes = toBinary(CheckQuotaRequestSchema, create(CheckQuotaRequestSchema, one));
          expect(plain(CHECK_READERS.checkQuota(bytes))).toEqual(plain(fromBinary(CheckQuotaRequestSchema, bytes)));
        }
      }),
    );
  });

  it("leaves out fields that it does not know", () => {
    const writer = new BinaryWriter();
    writer.uint32((99 << 3) | 2).string("from the future");
    writer.uint32((1 << 3) | 2).string("tenants/acme");
    writer.uint32((98 << 3) | 0).uint32(7);
    writer.uint32((97 << 3) | 1).fixed64(7n);
    expect(CHECK_READERS.checkQuota(writer.finish()).tenant).toBe("tenants/acme");
  });

  it.each([
    ["a text beyond the end", [0x0a, 0x05, 0x61]],
    ["a message beyond the end", [0x12, 0x7f, 0x0a]],
    ["a tag that does not end", [0xff]],
    ["a group without an end", [0x0b]],
  ])("throws for %s", (_, bytes) => {
    for (const read of Object.values(CHECK_READERS)) expect(() => read(Uint8Array.from(bytes))).toThrow();
  });
});

const window = { id: "1", startAt: 0, endAt: 1_800_000_000_000 };
const monthly = effectiveOf(
  limitOf({
    rule: { kind: "PERIOD", duration: "P1M", anchor: "CALENDAR", rolloverMax: "0" },
    mode: "OVERAGE",
    amount: String(2n ** 63n - 1n),
  }),
  { window, source: "GRANT" },
);
const denied: Decision = decisionOf(
  [
    stateOf(monthly, {
      used: 2n ** 62n,
      held: 5n,
      remaining: 2n ** 31n,
      resetAt: 1_700_000_000_123,
      retryAfterMs: 1_500.5,
      exceeded: true,
      failPolicy: "SAFE_AMOUNT",
    }),
    stateOf(monthly, { remaining: 0n }),
  ],
  {
    outcome: "DENY",
    reason: "QUOTA_EXHAUSTED",
    consistency: "FALLBACK",
    replayed: true,
    admittedAmounts: [0, Number.MAX_SAFE_INTEGER],
    slots: ["", "a"],
    retryAfterMs: 2_000,
    tenantEpoch: 7,
  },
);
const error = new DomainError("INVALID_FIELDS", "entries[0].meter: ünknown");

const PROTO_DENIED = {
  outcome: QuotaDecision_Outcome.DENY,
  reason: "QUOTA_EXHAUSTED",
  replayed: true,
  admittedAmounts: [0n, BigInt(Number.MAX_SAFE_INTEGER)],
  slots: ["", "a"],
  retryAfter: { seconds: 2n, nanos: 0 },
  tenantEpoch: 7n,
  limits: [
    {
      limitId: "calls",
      meter: "api.calls",
      holder: "tenants/acme",
      amount: 2n ** 63n - 1n,
      used: 2n ** 62n,
      held: 5n,
      remaining: 2n ** 31n,
      resetTime: { seconds: 1_700_000_000n, nanos: 123_000_000 },
      retryAfter: { seconds: 1n, nanos: 500_500_000 },
      version: "v1",
      source: LimitState_Source.GRANT,
      exceeded: true,
    },
    { used: 0n, remaining: 0n, exceeded: false },
  ],
};

describe("writing answers by hand", () => {
  it("writes what the library reads: a decision, a refusal, ids of any size", () => {
    const alone = fromBinary(CheckQuotaResponseSchema, bytesOf(toCheckResponse(denied)) ?? new Uint8Array());
    const batch = fromBinary(
      BatchCheckQuotaResponseSchema,
      bytesOf(toBatchResponse([denied, error])) ?? new Uint8Array(),
    );
    const ids = [0n, 1n, 2n ** 31n, 2n ** 64n - 1n];
    const answers = ids.map((id) => ({ id, result: error }));
    const stream = fromBinary(StreamQuotaChecksResponseSchema, bytesOf(toStreamResponse(answers)) ?? new Uint8Array());
    expect(alone.decision).toMatchObject(PROTO_DENIED);
    expect(batch.results).toMatchObject([
      { result: { case: "decision", value: PROTO_DENIED } },
      { result: { case: "error", value: { reason: "INVALID_FIELDS", message: "entries[0].meter: ünknown", code: 3 } } },
    ]);
    expect(stream.results.map(({ id }) => id)).toEqual(ids);
  });

  it("answers are messages like others to whoever does not take their bytes", () => {
    const response = toCheckResponse(decisionOf([stateOf(monthly)]));
    const again = fromBinary(CheckQuotaResponseSchema, toBinary(CheckQuotaResponseSchema, response));
    expect(again).toEqual(fromBinary(CheckQuotaResponseSchema, bytesOf(response) ?? new Uint8Array()));
    expect(toJson(CheckQuotaResponseSchema, response)).toMatchObject({
      decision: {
        outcome: "OUTCOME_ALLOW",
        consistency: "CONSISTENCY_EXACT",
        admittedAmounts: ["1"],
        tenantEpoch: "1",
      },
    });
  });
});
