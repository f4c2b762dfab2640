import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toTimestamp } from "../../src/server/convert.ts";
import { createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { until } from "../support/until.ts";
import { amountOf, cachedAmountOf, createPlatform, createTenant } from "./support/platform.ts";
import { setUse } from "./support/use.ts";

const at = (text: string) => Temporal.Instant.from(text).epochMilliseconds;
const clock = createFakeClock(at("2026-01-15T12:00Z"));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  owner = postgres(database.url, { max: 1, onnotice: () => {} });
  await createPlatform(app);
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

function goTo(instant: string): void {
  clock.advance(at(instant) - clock.now());
}

const used = (tenant: string, windowId: string, amount: bigint) =>
  setUse(owner, { tenant, limitId: "messages", windowId, used: amount });

function give(parent: string, quotaGrantId: string, amount: bigint, more: object = {}) {
  const quotaGrant = { limitId: "messages", amount, reason: "bought", ...more };
  return app.admin.quotas.createQuotaGrant({ parent, quotaGrantId, quotaGrant });
}

/** What was used up of each grant, as "used of amount". */
async function grants(parent: string): Promise<Record<string, string>> {
  const { quotaGrants } = await app.admin.quotas.listQuotaGrants({ parent, showExpired: true });
  return Object.fromEntries(
    quotaGrants.map(({ name, usedAmount, amount }) => [name.split("/").at(-1) ?? "", `${usedAmount} of ${amount}`]),
  );
}

// The plan has 1,000 messages a month, of which 300 may roll over.
describe("a tenant's months", () => {
  it("roll over what is left, as far as the limit lets them", async () => {
    const parent = await createTenant(app, "rolling", { timeZone: "Europe/Berlin" });
    await app.tick();
    const seen: (bigint | undefined)[] = [await amountOf(app, parent)];
    await used(parent, "P1M:2026-01", 100n);
    goTo("2026-01-31T23:00:00Z");
    seen.push(await amountOf(app, parent));
    await app.tick();
    seen.push(await amountOf(app, parent));
    goTo("2026-01-31T23:01:00Z");
    await app.tick();
    seen.push(await amountOf(app, parent));
    await used(parent, "P1M:2026-02", 1_250n);
    goTo("2026-03-02T00:00Z");
    await app.tick();
    seen.push(await amountOf(app, parent));
    // January leaves 900 and gives 300; February leaves 50 of 1,300. Until a month is settled, the next goes without.
    expect(seen).toEqual([1_000n, 1_000n, 1_000n, 1_300n, 1_050n]);
  });

  it("use grants up in their order, once, across months and over a rollover", async () => {
    goTo("2026-03-10T00:00Z");
    const parent = await createTenant(app, "granted");
    await give(parent, "second", 200n, { priority: 2 });
    await give(parent, "first", 150n, { priority: 1 });
    await used(parent, "P1M:2026-03", 1_100n);
    goTo("2026-04-01T00:00:00Z");
    const unsettled = await amountOf(app, parent);
    await give(parent, "since", 7n, { priority: 3 });
    const fresh = await amountOf(app, parent);
    goTo("2026-04-01T00:01:00Z");
    await app.tick();
    const april = [await amountOf(app, parent), await grants(parent)];
    await used(parent, "P1M:2026-04", 1_200n);
    goTo("2026-05-01T00:01:00Z");
    await app.tick();
    const may = [await amountOf(app, parent), await grants(parent)];
    await app.tick();
    expect([unsettled, fresh, april, may, await grants(parent)]).toEqual([
      1_000n,
      1_007n,
      [1_257n, { first: "100 of 150", second: "0 of 200", since: "0 of 7" }],
      [1_057n, { first: "150 of 150", second: "150 of 200", since: "0 of 7" }],
      { first: "150 of 150", second: "150 of 200", since: "0 of 7" },
    ]);
  });

  it("settle one after the other when nobody was there to do it", async () => {
    goTo("2026-05-15T00:00Z");
    const parent = await createTenant(app, "forgotten");
    await give(parent, "extra", 100n);
    await used(parent, "P1M:2026-05", 1_030n);
    await used(parent, "P1M:2026-06", 1_040n);
    await used(parent, "P1M:2026-07", 600n);
    goTo("2026-08-02T00:00Z");
    for (let month = 0; month < 3; month += 1) await app.tick();
    // May takes 30 and June 40 of the grant; July leaves 400, of which 300 roll over.
    expect([await amountOf(app, parent), await grants(parent)]).toEqual([1_330n, { extra: "70 of 100" }]);
  });

  it("go by the amount at their end, whatever it was before, and by the old rule until it changes", async () => {
    goTo("2026-08-10T00:00Z");
    const parent = await createTenant(app, "changing");
    await give(parent, "extra", 500n);
    await used(parent, "P1M:2026-08", 1_600n);
    const monthly = { rule: { case: "period" as const, value: { duration: "P1M" } } };
    const daily = { rule: { case: "period" as const, value: { duration: "P1D" } } };
    const override = (quotaOverrideId: string, limit: object) =>
      app.admin.quotas.createQuotaOverride({
        parent,
        quotaOverrideId,
        quotaOverride: { limit: { meter: "messages", ...limit }, reason: "r" },
      });
    await override("larger", { amount: 1_500n, ...monthly });
    goTo("2026-09-01T00:01Z");
    await app.tick();
    const september = [await amountOf(app, parent), await grants(parent)];
    await used(parent, "P1M:2026-09", 1_600n);
    goTo("2026-09-10T00:00Z");
    await override("daily", { amount: 50n, ...daily });
    // A node that meets the new rule has the old one's period ended.
    await expect.poll(() => cachedAmountOf(app, parent, "messages")).toBe(50n);
    await until(async () => {
      const cut = await owner`select 1 from quota_period p join tenant t on t.uid = p.tenant_uid
        where t.tenant_id = 'changing' and p.ends_at = ${new Date(clock.now())}`;
      return cut.length === 1;
    });
    goTo("2026-09-10T00:02Z");
    await app.tick();
    // September's use until the change goes by its monthly 1,500: 100 of the grant. Its days have what is left of it.
    expect([september, await amountOf(app, parent), await grants(parent)]).toEqual([
      [1_900n, { extra: "100 of 500" }],
      350n,
      { extra: "200 of 500" },
    ]);
  });

  it("count what a grant gave before it expired, and nothing of it after", async () => {
    goTo("2026-10-05T00:00Z");
    const parent = await createTenant(app, "expiring");
    await give(parent, "brief", 100n, { priority: 1, expireTime: toTimestamp(at("2026-10-20T00:00Z")) });
    await give(parent, "lasting", 100n, { priority: 2 });
    await used(parent, "P1M:2026-10", 1_040n);
    goTo("2026-10-20T00:00Z");
    await app.tick();
    const after = await amountOf(app, parent);
    await used(parent, "P1M:2026-10", 1_060n);
    goTo("2026-11-01T00:01Z");
    await app.tick();
    expect([after, await amountOf(app, parent), await grants(parent)]).toEqual([
      1_140n,
      1_080n,
      { brief: "40 of 100", lasting: "20 of 100" },
    ]);
  });

  it("leave a trace: each settlement has its entries in the audit log", async () => {
    const { entries } = await app.admin.audit.listAuditEntries({
      filter: 'resource = "tenants/granted/quotaGrants/first"',
    });
    expect(entries.map(({ actor, method }) => `${actor} ${method}`).slice(0, 2)).toEqual([
      "system/quota settle-quota-periods",
      "system/quota settle-quota-periods",
    ]);
  });
});
