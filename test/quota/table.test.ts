import { beforeEach, describe, expect, it } from "vitest";
import type { Limit } from "../../src/limit.ts";
import { createQuotaTable, type QuotaTable } from "../../src/quota/table.ts";
import { createTenantTable, type TenantTable } from "../../src/tenant/table.ts";
import type { Tenant } from "../../src/tenant/tenant.ts";
import { limitOf } from "../support/limit.ts";

const DAY_MS = 86_400_000;

let now: number;
let tenants: TenantTable;
let table: QuotaTable;
let replaced: string[];
const deps = () => ({ tenants, now: () => now, onReplaced: (tenantId: string) => replaced.push(tenantId) });

beforeEach(() => {
  now = Date.UTC(2026, 8, 10);
  tenants = createTenantTable();
  replaced = [];
  table = createQuotaTable(deps());
  apply("meter", { meterId: "messages", kind: "PERIOD" });
  apply("plan", { uid: "p1", version: 1, limits: [limit(1_000)] });
});

type Noun = Parameters<QuotaTable["apply"]>[0]["noun"];

function apply(noun: Noun, after: object | null, before: object | null = null): void {
  table.apply({ noun, before, after, tenantUid: ((after ?? before) as { tenantUid?: string }).tenantUid ?? null });
}

function limit(amount: number): Limit {
  const rule = { kind: "PERIOD", duration: "P1M", anchor: "CALENDAR", rolloverMax: "0" } as const;
  return limitOf({ limitId: "messages", meter: "messages", amount: String(amount), rule });
}

function putTenant(tenantId: string, parts: Partial<Tenant> = {}): void {
  const tenant = {
    uid: `uid-${tenantId}`,
    tenantId,
    planUid: "p1",
    planId: "pro",
    planVersion: 1,
    integratorUid: null,
    timeZone: "UTC",
    state: "ACTIVE",
    epoch: 1,
    revision: 1,
    createdAt: 0,
    ...parts,
  } as Tenant;
  tenants.put(tenant);
  table.apply({ noun: "tenant", before: null, after: tenant, tenantUid: tenant.uid });
}

function override(amount: number, parts: object = {}) {
  const row = { tenantUid: "uid-acme", tenantId: "acme", overrideId: "o1", limit: limit(amount) };
  return { ...row, expiresAt: null, ended: false, revision: 1, createdAt: 1, ...parts };
}

function grant(amount: number, parts: object = {}) {
  const row = { tenantUid: "uid-acme", tenantId: "acme", grantId: "g1", limitId: "messages", priority: 0 };
  const amounts = { amount: String(amount), usableAmount: String(amount), usedAmount: "0" };
  return { ...row, ...amounts, startsAt: 0, expiresAt: null, ended: false, revision: 1, createdAt: 1, ...parts };
}

const amount = (tenantId = "acme") => table.quotasOf(tenantId)?.limits[0]?.amount;

describe("the node's table of limits", () => {
  it("knows nothing of a tenant, a plan or an integrator that it has not heard of", () => {
    putTenant("no-plan", { planVersion: 2 });
    putTenant("no-integrator", { integratorUid: "i9" });
    expect([table.quotasOf("nobody"), table.quotasOf("no-plan"), table.quotasOf("no-integrator")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("follows overrides and grants as they come, change and go", () => {
    putTenant("acme");
    const seen = [amount()];
    const step = (...change: Parameters<typeof apply>) => {
      apply(...change);
      seen.push(amount());
    };
    step("quotaOverride", override(5_000));
    step("quotaOverride", override(6_000, { revision: 2 }));
    step("quotaOverride", override(5_000));
    step("quotaGrant", grant(7));
    step("quotaGrant", grant(7, { usedAmount: "3", revision: 2 }));
    step("quotaOverride", null, override(6_000, { revision: 2 }));
    step("quotaGrant", grant(7, { usedAmount: "7", revision: 3 }));
    expect(seen).toEqual([1_000n, 5_000n, 6_000n, 6_000n, 6_007n, 6_004n, 1_004n, 1_000n]);
  });

  it("follows a tenant to another plan, and tells its state and epoch", () => {
    putTenant("acme");
    const before = table.quotasOf("acme");
    apply("plan", { uid: "p1", version: 2, limits: [limit(9)] });
    const kept = table.quotasOf("acme");
    putTenant("acme", { planVersion: 2, state: "SUSPENDED", epoch: 2, revision: 2 });
    const after = table.quotasOf("acme");
    expect([before?.limits[0]?.amount, kept === before]).toEqual([1_000n, true]);
    expect([after?.limits[0]?.amount, after?.state, after?.epoch]).toEqual([9n, "SUSPENDED", 2]);
  });

  it("knows of a suspension before its place in the log is known", () => {
    putTenant("acme");
    const before = table.quotasOf("acme")?.state;
    const tenant = tenants.byId("acme") as Tenant;
    tenants.note({ ...tenant, state: "SUSPENDED", epoch: 2, revision: 2 });
    expect([before, table.quotasOf("acme")?.state, table.quotasOf("acme")?.epoch]).toEqual(["ACTIVE", "SUSPENDED", 2]);
  });

  it("gives all tenants of an integrator its new limits", () => {
    const integrator = { uid: "i1", integratorId: "north", limits: [limit(10)], revision: 1, createdAt: 0 };
    apply("integrator", integrator);
    for (const id of ["acme", "beta"]) putTenant(id, { integratorUid: "i1" });
    const shared = () => ["acme", "beta"].map((id) => table.quotasOf(id)?.limits[1]?.amount);
    const before = shared();
    apply("integrator", { ...integrator, limits: [limit(20)], revision: 2 });
    apply("integrator", integrator);
    expect([before, shared(), table.quotasOf("acme")?.rootUid]).toEqual([[10n, 10n], [20n, 20n], "i1"]);
  });

  it("changes with the time: periods pass, overrides end, grants begin", () => {
    putTenant("acme");
    apply("quotaOverride", override(5_000, { expiresAt: now + 2 * DAY_MS }));
    apply("quotaGrant", grant(1, { startsAt: now + DAY_MS }));
    const seen = [0, 1, 2, 30].map((days) => {
      now = Date.UTC(2026, 8, 10) + days * DAY_MS;
      const quotas = table.quotasOf("acme");
      return [quotas?.limits[0]?.amount, quotas?.limits[0]?.window?.id];
    });
    expect(seen).toEqual([
      [5_000n, "P1M:2026-09"],
      [5_001n, "P1M:2026-09"],
      [1_001n, "P1M:2026-09"],
      [1_001n, "P1M:2026-10"],
    ]);
  });

  it("names a tenant whose period on record is of another rule, and not at every check", () => {
    putTenant("acme");
    const period = { tenantUid: "uid-acme", limitId: "messages", rolloverAmount: "0" };
    apply("quotaPeriod", { ...period, windowId: "P1M:2026-08", revision: 1 });
    table.quotasOf("acme");
    const ended = [...replaced];
    apply("quotaPeriod", { ...period, windowId: "P1M#4", revision: 2 });
    table.quotasOf("acme");
    table.quotasOf("acme");
    expect([ended, replaced]).toEqual([[], ["acme"]]);
  });

  it("tells a meter without limits from one that does not exist", () => {
    putTenant("acme");
    const bytes = () => table.quotasOf("acme")?.limitsOf("bytes");
    const seen = [bytes()];
    apply("meter", { meterId: "bytes", kind: "GAUGE" });
    seen.push(bytes());
    apply("meter", null, { meterId: "bytes", kind: "GAUGE" });
    seen.push(bytes());
    expect(seen).toEqual([undefined, [], undefined]);
  });

  it("keeps nothing of a purged tenant, nor of a new one of the same name", () => {
    putTenant("acme");
    apply("quotaGrant", grant(7));
    tenants.remove("uid-acme");
    table.apply({ noun: "tenant", before: { uid: "uid-acme" }, after: null, tenantUid: "uid-acme" });
    const gone = amount();
    putTenant("acme");
    expect([gone, amount()]).toEqual([undefined, 1_000n]);
  });

  it("compiles again what it had to forget", () => {
    table = createQuotaTable(deps(), 2);
    apply("plan", { uid: "p1", version: 1, limits: [limit(1_000)] });
    for (const id of ["one", "two", "three"]) putTenant(id);
    const first = table.quotasOf("one");
    const same = table.quotasOf("one") === first;
    table.quotasOf("two");
    table.quotasOf("three");
    expect([same, table.quotasOf("one") === first, amount("one")]).toEqual([true, false, 1_000n]);
  });
});
