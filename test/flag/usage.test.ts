import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Clients, createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG } from "../support/flags.ts";

const DAY_S = 86_400;
const clock = createFakeClock(Date.UTC(2026, 0, 1));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let browser: Clients;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  const { admin } = app;
  await admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  await admin.tenants.createTenant({
    tenantId: "acme",
    tenant: { displayName: "A", plan: "plans/basic" },
    activate: true,
  });
  const apiKey = { displayName: "k", role: "client", scope: "tenants/acme" };
  browser = app.clients((await admin.access.createApiKey({ apiKey })).secret);
  const expireTime = { seconds: BigInt(clock.now() / 1_000 + 40 * DAY_S), nanos: 0 };
  await admin.flags.createFlag({ flagId: "used", flag: { ...BOOLEAN_FLAG, clientVisible: true } });
  await admin.flags.createFlag({ flagId: "same", flag: { ...BOOLEAN_FLAG, owner: "us" } });
  await admin.flags.createFlag({ flagId: "never", flag: BOOLEAN_FLAG });
  await admin.flags.createFlag({ flagId: "old", flag: { ...BOOLEAN_FLAG, expireTime } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const report = (clients: Clients, ...summaries: object[]) => clients.flags.reportFlagEvaluations({ summaries });
const counted = (flag: string, variant: string, count: number) => ({
  flag: `flags/${flag}`,
  variant,
  count: BigInt(count),
});

describe("the use of flags", () => {
  it("is told by SDKs and seen by the server itself, and shows which flags may go", async () => {
    await report(app.admin, counted("old", "on", 3));
    clock.advance(50 * DAY_S * 1_000);
    await app.admin.flags.createFlag({ flagId: "young", flag: BOOLEAN_FLAG });
    const told = await report(app.admin, counted("used", "on", 5), counted("used", "off", 2), counted("gone", "on", 1));
    await report(browser, counted("used", "on", 1));
    await app.admin.flags.evaluateFlag({ tenant: "tenants/acme", flag: "flags/same" });
    await app.admin.flags.batchEvaluateFlags({ requests: [{ tenant: "tenants/acme", flag: "flags/same" }] });
    await app.tick();
    const { items } = await app.admin.flags.listStaleFlags({});
    expect(told.droppedCount).toBe(1);
    expect(items.map(({ flag, reasons, evaluations }) => [flag, reasons, evaluations])).toEqual([
      ["flags/never", ["NEVER_USED"], {}],
      ["flags/old", ["EXPIRED", "UNUSED"], {}],
      ["flags/same", ["ONE_VARIANT"], { off: 2n }],
    ]);
    const owned = await app.admin.flags.listStaleFlags({ owner: "us" });
    expect(owned.items.map(({ flag }) => flag)).toEqual(["flags/same"]);
    const long = await app.admin.flags.listStaleFlags({ unusedFor: { seconds: BigInt(60 * DAY_S), nanos: 0 } });
    expect(long.items.map(({ flag, reasons }) => [flag, reasons])).toEqual([["flags/old", ["EXPIRED"]]]);
    const first = await app.admin.flags.listStaleFlags({ pageSize: 2 });
    const second = await app.admin.flags.listStaleFlags({ pageSize: 2, pageToken: first.nextPageToken });
    expect([first.items.length, second.items.map(({ flag }) => flag)]).toEqual([2, ["flags/same"]]);
  });

  it("is counted once for each request id", async () => {
    const request = { summaries: [counted("young", "on", 10)], requestId: crypto.randomUUID() };
    await Promise.all([1, 2, 3].map(() => app.admin.flags.reportFlagEvaluations(request).catch(() => {})));
    await app.admin.flags.reportFlagEvaluations(request);
    clock.advance(31 * DAY_S * 1_000);
    await report(app.admin, counted("young", "off", 1));
    const { items } = await app.admin.flags.listStaleFlags({ unusedFor: { seconds: BigInt(40 * DAY_S), nanos: 0 } });
    const { items: lately } = await app.admin.flags.listStaleFlags({});
    expect(items.find(({ flag }) => flag === "flags/young")).toBeUndefined();
    expect(lately.find(({ flag }) => flag === "flags/young")?.evaluations).toEqual({ off: 1n });
  });

  it("is not taken from clients for flags that they don't see, nor for times and counts that can't be", async () => {
    const dropped = await report(browser, counted("never", "on", 1), counted("nothing", "on", 1));
    expect(dropped.droppedCount).toBe(2);
    const fieldsOf = async (summary: object) =>
      (await refusal(report(app.admin, { ...counted("used", "on", 1), ...summary }))).fields;
    expect(await fieldsOf({ count: 0n })).toEqual(["summaries[0].count"]);
    expect(await fieldsOf({ count: 10n ** 18n })).toEqual(["summaries[0].count"]);
    expect(await fieldsOf({ variant: "x".repeat(300) })).toEqual(["summaries[0].variant"]);
    expect(await fieldsOf({ flag: "used" })).toEqual(["summaries[0].flag"]);
    expect(await fieldsOf({ lastEvaluateTime: { seconds: 1n, nanos: 0 } })).toEqual([
      "summaries[0].last_evaluate_time",
    ]);
    expect(
      (await refusal(report(app.admin, ...Array.from({ length: 1_001 }, () => counted("used", "on", 1))))).fields,
    ).toEqual(["summaries"]);
  });
});
