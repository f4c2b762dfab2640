import { createHash } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CheckQuotaRequestSchema, QuotaMode } from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { describe, expect, it } from "vitest";
import { parseCheck } from "../../src/quota/check-parse-rpc.ts";
import { caught } from "../aip/caught.ts";

const sha256 = (text: string) => new Uint8Array(createHash("sha256").update(text).digest());
const parse = (request: MessageInitShape<typeof CheckQuotaRequestSchema>) =>
  parseCheck(create(CheckQuotaRequestSchema, request), "acme", sha256);
const ID = "3F0D26B4-1111-4222-8333-444455556666";

describe("a check's request", () => {
  it("means one of each meter, CONSUME, and no slot, unless it says so", () => {
    expect(parse({ entries: [{ meter: "api.calls" }, { meter: "jobs", amount: 0n, slot: "a:1" }] })).toEqual({
      tenantId: "acme",
      entries: [
        { meter: "api.calls", amount: 1, slot: undefined },
        { meter: "jobs", amount: 0, slot: "a:1" },
      ],
      mode: "CONSUME",
      idempotency: undefined,
    });
  });

  it("binds its id to mode and entries, and to nothing else", () => {
    const entries = [{ meter: "api.calls", amount: 3n }];
    const text = (request: MessageInitShape<typeof CheckQuotaRequestSchema>) =>
      parse({ requestId: ID, ...request }).idempotency?.hash;
    const first = text({ entries });
    expect(parse({ entries, requestId: ID }).idempotency?.requestId).toBe(ID.toLowerCase());
    expect([text({ entries, enforce: true }), text({ entries, mode: QuotaMode.CONSUME })]).toEqual([first, first]);
    const others = [
      text({ entries, mode: QuotaMode.FORCE }),
      text({ entries: [{ meter: "api.calls", amount: 4n }] }),
      text({ entries: [{ meter: "api.calls", amount: 3n, slot: "x" }] }),
      text({ entries: Array.from({ length: 16 }, (_, i) => ({ meter: `meter.number_${i}` })) }),
    ];
    expect(new Set([first, ...others]).size).toBe(5);
    expect(Math.max(...others.map((hash) => hash?.length ?? 0))).toBeLessThanOrEqual(64);
  });

  it.each([
    ["no entries", { entries: [] }, ["entries"]],
    ["seventeen entries", { entries: Array.from({ length: 17 }, (_, i) => ({ meter: `m${i}` })) }, ["entries"]],
    [
      "a meter that is none",
      { entries: [{ meter: "__proto__" }, { meter: "Calls" }] },
      ["entries[0].meter", "entries[1].meter"],
    ],
    ["a meter named twice", { entries: [{ meter: "a" }, { meter: "b" }, { meter: "a" }] }, ["entries[2].meter"]],
    ["a negative amount", { entries: [{ meter: "a", amount: -1n }] }, ["entries[0].amount"]],
    ["an amount of 2^53", { entries: [{ meter: "a", amount: 2n ** 53n }] }, ["entries[0].amount"]],
    ["the largest int64", { entries: [{ meter: "a", amount: 2n ** 63n - 1n }] }, ["entries[0].amount"]],
    ["a slot with a space", { entries: [{ meter: "a", slot: "a b" }] }, ["entries[0].slot"]],
    ["a mode of the future", { entries: [{ meter: "a" }], mode: 99 as QuotaMode }, ["mode"]],
    ["an id that is no UUID", { entries: [{ meter: "a" }], requestId: "1" }, ["request_id"]],
    [
      "everything wrong at once",
      { entries: [{ meter: "", amount: -1n, slot: "/" }], mode: 99 as QuotaMode, requestId: "x" },
      ["entries[0].meter", "entries[0].slot", "entries[0].amount", "mode", "request_id"],
    ],
  ] as [string, MessageInitShape<typeof CheckQuotaRequestSchema>, string[]][])(
    "with %s is refused",
    (_, request, fields) => {
      const error = caught(() => parse(request));
      expect(error.details.violations?.map(({ field }) => field)).toEqual(fields);
    },
  );

  it("takes the largest safe amount exactly", () => {
    const [entry] = parse({ entries: [{ meter: "a", amount: 2n ** 53n - 1n }] }).entries;
    expect(entry?.amount).toBe(Number.MAX_SAFE_INTEGER);
  });
});
