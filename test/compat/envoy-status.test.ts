import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { parseAsk } from "../../src/compat/envoy-parse-rpc.ts";
import { toResponse } from "../../src/compat/envoy-status-rpc.ts";
import {
  RateLimitResponse_Code as Code,
  RateLimitRequestSchema,
  RateLimitResponseSchema,
  RateLimitResponse_RateLimit_Unit as Unit,
} from "../../src/compat/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import type { LimitRule } from "../../src/limit.ts";
import type { Decision, LimitState } from "../../src/quota/decision.ts";
import { caught } from "../aip/caught.ts";
import { decisionOf, effectiveOf, limitOf, stateOf } from "../support/limit.ts";

type Request = MessageInitShape<typeof RateLimitRequestSchema>;

const NOW = 1_700_000_000_000;
const ask = (request: Request) => parseAsk(create(RateLimitRequestSchema, { domain: "gateway", ...request }));

/** A descriptor of these entries, "key=value". */
function descriptor(...entries: string[]) {
  return { entries: entries.map((entry) => ({ key: entry.split("=")[0] ?? "", value: entry.split("=")[1] ?? "" })) };
}

const calls = descriptor("tenant=acme", "meter=api.calls");

describe("what a gateway asks", () => {
  it.each([
    [
      "tenant and meter by their entries, among others",
      { descriptors: [descriptor("remote_address=::1", "tenant=acme", "path=/", "meter=a")] },
      "acme",
      ["a"],
    ],
    ["a tenant by its resource name", { descriptors: [descriptor("tenant=tenants/acme", "meter=a")] }, "acme", ["a"]],
    ["the tenant of the domain", { domain: "tenants/acme", descriptors: [descriptor("meter=a")] }, "acme", ["a"]],
    [
      "an entry's tenant before the domain's",
      { domain: "tenants/acme", descriptors: [descriptor("tenant=other", "meter=a")] },
      "other",
      ["a"],
    ],
    [
      "nothing of descriptors that limit nothing here",
      { descriptors: [descriptor("path=/"), calls, descriptor("meter=a")] },
      "acme",
      [undefined, "api.calls", undefined],
    ],
    [
      "nothing of nobody's",
      { descriptors: [descriptor("meter=a"), descriptor("tenant=", "meter=a")] },
      undefined,
      [undefined, undefined],
    ],
  ] as [string, Request, string | undefined, (string | undefined)[]][])("is %s", (_, request, tenantId, meters) => {
    const found = ask(request);
    expect([found.tenantId, found.wants.map(({ meter }) => meter)]).toEqual([tenantId, meters]);
  });

  it.each([
    ["one hit by default", {}, {}, 1],
    ["the request's hits", { hitsAddend: 3 }, {}, 3],
    ["a descriptor's own before those", { hitsAddend: 3 }, { hitsAddend: 5n }, 5],
    ["a look for an explicit 0", { hitsAddend: 3 }, { hitsAddend: 0n }, 0],
  ])("is %s", (_, request, own, hits) => {
    expect(ask({ ...request, descriptors: [{ ...calls, ...own }] }).wants[0]?.hits).toBe(hits);
  });

  it("may have happened, and may be given back", () => {
    const found = ask({
      descriptors: [descriptor("tenant=acme", "meter=a", "mode=FORCE"), { ...calls, isNegativeHits: true }],
    });
    expect([found.force, found.wants.map(({ back }) => back)]).toEqual([true, [false, true]]);
  });

  it.each([
    ["no domain", { domain: "", descriptors: [calls] }, ["domain"]],
    ["no descriptor", { descriptors: [] }, ["descriptors"]],
    ["seventeen descriptors", { descriptors: Array.from({ length: 17 }, () => calls) }, ["descriptors"]],
    ["a descriptor without entries", { descriptors: [{ entries: [] }] }, ["descriptors[0].entries"]],
    ["two tenants", { descriptors: [calls, descriptor("tenant=other", "meter=a")] }, ["descriptors"]],
    ["hits of 2^53", { descriptors: [{ ...calls, hitsAddend: 2n ** 53n }] }, ["descriptors[0].hits_addend"]],
    ["another mode", { descriptors: [descriptor("tenant=acme", "mode=MAYBE")] }, ["descriptors[0].entries"]],
  ] as [string, Request, string[]][])("is refused with %s", (_, request, fields) => {
    expect(caught(() => ask(request)).details.violations?.map(({ field }) => field)).toEqual(fields);
  });
});

const perMinute: LimitRule = { kind: "RATE", algorithm: "GCRA", windowMs: 60_000, burst: "10" };
const monthly: LimitRule = { kind: "PERIOD", duration: "P1M", anchor: "CALENDAR", rolloverMax: "0" };
const rate = effectiveOf(limitOf({ rule: perMinute, limitId: "rate" }));
const month = effectiveOf(limitOf({ rule: monthly, limitId: "month", amount: "1000" }));
const storage = effectiveOf(
  limitOf({ rule: { kind: "GAUGE" }, limitId: "storage", meter: "storage", amount: "8000000000" }),
);
const shadow = effectiveOf(limitOf({ rule: { kind: "GAUGE" }, limitId: "shadow", meter: "storage", mode: "SHADOW" }));

/** The answer to a request for calls and storage. */
function answer(states: LimitState[], decision: Partial<Decision> = {}) {
  const asked = ask({ descriptors: [calls, descriptor("path=/"), descriptor("tenant=acme", "meter=storage")] });
  return create(RateLimitResponseSchema, toResponse(asked, decisionOf(states, decision), NOW));
}

const DENIED: Partial<Decision> = { outcome: "DENY", reason: "RATE_LIMITED", retryAfterMs: 2_500 };

describe("the answer to a gateway", () => {
  it("has a status for each descriptor in their order: of the limit nearest to its end, none, unlimited", () => {
    const states = [
      stateOf(month, { remaining: 10n, resetAt: NOW + 5_000 }),
      stateOf(rate, { remaining: 9n, resetAt: NOW + 1_500 }),
    ];
    const { overallCode, statuses, dynamicMetadata, responseHeadersToAdd } = answer(states);
    expect(statuses).toMatchObject([
      {
        code: Code.OK,
        currentLimit: { name: "month", requestsPerUnit: 1_000, unit: Unit.MONTH },
        limitRemaining: 10,
        durationUntilReset: { seconds: 5n, nanos: 0 },
      },
      { code: Code.OK, limitRemaining: 0 },
      { code: Code.OK, limitRemaining: 2 ** 32 - 1 },
    ]);
    expect([
      overallCode,
      statuses[1]?.currentLimit,
      statuses[2]?.currentLimit,
      dynamicMetadata,
      responseHeadersToAdd,
    ]).toEqual([Code.OK, undefined, undefined, undefined, []]);
  });

  it("is over where the limit refuses and nowhere else, with when to come again", () => {
    const states = [
      stateOf(rate, { used: 10n, remaining: 0n, exceeded: true, retryAfterMs: 2_500 }),
      stateOf(month),
      stateOf(shadow, { exceeded: true, remaining: 0n }),
    ];
    const { overallCode, statuses, dynamicMetadata, responseHeadersToAdd } = answer(states, DENIED);
    expect([overallCode, statuses.map(({ code }) => code)]).toEqual([
      Code.OVER_LIMIT,
      [Code.OVER_LIMIT, Code.OK, Code.OK],
    ]);
    expect(statuses[0]).toMatchObject({
      currentLimit: { name: "rate", requestsPerUnit: 100, unit: Unit.MINUTE },
      limitRemaining: 0,
      durationUntilReset: { seconds: 2n, nanos: 500_000_000 },
    });
    expect(responseHeadersToAdd.map(({ key, value }) => `${key}: ${value}`)).toEqual([
      'ratelimit-policy: "rate";q=100;w=60, "month";q=1000, "shadow";q=100',
      'ratelimit: "rate";r=0;t=3, "month";r=1000, "shadow";r=0',
      "retry-after: 3",
    ]);
    expect(dynamicMetadata).toMatchObject({ tenant: "acme", reason: "RATE_LIMITED" });
  });

  it("cuts what 32 bits can't hold, and says it exactly beside", () => {
    const { statuses, dynamicMetadata } = answer([stateOf(storage, { used: 1n, remaining: 7_999_999_999n })]);
    expect(statuses[2]).toMatchObject({ currentLimit: { requestsPerUnit: 2 ** 32 - 1 }, limitRemaining: 2 ** 32 - 1 });
    expect(dynamicMetadata).toMatchObject({
      limits: [{ limit: "storage", amount: "8000000000", remaining: "7999999999" }],
    });
  });

  it.each([
    ["is not ACTIVE", "TENANT_NOT_ACTIVE"],
    ["does not exist", undefined],
  ] as const)("is over for a tenant that %s", (_, reason) => {
    const { overallCode, statuses, dynamicMetadata } = answer([], { outcome: "DENY", reason });
    expect([overallCode, statuses.map(({ code }) => code), dynamicMetadata?.reason]).toEqual([
      Code.OVER_LIMIT,
      [Code.OVER_LIMIT, Code.OK, Code.OVER_LIMIT],
      reason ?? "RESOURCE_NOT_FOUND",
    ]);
  });

  it("is OK for a request that limits nothing", () => {
    const response = toResponse(ask({ descriptors: [descriptor("path=/")] }), undefined, NOW);
    expect(response).toEqual({ overallCode: Code.OK, statuses: [{ code: Code.OK }] });
  });
});
