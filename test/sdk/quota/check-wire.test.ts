import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import {
  LimitStateSchema,
  QuotaDecision_Consistency,
  QuotaDecision_Outcome,
  QuotaMode,
  StreamQuotaChecksRequestSchema,
  StreamQuotaChecksResponseSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readAnswers, writeChecks } from "../../../sdk/src/quota/check-wire.ts";
import { entriesOf } from "../../../sdk/src/quota/use.ts";

const amount = fc.record({
  meter: fc.string({ unit: "grapheme" }),
  amount: fc.option(fc.nat({ max: Number.MAX_SAFE_INTEGER }), { nil: undefined }),
  slot: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
});
const check = fc.record({
  id: fc.nat({ max: 2 ** 31 - 1 }),
  tenant: fc.string(),
  entries: fc.array(amount, { maxLength: 4 }),
  mode: fc.constantFrom(QuotaMode.CONSUME, QuotaMode.CHECK_ONLY, QuotaMode.FORCE),
  requestId: fc.oneof(fc.constant(""), fc.uuid()),
});

describe("writing checks by hand", () => {
  it("gives what the library gives, for any checks", () => {
    fc.assert(
      fc.property(fc.array(check, { maxLength: 5 }), (checks) => {
        const given = checks.map((one) => ({
          ...one,
          entries: one.entries.map(({ meter, amount: value, slot }) => ({
            meter,
            ...(value === undefined ? {} : { amount: value }),
            ...(slot === undefined ? {} : { slot }),
          })),
        }));
        const expected = create(StreamQuotaChecksRequestSchema, {
          checks: given.map(({ id, entries, ...request }) => ({
            id: BigInt(id),
            request: { ...request, entries: entriesOf(entries) },
          })),
        });
        expect(fromBinary(StreamQuotaChecksRequestSchema, writeChecks(given))).toEqual(
          fromBinary(StreamQuotaChecksRequestSchema, toBinary(StreamQuotaChecksRequestSchema, expected)),
        );
      }),
    );
  });
});

/** What comes of a response, by id; nobody waits for the id 9. */
function read(response: MessageInitShape<typeof StreamQuotaChecksResponseSchema>): Map<number, unknown> {
  const found = new Map<number, unknown>();
  const bytes = toBinary(StreamQuotaChecksResponseSchema, create(StreamQuotaChecksResponseSchema, response));
  readAnswers(bytes, {
    leave: (id) => (id === 9 ? undefined : { id, requestId: `r${id}` }),
    settle: ({ id }, result) => found.set(id, { ...result }),
    fail: ({ id }, error) => found.set(id, ConnectError.from(error).rawMessage),
  });
  return found;
}

describe("reading answers by hand", () => {
  it("gives each its result, with all that is in it", () => {
    const limits = [
      create(LimitStateSchema, { limitId: "a", used: 2n ** 60n }),
      create(LimitStateSchema, { limitId: "b" }),
    ];
    const found = read({
      results: [
        {
          id: 1n,
          result: {
            result: {
              case: "decision",
              value: {
                outcome: QuotaDecision_Outcome.ALLOW,
                consistency: QuotaDecision_Consistency.EXACT,
                admittedAmounts: [1n, 2n ** 53n - 1n],
                slots: ["x", ""],
                limits,
                tenantEpoch: 3n,
              },
            },
          },
        },
        { id: 9n, result: { result: { case: "error", value: { message: "nobody's" } } } },
        {
          id: 2n,
          result: {
            result: {
              case: "decision",
              value: {
                outcome: QuotaDecision_Outcome.DENY,
                reason: "RATE_LIMITED",
                consistency: QuotaDecision_Consistency.FALLBACK,
                replayed: true,
                retryAfter: { seconds: 1n, nanos: 500_000_000 },
              },
            },
          },
        },
        { id: 3n, result: { result: { case: "decision", value: { outcome: QuotaDecision_Outcome.UNDECIDED } } } },
        { id: 4n, result: { result: { case: "error", value: { code: 3, reason: "INVALID_FIELDS", message: "no" } } } },
      ],
    });
    const common = { source: "SERVER", replayed: false, limits: [] };
    expect(Object.fromEntries(found)).toEqual({
      1: {
        ...common,
        outcome: "ALLOW",
        allowed: true,
        consistency: "EXACT",
        admittedAmounts: [1, Number.MAX_SAFE_INTEGER],
        slots: ["x", ""],
        limits,
        requestId: "r1",
      },
      2: {
        ...common,
        outcome: "DENY",
        allowed: false,
        reason: "RATE_LIMITED",
        consistency: "FALLBACK",
        replayed: true,
        retryAfterMs: 1_500,
        requestId: "r2",
      },
      3: { ...common, outcome: "UNDECIDED", allowed: false, reason: "", consistency: "NONE", requestId: "r3" },
      4: "no",
    });
  });
});
