import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { toTimestamp } from "../../src/server/convert.ts";
import { type Clients, createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { until } from "../support/until.ts";
import { amountOf, cachedAmountOf, createPlatform, createTenant, keyFor } from "./support/platform.ts";
import { setUse } from "./support/use.ts";

const NOW = Date.UTC(2026, 8, 10, 12);
const clock = createFakeClock(NOW);
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;
let tenantKey: Clients;
let partnerKey: Clients;
const name = "tenants/acme";

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  owner = postgres(database.url, { max: 1, onnotice: () => {} });
  await createPlatform(app);
  const limits = [
    { meter: "bytes", amount: 9_000n },
    { meter: "seats", amount: 90n },
  ];
  await app.admin.integrators.createIntegrator({ integratorId: "north", integrator: { displayName: "N", limits } });
  await app.admin.integrators.createIntegrator({ integratorId: "south", integrator: { displayName: "S" } });
  await createTenant(app, "acme", { integrator: "integrators/north" });
  await createTenant(app, "other", { integrator: "integrators/north" });
  tenantKey = await keyFor(app, "tenant.viewer", name);
  partnerKey = await keyFor(app, "integrator.admin", "integrators/north");
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

const monthly = { rule: { case: "period" as const, value: { duration: "P1M", rolloverMax: 300n } } };

describe("a tenant's quotas", () => {
  it("are its own limits by id, then its integrator's, with the seats that are taken", async () => {
    for (const [tenant, email] of [
      ["acme", "a@x.org"],
      ["acme", "b@x.org"],
      ["other", "c@x.org"],
    ] as const) {
      await app.admin.users.createUser({ parent: `tenants/${tenant}`, user: { email, role: "tenant.viewer" } });
    }
    const { limits } = await app.admin.quotas.getTenantQuotas({ name });
    expect(
      limits.map(({ holder, limitId, amount, used, remaining }) => [holder, limitId, amount, used, remaining]),
    ).toEqual([
      [name, "bytes", 500n, 0n, 500n],
      [name, "calls", 10n, 0n, 10n],
      [name, "jobs", 2n, 0n, 2n],
      [name, "messages", 1_000n, 0n, 1_000n],
      [name, "seats", 3n, 2n, 1n],
      ["integrators/north", "bytes", 9_000n, 0n, 9_000n],
      ["integrators/north", "seats", 90n, 3n, 87n],
    ]);
    expect(limits.find(({ limitId }) => limitId === "messages")?.resetTime?.seconds).toBe(
      BigInt(Date.UTC(2026, 9, 1) / 1_000),
    );
  });

  it("can be asked for by meter", async () => {
    const ask = async (meters: string[]) =>
      (await app.admin.quotas.getTenantQuotas({ name, meters })).limits.map(({ limitId }) => limitId);
    expect([await ask(["messages", "jobs"]), await ask(["nothing"])]).toEqual([["jobs", "messages"], []]);
    expect((await refusal(ask(["messages", "Not a meter"]))).fields).toEqual(["meters[1]"]);
  });

  it("tell a tenant nothing of what others use under its integrator", async () => {
    const holders = async ({ quotas }: Clients) =>
      new Set((await quotas.getTenantQuotas({ name })).limits.map(({ holder }) => holder));
    const explained = refusal(tenantKey.quotas.explainQuota({ name, limitId: "seats", holder: "integrators/north" }));
    expect([await holders(tenantKey), await holders(partnerKey), (await explained).reason]).toEqual([
      new Set([name]),
      new Set([name, "integrators/north"]),
      "RESOURCE_NOT_FOUND",
    ]);
    expect((await refusal(tenantKey.quotas.getTenantQuotas({ name: "tenants/other" }))).reason).toBe(
      "PERMISSION_DENIED",
    );
  });

  it("are as fresh as the caller asks for", async () => {
    const parent = await createTenant(app, "fresh");
    await expect.poll(() => cachedAmountOf(app, parent, "messages")).toBe(1_000n);
    const { tenant, revision } = await app.admin.tenants.updateTenant({
      tenant: { name: parent, displayName: "New" },
      updateMask: { paths: ["display_name"] },
    });
    const minRevision = { requirement: { case: "minRevision" as const, value: revision } };
    const { limits } = await app.admin.quotas.getTenantQuotas({ name: parent, consistency: minRevision });
    expect([tenant?.displayName, limits.length]).toEqual(["New", 5]);
    const foreign = { requirement: { case: "minRevision" as const, value: "deadbeef.1.1" } };
    expect((await refusal(app.admin.quotas.getTenantQuotas({ name: parent, consistency: foreign }))).reason).toBe(
      "REVISION_INVALID",
    );
  });
});

describe("an explanation", () => {
  it("names the plan's version, the override with who and why, the rollover, and the grants in their order", async () => {
    const parent = await createTenant(app, "explained");
    await app.tick();
    await setUse(owner, { tenant: parent, limitId: "messages", windowId: "P1M:2026-09", used: 900n });
    clock.advance(Date.UTC(2026, 9, 2) - NOW);
    await app.tick();
    const quotaOverride = { limit: { meter: "messages", amount: 2_000n, ...monthly }, reason: "a launch" };
    await app.admin.quotas.createQuotaOverride({ parent, quotaOverrideId: "launch", quotaOverride });
    const give = (quotaGrantId: string, priority: number, expireTime = toTimestamp(Date.UTC(2026, 9, 20))) =>
      app.admin.quotas.createQuotaGrant({
        parent,
        quotaGrantId,
        quotaGrant: { limitId: "messages", amount: 50n, priority, reason: `pack ${quotaGrantId}`, expireTime },
      });
    await give("b", 2);
    await give("a", 1);
    const { limit, effectiveLimit, steps, nextChangeTime } = await app.admin.quotas.explainQuota({
      name: parent,
      limitId: "messages",
    });
    const by = /^by apiKeys\/[a-z0-9]+/;
    expect(steps.map(({ kind, resource, planVersion, amount }) => [kind, resource, planVersion, amount])).toEqual([
      ["PLAN", "plans/pro", 1, 1_000n],
      ["OVERRIDE", `${parent}/quotaOverrides/launch`, 0, 2_000n],
      ["ROLLOVER", "", 0, 2_100n],
      ["GRANT", `${parent}/quotaGrants/a`, 0, 2_150n],
      ["GRANT", `${parent}/quotaGrants/b`, 0, 2_200n],
    ]);
    expect(steps.map(({ description }) => description.replace(/apiKeys\/[a-z0-9]+/, "apiKeys/k"))).toEqual([
      "version 1 of the plan",
      "by apiKeys/k: a launch",
      "100 left of the period before",
      "50 left of 50, by apiKeys/k until 2026-10-20T00:00:00.000Z: pack a",
      "50 left of 50, by apiKeys/k until 2026-10-20T00:00:00.000Z: pack b",
    ]);
    expect(steps[1]?.description).toMatch(by);
    expect([limit?.amount, effectiveLimit?.amount, nextChangeTime?.seconds]).toEqual([
      2_200n,
      2_000n,
      BigInt(Date.UTC(2026, 9, 20) / 1_000),
    ]);
    clock.advance(NOW - clock.now());
  });

  it("of the integrator's limit is its own, and of none there is none", async () => {
    const { steps, limit } = await app.admin.quotas.explainQuota({
      name,
      limitId: "bytes",
      holder: "integrators/north",
    });
    expect([steps.map(({ kind, resource }) => [kind, resource]), limit?.amount]).toEqual([
      [["INTEGRATOR", "integrators/north"]],
      9_000n,
    ]);
    const refused = [
      { limitId: "nothing" },
      { limitId: "__proto__" },
      { limitId: "" },
      { limitId: "bytes", holder: "integrators/south" },
    ];
    const reasons = refused.map(
      async (request) => (await refusal(app.admin.quotas.explainQuota({ name, ...request }))).reason,
    );
    expect(new Set(await Promise.all(reasons))).toEqual(new Set(["RESOURCE_NOT_FOUND"]));
  });
});

describe("tenants near a limit", () => {
  const list = async ({ quotas }: Clients, request: object = {}) => {
    const { items, watermarkTime } = await quotas.listTenantsNearLimit({ limitId: "messages", ...request });
    expect(watermarkTime).toBeDefined();
    return items.map(({ tenant, usedPercent, limit }) => `${tenant} ${limit?.limitId} ${usedPercent}`);
  };

  beforeAll(async () => {
    for (const [id, used, integrator] of [
      ["near-a", 990n, "integrators/south"],
      ["near-b", 800n, "integrators/north"],
      ["near-c", 799n, "integrators/north"],
      ["near-d", 1_500n, "integrators/north"],
      ["near-e", 1_500n, "integrators/north"],
    ] as const) {
      const tenant = await createTenant(app, id, { integrator });
      await setUse(owner, { tenant, limitId: "messages", windowId: "P1M:2026-09", used });
      await setUse(owner, { tenant, limitId: "messages", windowId: "P1M:2026-08", used: 999n });
    }
    const monthlyOf = (amount: bigint) => ({ meter: "messages", amount, ...monthly });
    const override = (parent: string, amount: bigint) =>
      app.admin.quotas.createQuotaOverride({ parent, quotaOverride: { limit: monthlyOf(amount), reason: "r" } });
    await override("tenants/near-c", 850n);
    await override("tenants/near-d", 10_000n);
    await app.admin.quotas.createQuotaGrant({
      parent: "tenants/near-e",
      quotaGrant: { limitId: "messages", amount: 500n, reason: "r" },
    });
    await until(async () => (await cachedAmountOf(app, "tenants/near-e", "messages")) === 1_500n);
  });

  it("are listed fullest first, by what they may really use", async () => {
    expect([await list(app.admin), await list(app.admin, { minPercent: 95 })]).toEqual([
      [
        "tenants/near-e messages 100",
        "tenants/near-a messages 99",
        "tenants/near-c messages 94",
        "tenants/near-b messages 80",
      ],
      ["tenants/near-e messages 100", "tenants/near-a messages 99"],
    ]);
  });

  it("come in pages, of one integrator or limit or of all, seats among them", async () => {
    const request = { limitId: "messages", pageSize: 3 };
    const first = await app.admin.quotas.listTenantsNearLimit(request);
    const rest = await app.admin.quotas.listTenantsNearLimit({ ...request, pageToken: first.nextPageToken });
    expect(rest.items.map(({ tenant }) => tenant)).toEqual(["tenants/near-b"]);
    expect(await list(app.admin, { integrator: "integrators/south" })).toEqual(["tenants/near-a messages 99"]);
    const all = await list(app.admin, { limitId: "", minPercent: 60 });
    expect(all).toContain("tenants/acme seats 66.66");
    const other = app.admin.quotas.listTenantsNearLimit({
      limitId: "bytes",
      pageSize: 3,
      pageToken: first.nextPageToken,
    });
    expect((await refusal(other)).reason).toBe("PAGE_TOKEN_INVALID");
  });

  it("are those that the caller may see", async () => {
    expect(await list(partnerKey)).toEqual([
      "tenants/near-e messages 100",
      "tenants/near-c messages 94",
      "tenants/near-b messages 80",
    ]);
    expect(await list(tenantKey, { limitId: "seats", minPercent: 1 })).toEqual(["tenants/acme seats 66.66"]);
  });

  it.each([
    [{ minPercent: -1 }, "min_percent"],
    [{ minPercent: 1_001 }, "min_percent"],
    [{ limitId: "Nothing" }, "limit_id"],
    [{ integrator: "north" }, "integrator"],
    [{ pageSize: -1 }, "page_size"],
  ])("are not listed by %j", async (request, field) => {
    expect((await refusal(app.admin.quotas.listTenantsNearLimit(request))).fields).toEqual([field]);
  });
});

const redisUrl = inject("redisUrl");
describe.skipIf(redisUrl === "")("two nodes", () => {
  it("know each other's changes of a limit within a second", async () => {
    const shared = await createDatabase();
    const settings = { REDIS_URL: redisUrl };
    const first = await startTestApp(shared, { settings });
    const second = await startTestApp(shared, { settings, adminKey: first.adminKey });
    await createPlatform(first);
    const parent = await createTenant(first, "acme");
    const cached = () => cachedAmountOf(second, parent, "bytes");
    const within = { timeout: 1_000, interval: 10 };
    await expect.poll(cached, { timeout: 10_000 }).toBe(500n);
    const quotaOverride = { limit: { meter: "bytes", amount: 700n }, reason: "r" };
    const made = await first.admin.quotas.createQuotaOverride({ parent, quotaOverride });
    await expect.poll(cached, within).toBe(700n);
    await first.admin.quotas.createQuotaGrant({ parent, quotaGrant: { limitId: "bytes", amount: 7n, reason: "r" } });
    await expect.poll(cached, within).toBe(707n);
    await first.admin.quotas.deleteQuotaOverride({ name: made.quotaOverride?.name ?? "" });
    await expect.poll(cached, within).toBe(507n);
    const plan = { name: "plans/pro", limits: [{ meter: "bytes", amount: 900n }] };
    await first.admin.plans.updatePlan({ plan, updateMask: { paths: ["limits"] } });
    await first.admin.tenants.updateTenant({
      tenant: { name: parent, plan: "plans/pro", planVersion: 2 },
      updateMask: { paths: ["plan"] },
    });
    await expect.poll(cached, within).toBe(907n);
    expect(await amountOf(first, parent, "bytes")).toBe(907n);
    await first.stop();
    await second.stop();
    await shared.drop();
  });
});
