import { describe, expect, it } from "vitest";
import { ATTEMPTS_MAX, judge, retryAfterMs } from "../../src/webhook/schedule.ts";
import { wants } from "../../src/webhook/webhook.ts";

const answer = (statusCode: number, retryAfter?: number) => ({ statusCode, retryAfterMs: retryAfter });

describe("the schedule of deliveries", () => {
  it("calls 2xx delivered, 410 gone, and tries all else again, redirects too", () => {
    expect(judge(answer(204), 1, 0)).toEqual({ kind: "delivered" });
    expect(judge(answer(410), 1, 0)).toEqual({ kind: "gone" });
    for (const status of [0, 199, 301, 302, 400, 404, 429, 500, 503]) {
      expect(judge(answer(status), 1, 0)).toEqual({ kind: "retry", afterMs: 5_000 });
    }
  });

  it("waits longer each time and gives up after ten attempts and three days", () => {
    const pauses: number[] = [];
    for (let attempt = 1; ; attempt += 1) {
      const verdict = judge(answer(500), attempt, 0);
      if (verdict.kind !== "retry") {
        expect([attempt, verdict.kind]).toEqual([ATTEMPTS_MAX, "failed"]);
        break;
      }
      pauses.push(verdict.afterMs);
    }
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(pauses.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(3 * 86_400_000);
  });

  it("spreads receivers that fail together by up to a fifth of the pause", () => {
    expect(judge(answer(500), 2, 0.999)).toEqual({ kind: "retry", afterMs: 300_000 * (1 + 0.2 * 0.999) });
  });

  it("waits as long as a receiver asks for, within a day", () => {
    expect(judge(answer(429, 60_000), 1, 0)).toEqual({ kind: "retry", afterMs: 60_000 });
    expect(judge(answer(503, 1_000), 1, 0)).toEqual({ kind: "retry", afterMs: 5_000 });
    expect(judge(answer(503, 1e12), 1, 0)).toEqual({ kind: "retry", afterMs: 86_400_000 });
  });

  it("reads Retry-After as seconds or as a date", () => {
    const now = Date.parse("2030-01-01T00:00:00Z");
    expect(retryAfterMs("120", now)).toBe(120_000);
    expect(retryAfterMs("Tue, 01 Jan 2030 00:01:00 GMT", now)).toBe(60_000);
    expect(retryAfterMs("Mon, 31 Dec 2029 00:00:00 GMT", now)).toBe(0);
    expect(retryAfterMs("soon", now)).toBeUndefined();
    expect(retryAfterMs(undefined, now)).toBeUndefined();
  });
});

describe("the types that an endpoint asks for", () => {
  it.each([
    [[], "tenant.created", true],
    [["tenant.created"], "tenant.created", true],
    [["tenant.created"], "tenant.suspended", false],
    [["tenant.*"], "tenant.suspended", true],
    [["tenant.*"], "tenants.suspended", false],
    [["plan.*", "tenant.purged"], "tenant.purged", true],
  ] as const)("%j of %s: %s", (types, type, wanted) => {
    expect(wants(types, type)).toBe(wanted);
  });
});
