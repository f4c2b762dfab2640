import { describe, expect, it } from "vitest";
import { refusalOf } from "../../src/quota/refusal.ts";
import { decisionOf, effectiveOf, limitOf, stateOf } from "../support/limit.ts";

const storage = effectiveOf(limitOf({ rule: { kind: "GAUGE" }, limitId: "storage", meter: "storage.bytes" }));
const calm = effectiveOf(limitOf({ rule: { kind: "GAUGE" }, limitId: "calm" }));

describe("a refusal", () => {
  it("names every limit that refused, with its facts, and a retry only when waiting helps", () => {
    const states = [stateOf(storage, { used: 90n, held: 5n, remaining: 5n, exceeded: true }), stateOf(calm)];
    const decision = decisionOf(states, { outcome: "DENY", reason: "QUOTA_EXHAUSTED" });
    const error = refusalOf("tenants/acme", decision);
    expect({ code: error.code, message: error.message, metadata: error.metadata, details: error.details }).toEqual({
      code: "resource_exhausted",
      message: "tenants/acme: 90 used and 5 held of 100 of limit storage (storage.bytes)",
      metadata: {
        tenant: "tenants/acme",
        limit: "storage",
        meter: "storage.bytes",
        holder: "tenants/acme",
        source: "PLAN",
        version: "v1",
        amount: "100",
        used: "90",
        held: "5",
        remaining: "5",
      },
      details: {
        quota: [
          {
            subject: "tenants/acme",
            description: "90 used and 5 held of 100 of limit storage (storage.bytes)",
            meter: "storage.bytes",
            limitId: "storage",
            amount: 100n,
            dimensions: { tenant: "tenants/acme" },
          },
        ],
      },
    });
    expect(refusalOf("tenants/acme", { ...decision, retryAfterMs: 7 }).details.retryAfterMs).toBe(7);
  });

  it.each([
    ["TENANT_NOT_ACTIVE", "DENY", "permission_denied"],
    ["DECISION_UNAVAILABLE", "DENY", "unavailable"],
    ["DECISION_UNAVAILABLE", "UNDECIDED", "unavailable"],
    ["RATE_LIMITED", "DENY", "resource_exhausted"],
    ["SLOTS_TAKEN", "DENY", "resource_exhausted"],
  ] as const)("for %s of a decision %s is %s", (reason, outcome, code) => {
    const error = refusalOf("tenants/acme", decisionOf([], { outcome, reason }));
    expect([error.reason, error.code, error.details]).toEqual([reason, code, {}]);
  });
});
