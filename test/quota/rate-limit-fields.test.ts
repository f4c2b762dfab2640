import { parseList } from "structured-headers";
import { describe, expect, it } from "vitest";
import type { LimitRule } from "../../src/limit.ts";
import type { Decision, LimitState } from "../../src/quota/decision.ts";
import { rateLimitFields } from "../../src/quota/rate-limit-fields.ts";
import { decisionOf, effectiveOf, limitOf, stateOf } from "../support/limit.ts";

const NOW = 1_700_000_000_000;
const DAY_MS = 86_400_000;
const rate: LimitRule = { kind: "RATE", algorithm: "GCRA", windowMs: 60_000, burst: "50" };
const period: LimitRule = { kind: "PERIOD", duration: "P1D", anchor: "CALENDAR", rolloverMax: "0" };
const today = { id: "d1", startAt: NOW - DAY_MS / 2, endAt: NOW + DAY_MS / 2 };
const burst = effectiveOf(limitOf({ rule: rate, limitId: "burst", amount: "100" }));
const daily = effectiveOf(limitOf({ rule: period, limitId: "daily", amount: "1000" }), { window: today });
const slots = effectiveOf(limitOf({ rule: { kind: "CONCURRENCY", slotTtlMs: 1_000 }, limitId: "jobs", amount: "5" }));
const bytes = effectiveOf(limitOf({ rule: { kind: "GAUGE" }, limitId: "storage", amount: String(2n ** 63n - 1n) }));
const shared = effectiveOf(limitOf({ rule: rate, limitId: "burst", amount: "900" }), {
  key: "i/burst",
  holder: { kind: "integrator", uid: "u2", name: "integrators/north" },
});

const denied: Partial<Decision> = { outcome: "DENY", reason: "QUOTA_EXHAUSTED" };

/** What a reader of structured fields makes of a field: names with their parameters. */
function read(field: string | undefined): unknown {
  return parseList(field ?? "").map(([name, parameters]) => [name, Object.fromEntries(parameters)]);
}

describe("the RateLimit fields", () => {
  const cases: [string, LimitState[], Partial<Decision>, { policy: unknown; limit: unknown; retryAfter?: string }][] = [
    [
      "tell of windows and of what is left of them",
      [
        stateOf(burst, { remaining: 50n, resetAt: NOW + 30_000 }),
        stateOf(daily, { remaining: 7n, resetAt: today.endAt }),
      ],
      {},
      {
        policy: [
          ["burst", { q: 100, w: 60 }],
          ["daily", { q: 1000, w: 86_400 }],
        ],
        limit: [
          ["burst", { r: 50, t: 30 }],
          ["daily", { r: 7, t: 43_200 }],
        ],
      },
    ],
    [
      "give no window to slots and gauges, and no number above fifteen digits",
      [stateOf(slots, { remaining: 2n }), stateOf(bytes)],
      {},
      {
        policy: [
          ["jobs", { q: 5, qu: "concurrent-requests" }],
          ["storage", { q: 999_999_999_999_999 }],
        ],
        limit: [
          ["jobs", { r: 2 }],
          ["storage", { r: 999_999_999_999_999 }],
        ],
      },
    ],
    [
      "tell the limits of tenant and integrator apart",
      [stateOf(burst), stateOf(shared)],
      {},
      {
        policy: [
          ["burst", { q: 100, w: 60 }],
          ["integrator/burst", { q: 900, w: 60 }],
        ],
        limit: [
          ["burst", { r: 100 }],
          ["integrator/burst", { r: 900 }],
        ],
      },
    ],
    [
      "round what there is to wait up, and point nowhere beyond Retry-After",
      [
        stateOf(burst, { remaining: 0n, exceeded: true, retryAfterMs: 1_001, resetAt: NOW + 60_000 }),
        stateOf(daily, { resetAt: today.endAt }),
      ],
      { ...denied, retryAfterMs: 1_001 },
      {
        policy: [
          ["burst", { q: 100, w: 60 }],
          ["daily", { q: 1000, w: 86_400 }],
        ],
        limit: [
          ["burst", { r: 0, t: 2 }],
          ["daily", { r: 1000 }],
        ],
        retryAfter: "2",
      },
    ],
  ];
  it.each(cases)("%s", (_, states, decision, expected) => {
    const fields = rateLimitFields(decisionOf(states, decision), NOW);
    expect({ policy: read(fields?.policy), limit: read(fields?.limit), retryAfter: fields?.retryAfter }).toEqual({
      retryAfter: undefined,
      ...expected,
    });
  });

  it("say nothing of a limit whose state is not known, or when there is none", () => {
    const unknown = stateOf(burst, { failPolicy: "OPEN" });
    expect([rateLimitFields(decisionOf([unknown]), NOW), rateLimitFields(decisionOf([]), NOW)]).toEqual([
      undefined,
      undefined,
    ]);
  });

  it("stay short: sixteen limits at most", () => {
    const many = Array.from({ length: 40 }, () => stateOf(daily));
    expect(parseList(rateLimitFields(decisionOf(many), NOW)?.limit ?? "")).toHaveLength(16);
  });

  it("are written as the draft writes its examples", () => {
    const hour: LimitRule = { ...rate, windowMs: 3_600_000 };
    const policies = [
      effectiveOf(limitOf({ rule: rate, limitId: "permin", amount: "50" })),
      effectiveOf(limitOf({ rule: hour, limitId: "perhr", amount: "1000" })),
    ];
    const fields = rateLimitFields(decisionOf(policies.map((policy) => stateOf(policy))), NOW);
    expect(fields?.policy).toBe('"permin";q=50;w=60, "perhr";q=1000;w=3600');
  });
});
