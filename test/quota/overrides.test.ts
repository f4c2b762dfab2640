import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CreateQuotaOverrideRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toTimestamp } from "../../src/server/convert.ts";
import { createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { amountOf, createPlatform, createTenant, keyFor } from "./support/platform.ts";

const HOUR_MS = 3_600_000;
const clock = createFakeClock(Date.UTC(2026, 8, 10, 12));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let name: string;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  await createPlatform(app);
  name = await createTenant(app, "acme");
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const monthly = { rule: { case: "period" as const, value: { duration: "P1M" } } };
const messages = (amount: bigint) => ({ meter: "messages", amount, ...monthly });

function create(limit: object, more: object = {}, parent = name) {
  return app.admin.quotas.createQuotaOverride({ parent, quotaOverride: { limit, reason: "a launch", ...more } });
}

describe("an override", () => {
  it("changes a limit at once, and leaves it as it was when it is deleted", async () => {
    const parent = await createTenant(app, "at-once");
    const { quotaOverride } = await create(messages(9_000n), {}, parent);
    const during = await amountOf(app, parent);
    await app.admin.quotas.deleteQuotaOverride({ name: quotaOverride?.name ?? "" });
    expect([during, await amountOf(app, parent)]).toEqual([9_000n, 1_000n]);
    expect(quotaOverride).toMatchObject({
      limitId: "messages",
      reason: "a launch",
      creator: expect.stringMatching(/^apiKeys\//),
    });
  });

  it("may add a limit that the plan lacks", async () => {
    const parent = await createTenant(app, "adding");
    await create(
      { ...messages(7n), limitId: "messages.daily", rule: { case: "period", value: { duration: "P1D" } } },
      {},
      parent,
    );
    expect([await amountOf(app, parent, "messages.daily"), await amountOf(app, parent)]).toEqual([7n, 1_000n]);
  });

  it("ends by itself, and that is put on record", async () => {
    const parent = await createTenant(app, "ending");
    await create(messages(4_000n), {}, parent);
    clock.advance(1);
    await create(messages(5_000n), { expireTime: toTimestamp(clock.now() + HOUR_MS) }, parent);
    const seen = [await amountOf(app, parent)];
    clock.advance(HOUR_MS - 1);
    seen.push(await amountOf(app, parent));
    clock.advance(1);
    seen.push(await amountOf(app, parent));
    const listed = async (showExpired: boolean) =>
      (await app.admin.quotas.listQuotaOverrides({ parent, showExpired })).quotaOverrides.length;
    const before = [await listed(false), await listed(true)];
    await app.tick();
    await app.tick();
    const { entries } = await app.admin.audit.listAuditEntries({ filter: `actor = "system/quota"` });
    const ended = entries.filter(({ resource }) => resource.startsWith(`${parent}/quotaOverrides/`));
    expect([seen, before, await listed(false), await listed(true), ended.length]).toEqual([
      [5_000n, 5_000n, 4_000n],
      [1, 2],
      1,
      2,
      1,
    ]);
  });

  it("can be changed, but neither its limit nor one that has ended", async () => {
    const parent = await createTenant(app, "changing");
    const expireTime = toTimestamp(clock.now() + HOUR_MS);
    const made = await create(messages(2_000n), { expireTime }, parent);
    const override = { name: made.quotaOverride?.name ?? "" };
    const update = (fields: object, paths?: string[]) =>
      app.admin.quotas.updateQuotaOverride({
        quotaOverride: { ...override, ...fields },
        ...(paths ? { updateMask: { paths } } : {}),
      });
    await update({ limit: messages(3_000n), reason: "more" });
    const other = refusal(update({ limit: { ...messages(1n), limitId: "messages.daily" } }));
    const past = refusal(update({ expireTime: toTimestamp(clock.now()) }));
    expect([await amountOf(app, parent), (await other).fields, (await past).fields]).toEqual([
      3_000n,
      ["quota_override.limit.limit_id"],
      ["quota_override.expire_time"],
    ]);
    const { quotaOverride } = await update({}, ["expire_time"]);
    clock.advance(2 * HOUR_MS);
    expect([quotaOverride?.expireTime, await amountOf(app, parent)]).toEqual([undefined, 3_000n]);
    await update({ expireTime: toTimestamp(clock.now() + 1) });
    clock.advance(1);
    expect((await refusal(update({ reason: "late" }))).fields).toEqual(["quota_override.name"]);
  });

  it.each<[string, MessageInitShape<typeof CreateQuotaOverrideRequestSchema>["quotaOverride"], string[]]>([
    ["nothing", undefined, ["quota_override"]],
    ["no limit", { reason: "r" }, ["quota_override.limit"]],
    ["no reason", { limit: messages(1n) }, ["quota_override.reason"]],
    ["a reason of 501 characters", { limit: messages(1n), reason: "r".repeat(501) }, ["quota_override.reason"]],
    [
      "two ids",
      { limit: { ...messages(1n), limitId: "a" }, limitId: "b", reason: "r" },
      ["quota_override.limit.limit_id"],
    ],
    ["an unknown meter", { limit: { meter: "nothing", amount: 1n }, reason: "r" }, ["quota_override.limit.meter"]],
    ["a rule of another kind", { limit: { meter: "messages" }, reason: "r" }, ["quota_override.limit.rule"]],
    [
      "another meter than the plan's",
      { limit: { meter: "bytes" }, limitId: "seats", reason: "r" },
      ["quota_override.limit.meter"],
    ],
    ["the past", { limit: messages(1n), reason: "r", expireTime: toTimestamp(1) }, ["quota_override.expire_time"]],
    [
      "no time there is",
      { limit: messages(1n), reason: "r", expireTime: { seconds: 10n ** 15n, nanos: 0 } },
      ["quota_override.expire_time"],
    ],
  ])("of %s is refused and changes nothing", async (_, quotaOverride, fields) => {
    const call = app.admin.quotas.createQuotaOverride({ parent: name, ...(quotaOverride ? { quotaOverride } : {}) });
    expect(await refusal(call)).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields });
    const { quotaOverrides } = await app.admin.quotas.listQuotaOverrides({ parent: name, showExpired: true });
    expect(quotaOverrides).toEqual([]);
  });

  it("is one of at most 200 of a tenant, in pages by name", async () => {
    const parent = await createTenant(app, "crowded");
    const ids = Array.from({ length: 200 }, (_, i) => `o-${String(i).padStart(3, "0")}`);
    const make = (quotaOverrideId: string) =>
      app.admin.quotas.createQuotaOverride({
        parent,
        quotaOverrideId,
        quotaOverride: { limit: messages(1n), reason: "r" },
      });
    for (const id of ids) await make(id);
    const first = await app.admin.quotas.listQuotaOverrides({ parent, pageSize: 150 });
    const rest = await app.admin.quotas.listQuotaOverrides({ parent, pageSize: 150, pageToken: first.nextPageToken });
    const listed = [...first.quotaOverrides, ...rest.quotaOverrides].map((override) => override.name);
    expect([(await refusal(make("o-more"))).fields, rest.nextPageToken, listed]).toEqual([
      ["parent"],
      "",
      ids.map((id) => `${parent}/quotaOverrides/${id}`),
    ]);
  });

  it("is for the platform and the tenant's own integrator to make, and for the tenant to see", async () => {
    for (const integratorId of ["north", "south"]) {
      await app.admin.integrators.createIntegrator({ integratorId, integrator: { displayName: integratorId } });
    }
    const parent = await createTenant(app, "of-north", { integrator: "integrators/north" });
    const quotaOverride = { limit: messages(5n), reason: "r" };
    const by = async (role: string, scope: string) => (await keyFor(app, role, scope)).quotas;
    const own = await by("tenant.admin", parent);
    const stranger = await by("integrator.admin", "integrators/south");
    const partner = await by("integrator.admin", "integrators/north");
    const tried = [own, stranger].map((quotas) => refusal(quotas.createQuotaOverride({ parent, quotaOverride })));
    expect((await Promise.all(tried)).map(({ reason }) => reason)).toEqual(["PERMISSION_DENIED", "PERMISSION_DENIED"]);
    await partner.createQuotaOverride({ parent, quotaOverride, quotaOverrideId: "mine" });
    const seen = await own.getQuotaOverride({ name: `${parent}/quotaOverrides/mine` });
    const hidden = await refusal(stranger.getQuotaOverride({ name: `${parent}/quotaOverrides/mine` }));
    expect([seen.quotaOverride?.limit?.amount, hidden.reason]).toEqual([5n, "PERMISSION_DENIED"]);
  });

  it("goes with a tenant that is purged, and is not made for one that is deleted", async () => {
    const parent = await createTenant(app, "going");
    await create(messages(5n), {}, parent);
    await app.admin.tenants.deleteTenant({ name: parent, retention: { seconds: 0n } });
    expect((await refusal(create(messages(6n), {}, parent))).reason).toBe("TENANT_DELETED");
    await app.tick();
    expect((await refusal(app.admin.quotas.getTenantQuotas({ name: parent }))).reason).toBe("RESOURCE_NOT_FOUND");
  });
});
