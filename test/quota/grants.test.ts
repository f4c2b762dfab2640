import type { MessageInitShape } from "@bufbuild/protobuf";
import type { QuotaGrantSchema } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import { QuotaDecision_Outcome } from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toTimestamp } from "../../src/server/convert.ts";
import { createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { amountOf, cachedAmountOf, createPlatform, createTenant, keyFor } from "./support/platform.ts";
import { setUse } from "./support/use.ts";

const HOUR_MS = 3_600_000;
// After the database's own time, by which old periods are forgotten.
const clock = createFakeClock(Date.UTC(2036, 8, 10, 12));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;
let name: string;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  owner = postgres(database.url, { max: 1, onnotice: () => {} });
  await createPlatform(app);
  name = await createTenant(app, "acme");
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

type Grant = MessageInitShape<typeof QuotaGrantSchema>;

function give(amount: bigint, more: Grant = {}, parent = name, quotaGrantId = "") {
  const quotaGrant = { limitId: "messages", amount, reason: "bought", ...more };
  return app.admin.quotas.createQuotaGrant({ parent, quotaGrantId, quotaGrant });
}

const used = (parent: string, amount: bigint, windowId = "P1M:2036-09") =>
  setUse(owner, { tenant: parent, limitId: "messages", windowId, used: amount });

describe("a grant", () => {
  it("counts at once, or from its start, and until it is voided or expires", async () => {
    const parent = await createTenant(app, "counting");
    const seen = [await amountOf(app, parent)];
    const { quotaGrant } = await give(100n, {}, parent);
    await give(20n, { startTime: toTimestamp(clock.now() + HOUR_MS) }, parent);
    await give(3n, { expireTime: toTimestamp(clock.now() + 2 * HOUR_MS) }, parent);
    const see = async () => seen.push(await amountOf(app, parent));
    await see();
    clock.advance(HOUR_MS);
    await see();
    clock.advance(HOUR_MS);
    await see();
    await app.admin.quotas.voidQuotaGrant({ name: quotaGrant?.name ?? "", reason: "refunded" });
    await see();
    expect(seen).toEqual([1_000n, 1_103n, 1_123n, 1_120n, 1_020n]);
  });

  it("raises a gauge while it is in force", async () => {
    const parent = await createTenant(app, "gauging");
    await give(50n, { limitId: "bytes", expireTime: toTimestamp(clock.now() + HOUR_MS) }, parent);
    const seen = [await amountOf(app, parent, "bytes")];
    clock.advance(HOUR_MS);
    seen.push(await amountOf(app, parent, "bytes"));
    await app.tick();
    seen.push(await amountOf(app, parent, "bytes"));
    expect(seen).toEqual([550n, 500n, 500n]);
  });

  it("that is voided keeps what the use has reached of it, to the end of the period", async () => {
    const parent = await createTenant(app, "voided");
    const first = await give(100n, { priority: 1 }, parent, "first");
    await give(50n, { priority: 2 }, parent, "second");
    await used(parent, 1_070n);
    const voided = await app.admin.quotas.voidQuotaGrant({ name: first.quotaGrant?.name ?? "" });
    const again = await refusal(app.admin.quotas.voidQuotaGrant({ name: first.quotaGrant?.name ?? "" }));
    const ofSecond = await app.admin.quotas.voidQuotaGrant({ name: `${parent}/quotaGrants/second` });
    expect([await amountOf(app, parent), again.code, again.reason]).toEqual([
      1_070n,
      "FailedPrecondition",
      "GRANT_OVER",
    ]);
    expect([voided, ofSecond].map(({ quotaGrant }) => quotaGrant?.voidTime !== undefined)).toEqual([true, true]);
  });

  it("goes by what checks have counted", async () => {
    const parent = await createTenant(app, "checked");
    const { quotaGrant } = await give(100n, {}, parent);
    const use = async (amount: bigint) => {
      const { decision } = await app.admin.quotas.checkQuota({
        tenant: parent,
        entries: [{ meter: "messages", amount }],
      });
      return decision?.outcome;
    };
    await expect.poll(() => cachedAmountOf(app, parent, "messages")).toBe(1_100n);
    const seen = [await use(1_070n), await use(31n)];
    // A tick writes the node's ledger.
    await app.tick();
    await app.admin.quotas.voidQuotaGrant({ name: quotaGrant?.name ?? "" });
    await expect.poll(() => cachedAmountOf(app, parent, "messages")).toBe(1_070n);
    seen.push(await use(1n));
    const { ALLOW, DENY } = QuotaDecision_Outcome;
    expect(seen).toEqual([ALLOW, DENY, DENY]);
  });

  it("that expires keeps what the use has reached of it, once that is on record", async () => {
    const parent = await createTenant(app, "expired");
    await give(100n, { expireTime: toTimestamp(clock.now() + HOUR_MS) }, parent);
    await used(parent, 1_030n);
    clock.advance(HOUR_MS);
    const seen = [await amountOf(app, parent)];
    await app.tick();
    await app.tick();
    seen.push(await amountOf(app, parent));
    expect(seen).toEqual([1_000n, 1_030n]);
  });

  it.each<[string, Grant | undefined, string[]]>([
    ["nothing", undefined, ["quota_grant"]],
    ["no limit, amount and reason", {}, ["quota_grant.limit_id", "quota_grant.amount", "quota_grant.reason"]],
    ["a limit that the tenant lacks", { limitId: "nothing", amount: 1n, reason: "r" }, ["quota_grant.limit_id"]],
    ["a limit called __proto__", { limitId: "__proto__", amount: 1n, reason: "r" }, ["quota_grant.limit_id"]],
    ["a rate", { limitId: "calls", amount: 1n, reason: "r" }, ["quota_grant.limit_id"]],
    ["slots", { limitId: "jobs", amount: 1n, reason: "r" }, ["quota_grant.limit_id"]],
    ["a negative amount", { limitId: "messages", amount: -1n, reason: "r" }, ["quota_grant.amount"]],
    ["priority 256", { limitId: "messages", amount: 1n, reason: "r", priority: 256 }, ["quota_grant.priority"]],
    [
      "the past",
      { limitId: "messages", amount: 1n, reason: "r", expireTime: toTimestamp(1) },
      ["quota_grant.expire_time"],
    ],
    [
      "an end before its start",
      {
        limitId: "messages",
        amount: 1n,
        reason: "r",
        startTime: toTimestamp(Date.UTC(2030, 0, 2)),
        expireTime: toTimestamp(Date.UTC(2030, 0, 1)),
      },
      ["quota_grant.expire_time"],
    ],
  ])("of %s is refused and changes nothing", async (_, quotaGrant, fields) => {
    const call = app.admin.quotas.createQuotaGrant({ parent: name, ...(quotaGrant ? { quotaGrant } : {}) });
    expect(await refusal(call)).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields });
    const { quotaGrants } = await app.admin.quotas.listQuotaGrants({ parent: name, showExpired: true });
    expect(quotaGrants).toEqual([]);
  });

  it("of 2^63-1 fills the limit to the brim and no further", async () => {
    const parent = await createTenant(app, "brimming");
    await give(2n ** 63n - 1n, {}, parent);
    expect(await amountOf(app, parent)).toBe(2n ** 63n - 1n);
  });

  it("is listed in the order of use, page by page, those that are over only when asked for", async () => {
    const parent = await createTenant(app, "listing");
    const day = toTimestamp(clock.now() + 24 * HOUR_MS);
    await give(1n, { priority: 9 }, parent, "last");
    await give(1n, {}, parent, "third");
    await give(1n, { expireTime: day }, parent, "first");
    await give(1n, { expireTime: toTimestamp(clock.now() + 1) }, parent, "over");
    clock.advance(1);
    await give(1n, { expireTime: day }, parent, "second");
    const list = async (showExpired: boolean) => {
      const ids: string[] = [];
      let pageToken = "";
      do {
        const page = await app.admin.quotas.listQuotaGrants({ parent, showExpired, pageSize: 2, pageToken });
        ids.push(...page.quotaGrants.map((grant) => grant.name.slice(`${parent}/quotaGrants/`.length)));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return ids;
    };
    expect([await list(false), await list(true)]).toEqual([
      ["first", "second", "third", "last"],
      ["over", "first", "second", "third", "last"],
    ]);
  });

  it("is for the platform and the tenant's own integrator to give, and for the tenant to see", async () => {
    for (const integratorId of ["north", "south"]) {
      await app.admin.integrators.createIntegrator({ integratorId, integrator: { displayName: integratorId } });
    }
    const parent = await createTenant(app, "of-north", { integrator: "integrators/north" });
    const request = { parent, quotaGrantId: "mine", quotaGrant: { limitId: "messages", amount: 5n, reason: "r" } };
    const grant = `${parent}/quotaGrants/mine`;
    const by = async (role: string, scope: string) => (await keyFor(app, role, scope)).quotas;
    const own = await by("tenant.admin", parent);
    const stranger = await by("integrator.admin", "integrators/south");
    await (await by("integrator.admin", "integrators/north")).createQuotaGrant(request);
    const tried = [own, stranger].flatMap((quotas) => [
      refusal(quotas.createQuotaGrant({ ...request, quotaGrantId: "other" })),
      refusal(quotas.voidQuotaGrant({ name: grant })),
    ]);
    expect((await Promise.all(tried)).map(({ reason }) => reason)).toEqual(Array(4).fill("PERMISSION_DENIED"));
    expect((await own.getQuotaGrant({ name: grant })).quotaGrant?.amount).toBe(5n);
  });
});
