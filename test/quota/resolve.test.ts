import { describe, expect, it } from "vitest";
import type { Limit, LimitRule } from "../../src/limit.ts";
import type { QuotaGrant, QuotaPeriod } from "../../src/quota/grant.ts";
import type { QuotaOverride } from "../../src/quota/override.ts";
import { windowAt } from "../../src/quota/period.ts";
import { compile as compileAt, type QuotaFacts, resolveLimits as resolveAt } from "../../src/quota/resolve.ts";
import { limitOf } from "../support/limit.ts";
import { grantOf } from "./support/grant.ts";

const at = (text: string) => Temporal.Instant.from(text).epochMilliseconds;
const NOW = at("2026-09-10T12:00Z");
const MONTHLY: LimitRule = { kind: "PERIOD", duration: "P1M", anchor: "CALENDAR", rolloverMax: "0" };
const AMOUNT_MAX = 2n ** 63n - 1n;

function limit(amount: number | bigint, parts: Partial<Limit> = {}): Limit {
  return limitOf({ limitId: "messages", meter: "messages", amount: String(amount), rule: MONTHLY, ...parts });
}

const tenant: QuotaFacts["tenant"] = {
  uid: "t1",
  tenantId: "acme",
  planId: "pro",
  planVersion: 3,
  timeZone: "Europe/Berlin",
  createdAt: at("2026-01-31T10:00Z"),
  state: "ACTIVE",
  epoch: 2,
};

function override(limitOf: Limit, parts: Partial<QuotaOverride> = {}): QuotaOverride {
  return {
    uid: "o",
    tenantUid: "t1",
    tenantId: "acme",
    overrideId: "o1",
    limit: limitOf,
    reason: "a big launch",
    creator: "users/root",
    expiresAt: null,
    ended: false,
    revision: 1,
    createdAt: at("2026-09-01T00:00Z"),
    updatedAt: at("2026-09-01T00:00Z"),
    ...parts,
  };
}

function grant(amount: number, parts: Partial<QuotaGrant> = {}): QuotaGrant {
  const [startsAt, createdAt] = [at("2026-09-01T00:00Z"), at("2026-09-01T00:00Z")];
  return grantOf(BigInt(amount), { startsAt, createdAt, ...parts });
}

function period(parts: Partial<QuotaPeriod> = {}): QuotaPeriod {
  return {
    tenantUid: "t1",
    tenantId: "acme",
    limitId: "messages",
    windowId: "P1M:2026-09",
    startsAt: at("2026-08-31T22:00Z"),
    endsAt: at("2026-09-30T22:00Z"),
    baseAmount: "1000",
    rolloverAmount: "0",
    revision: 1,
    ...parts,
  };
}

function facts(parts: Partial<QuotaFacts> = {}): QuotaFacts {
  const plan = { limits: [limit(1_000)] };
  return { tenant, plan, overrides: [], grants: [], periods: [], integrator: undefined, ...parts };
}

const resolveLimits = (of: QuotaFacts, now: number) => resolveAt(of, { now, windowAt });
const compile = (of: QuotaFacts, meters: Set<string>, now: number) => compileAt(of, meters, { now, windowAt });

/** The steps to a tenant's one limit and what came out, as one literal. */
function shown(of: QuotaFacts, now = NOW) {
  const [resolved] = resolveLimits(of, now);
  if (!resolved) return undefined;
  const { effective, steps, nextChangeAt } = resolved;
  return {
    amount: effective.amount,
    source: effective.source,
    steps: steps.map((step) => `${step.kind} ${step.amount}`),
    next: nextChangeAt === Number.POSITIVE_INFINITY ? "never" : new Date(nextChangeAt).toISOString().slice(0, 16),
  };
}

describe("a tenant's limit", () => {
  it("is the plan's when nothing changes it", () => {
    expect(shown(facts())).toEqual({ amount: 1_000n, source: "PLAN", steps: ["PLAN 1000"], next: "2026-09-30T22:00" });
  });

  it("is the newest override's in force, until that ends", () => {
    const overrides = [
      override(limit(5_000), { overrideId: "old", createdAt: at("2026-08-01T00:00Z") }),
      override(limit(2_000), { overrideId: "new", expiresAt: at("2026-09-20T00:00Z") }),
      override(limit(9_000), { overrideId: "over", createdAt: at("2026-09-05T00:00Z"), expiresAt: NOW }),
      override(limit(9_000), { overrideId: "ended", createdAt: at("2026-09-06T00:00Z"), ended: true, expiresAt: 1 }),
    ];
    expect([shown(facts({ overrides })), shown(facts({ overrides }), at("2026-09-20T00:00Z"))]).toEqual([
      { amount: 2_000n, source: "OVERRIDE", steps: ["PLAN 1000", "OVERRIDE 2000"], next: "2026-09-20T00:00" },
      { amount: 5_000n, source: "OVERRIDE", steps: ["PLAN 1000", "OVERRIDE 5000"], next: "2026-09-30T22:00" },
    ]);
  });

  it("may be an override's alone", () => {
    expect(shown(facts({ plan: { limits: [] }, overrides: [override(limit(7))] }))).toMatchObject({
      amount: 7n,
      source: "OVERRIDE",
      steps: ["OVERRIDE 7"],
    });
  });

  it("has on top what the last period left, and then the grants in the order in which they are used up", () => {
    const rule: LimitRule = { ...MONTHLY, rolloverMax: "300" } as LimitRule;
    const grants = [
      grant(10, { grantId: "late", priority: 5 }),
      grant(20, { grantId: "older", createdAt: at("2026-08-01T00:00Z") }),
      grant(30, { grantId: "younger" }),
      grant(40, { grantId: "ends-first", expiresAt: at("2026-09-15T00:00Z") }),
      grant(50, { grantId: "used", usedAmount: "49" }),
      grant(60, { grantId: "used-up", usedAmount: "60" }),
      grant(70, { grantId: "later", startsAt: at("2026-09-12T00:00Z") }),
      grant(80, { grantId: "expired", expiresAt: NOW }),
      grant(90, { grantId: "ended", ended: true, usableAmount: "5", expiresAt: at("2026-09-09T00:00Z") }),
      grant(99, { grantId: "other", limitId: "calls" }),
    ];
    const of = facts({
      plan: { limits: [limit(1_000, { rule })] },
      periods: [period({ rolloverAmount: "400" })],
      grants,
    });
    expect(shown(of)).toEqual({
      amount: 1_406n,
      source: "GRANT",
      steps: [
        "PLAN 1000",
        "ROLLOVER 1300",
        "GRANT 1305",
        "GRANT 1345",
        "GRANT 1365",
        "GRANT 1366",
        "GRANT 1396",
        "GRANT 1406",
      ],
      next: "2026-09-12T00:00",
    });
  });

  it("counts no rollover and no older grant while a period that has ended waits to be settled", () => {
    const rule: LimitRule = { ...MONTHLY, rolloverMax: "300" } as LimitRule;
    const periods = [period({ windowId: "P1M:2026-08", startsAt: at("2026-07-31T22:00Z"), rolloverAmount: "300" })];
    const grants = [
      grant(10, { grantId: "before", startsAt: at("2026-08-31T21:59Z") }),
      grant(20, { grantId: "since", startsAt: at("2026-08-31T22:00Z") }),
    ];
    const of = facts({ plan: { limits: [limit(1_000, { rule })] }, periods, grants });
    expect(shown(of)).toMatchObject({ amount: 1_020n, steps: ["PLAN 1000", "GRANT 1020"] });
  });

  it("takes grants for gauges as they are, and for rates none", () => {
    const gauge = limit(5, { rule: { kind: "GAUGE" } });
    const rate = limit(5, { rule: { kind: "RATE", algorithm: "GCRA", windowMs: 1_000, burst: "5" } });
    const of = (planned: Limit) => shown(facts({ plan: { limits: [planned] }, grants: [grant(7)] }));
    expect([of(gauge), of(rate)]).toEqual([
      { amount: 12n, source: "GRANT", steps: ["PLAN 5", "GRANT 12"], next: "never" },
      { amount: 5n, source: "PLAN", steps: ["PLAN 5"], next: "never" },
    ]);
  });

  it("never grows past 2^63-1", () => {
    const planned = limit(AMOUNT_MAX - 1n, { mode: "OVERAGE", overageCap: String(AMOUNT_MAX) });
    const [resolved] = resolveLimits(facts({ plan: { limits: [planned] }, grants: [grant(5)] }), NOW);
    expect([resolved?.effective.amount, resolved?.effective.cap]).toEqual([AMOUNT_MAX, AMOUNT_MAX]);
  });

  it.each([
    ["HARD", 1_000n],
    ["OVERAGE", 1_200n],
    ["SOFT", AMOUNT_MAX],
    ["SHADOW", AMOUNT_MAX],
  ] as const)("of mode %s may give away %d in all", (mode, cap) => {
    const planned = limit(1_000, { mode, overageCap: mode === "OVERAGE" ? "200" : "0" });
    expect(resolveLimits(facts({ plan: { limits: [planned] } }), NOW)[0]?.effective.cap).toBe(cap);
  });

  it("has another version after any change behind it", () => {
    const version = (of: QuotaFacts, now = NOW) => resolveLimits(of, now)[0]?.effective.version;
    const versions = [
      version(facts()),
      version(facts({ tenant: { ...tenant, planVersion: 4 } })),
      version(facts({ overrides: [override(limit(1_000))] })),
      version(facts({ overrides: [override(limit(1_000), { revision: 2 })] })),
      version(facts({ grants: [grant(1)] })),
      version(facts(), at("2026-10-10T00:00Z")),
    ];
    expect([versions[0], new Set(versions).size]).toEqual(["pro@3=1000~P1M:2026-09", versions.length]);
  });
});

describe("all limits of a tenant", () => {
  const shared = { uid: "i1", integratorId: "north", revision: 4, createdAt: at("2025-05-05T00:00Z") };
  const integrator = { ...shared, limits: [limit(50_000), limit(9, { limitId: "all-jobs", meter: "jobs" })] };
  const meters = new Set(["messages", "jobs", "bytes"]);

  it("are its own by id and then its integrator's, whose calendar is UTC", () => {
    const limits = [limit(10, { limitId: "z" }), limit(20, { limitId: "a" })];
    const quotas = compile(facts({ plan: { limits }, integrator }), meters, at("2026-09-30T22:30Z"));
    const rows = quotas.limits.map(({ key, holder, source, window }) => [key, holder.name, source, window?.id]);
    expect([quotas.rootUid, rows]).toEqual([
      "i1",
      [
        ["t/a", "tenants/acme", "PLAN", "P1M:2026-10"],
        ["t/z", "tenants/acme", "PLAN", "P1M:2026-10"],
        ["i/all-jobs", "integrators/north", "INTEGRATOR", "P1M:2026-09"],
        ["i/messages", "integrators/north", "INTEGRATOR", "P1M:2026-09"],
      ],
    ]);
  });

  it("are found by meter: none for one without limits, undefined for one that does not exist", () => {
    const quotas = compile(facts({ integrator }), meters, NOW);
    const keys = (meter: string) => quotas.limitsOf(meter)?.map(({ key }) => key);
    expect([keys("messages"), keys("jobs"), keys("bytes"), keys("constructor"), keys("__proto__")]).toEqual([
      ["t/messages", "i/messages"],
      ["i/all-jobs"],
      [],
      undefined,
      undefined,
    ]);
  });

  it("change by themselves when the first of them does", () => {
    const hourly = limit(1, { limitId: "hourly", rule: { ...MONTHLY, duration: "PT1H" } as LimitRule });
    const quotas = compile(facts({ plan: { limits: [limit(1), hourly] } }), meters, NOW);
    expect([quotas.rootUid, quotas.nextChangeAt]).toEqual(["t1", at("2026-09-10T13:00Z")]);
    expect(compile(facts({ plan: { limits: [] } }), meters, NOW).nextChangeAt).toBe(Number.POSITIVE_INFINITY);
  });
});
