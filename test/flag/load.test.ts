import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { readSnapshot, writeSnapshot } from "../../src/flag/redis.ts";
import { openCache } from "../../src/platform/redis.ts";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { BOOLEAN_FLAG, serving } from "../support/flags.ts";
import { until } from "../support/until.ts";

const redisUrl = inject("redisUrl");
if (redisUrl === "") console.warn("No Redis: the suite of cold nodes is skipped.");

describe.skipIf(redisUrl === "")("a cold node", () => {
  const settings = { REDIS_URL: redisUrl };
  let database: Awaited<ReturnType<typeof createDatabase>>;
  let first: TestApp;
  let redis: Redis;
  let id = "";

  beforeAll(async () => {
    redis = new Redis(redisUrl);
    database = await createDatabase();
    const maker = await startTestApp(database, { settings });
    await maker.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
    await maker.admin.tenants.createTenant({
      tenantId: "acme",
      tenant: { displayName: "A", plan: "plans/basic" },
      activate: true,
    });
    const made = await maker.admin.flags.createFlag({
      flagId: "old",
      flag: { ...BOOLEAN_FLAG, defaultServe: serving("on") },
    });
    await maker.admin.flags.createFlagSegment({ flagSegmentId: "s", flagSegment: {} });
    await maker.admin.flags.addFlagSegmentMembers({ name: "flagSegments/s", keys: ["u1"] });
    id = made.revision.split(".")[0] ?? "";
    await redis.del(`tenantplane:${id}:flags:1`);
    first = await startTestApp(database, { settings, adminKey: maker.adminKey });
    await maker.stop();
    await until(async () => (await redis.exists(`tenantplane:${id}:flags:1`)) === 1);
  });
  afterAll(async () => {
    await first.stop();
    await database.drop();
    redis.disconnect();
  });

  const variantOn = async (node: TestApp, flag: string) => {
    const { evaluation } = await node.admin.flags.evaluateFlag({ tenant: "tenants/acme", flag: `flags/${flag}` });
    return evaluation?.variant;
  };
  const checksumsOf = async (node: TestApp) => {
    for await (const { commit } of node.admin.flags.watchFlags({}))
      if (commit) return [commit.platformChecksum, commit.tenantChecksum];
    return [];
  };

  it("takes what another has read out of Redis, and the changes since from the log", async () => {
    const cache = openCache(redisUrl);
    const snapshot = await readSnapshot(cache, id);
    if (!snapshot) throw new Error("there is no snapshot");
    // Only a node that reads Redis can know of this flag.
    const [old] = snapshot.content.flags;
    if (!old) throw new Error("the snapshot has no flag");
    const marked = { ...old, uid: crypto.randomUUID(), definition: { ...old.definition, key: "only-in-redis" } };
    await writeSnapshot(cache, id, {
      ...snapshot,
      content: { ...snapshot.content, flags: [...snapshot.content.flags, marked] },
    });
    await first.admin.flags.createFlag({ flagId: "new", flag: { ...BOOLEAN_FLAG, defaultServe: serving("on") } });
    await first.admin.flags.killFlag({ name: "flags/old" });
    const second = await startTestApp(database, { settings, adminKey: first.adminKey });
    expect([
      await variantOn(second, "only-in-redis"),
      await variantOn(second, "new"),
      await variantOn(second, "old"),
    ]).toEqual(["on", "on", "off"]);
    await second.stop();
    await writeSnapshot(cache, id, snapshot);
    const third = await startTestApp(database, { settings, adminKey: first.adminKey });
    expect(await checksumsOf(third)).toEqual(await checksumsOf(first));
    await third.stop();
    await cache.stop();
  });

  it("reads Postgres when Redis has nothing, nonsense, or what is too old", async () => {
    const key = `tenantplane:${id}:flags:1`;
    const cache = openCache(redisUrl);
    const snapshot = await readSnapshot(cache, id);
    for (const spoil of [
      () => redis.del(key),
      () => redis.set(key, "nonsense"),
      () =>
        writeSnapshot(cache, id, { xid: 1n, content: { ...(snapshot?.content ?? { flags: [] }), flags: [] } as never }),
    ]) {
      await spoil();
      const node = await startTestApp(database, { settings, adminKey: first.adminKey });
      expect(await checksumsOf(node)).toEqual(await checksumsOf(first));
      await node.stop();
    }
    await cache.stop();
  });
});
