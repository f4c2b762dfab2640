import { createEvaluator } from "@tenantplane/sdk/evaluate";
import { FlagDocument_Kind as Kind, type WatchFlagsResponse } from "@tenantplane/sdk/gen/tenantplane/v1/flag_watch_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { createReplica, type DocumentKind, type ReplicaOutcome } from "@tenantplane/sdk/replica";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG, logic, serving } from "../support/flags.ts";
import { until } from "../support/until.ts";

const redisUrl = inject("redisUrl");
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, redisUrl === "" ? {} : { settings: { REDIS_URL: redisUrl } });
  const { admin } = app;
  const entitlements = {
    sso: { value: { case: "boolValue" as const, value: true } },
    seats: { value: { case: "intValue" as const, value: 5n } },
  };
  await admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro", entitlements } });
  for (const tenantId of ["acme", "blue"]) {
    await admin.tenants.createTenant({
      tenantId,
      tenant: { displayName: "T", plan: "plans/pro", labels: { tier: "gold" } },
      activate: true,
    });
  }
  await admin.flags.createFlagSegment({ flagSegmentId: "beta", flagSegment: {} });
  await admin.flags.addFlagSegmentMembers({ name: "flagSegments/beta", keys: ["u1", "u2"] });
  await admin.flags.createFlag({ flagId: "watched", flag: BOOLEAN_FLAG });
  await admin.flags.createFlagOverride({
    parent: "tenants/acme",
    flagOverrideId: "watched",
    flagOverride: { serve: serving("on") },
  });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const KINDS: Readonly<Record<number, DocumentKind>> = {
  1: "flag",
  2: "segment",
  3: "group",
  4: "override",
  5: "tenant",
};

/** Follows the stream of a node with a replica, as an SDK does. */
function follow(
  node: TestApp,
  options: { tenant?: string; resumeToken?: string; replica?: ReturnType<typeof createReplica> } = {},
) {
  const replica = options.replica ?? createReplica(createEvaluator());
  const outcomes: ReplicaOutcome["kind"][] = [];
  const messages: WatchFlagsResponse[] = [];
  const over = new AbortController();
  const request = {
    tenant: options.tenant ?? "",
    resumeToken: options.resumeToken ?? "",
    heartbeatInterval: { seconds: 1n, nanos: 0 },
  };
  const ended = (async () => {
    for await (const message of node.admin.flags.watchFlags(request, { signal: over.signal })) {
      messages.push(message);
      const { begin, commit, puts, deletes, memberPatches, resumeToken } = message;
      const outcome = replica.apply({
        begin,
        commit,
        resumeToken,
        puts: puts.map(({ kind, key, json }) => ({ kind: KINDS[kind] ?? "flag", key, json })),
        deletes: deletes.map(({ kind, key }) => ({ kind: KINDS[kind] ?? "flag", key })),
        memberPatches: memberPatches.map((patch) => ({
          segment: patch.segment,
          include: patch.includedKeys,
          exclude: patch.excludedKeys,
          remove: patch.removedKeys,
        })),
      });
      outcomes.push(outcome.kind);
    }
  })().catch((error: unknown) => {
    if (!over.signal.aborted) throw error;
  });
  return {
    replica,
    outcomes,
    messages,
    async stop() {
      over.abort();
      await ended;
    },
  };
}

const valueIn = (replica: ReturnType<typeof createReplica>, tenant: string, flag = "watched", context = {}) =>
  replica.evaluator.evaluate(flag, context, replica.facts(tenant), 0).variant;

describe("WatchFlags", () => {
  it("makes a replica that evaluates as the server does, and keeps it so", async () => {
    const watcher = follow(app);
    await until(() => watcher.outcomes.includes("committed"));
    expect([valueIn(watcher.replica, "acme"), valueIn(watcher.replica, "blue")]).toEqual(["on", "off"]);
    expect(watcher.replica.facts("acme")).toEqual({
      id: "acme",
      state: "ACTIVE",
      plan: "pro",
      labels: { tier: "gold" },
      entitlements: { sso: true, seats: 5 },
    });
    await app.admin.flags.updateFlag({ flag: { name: "flags/watched", defaultServe: serving("on") } });
    await until(() => valueIn(watcher.replica, "blue") === "on");
    await app.admin.tenants.suspendTenant({ name: "tenants/acme", suspension: Suspension_Reason.BILLING });
    await until(() => valueIn(watcher.replica, "acme") === "off");
    await app.admin.tenants.resumeTenant({ name: "tenants/acme", suspension: Suspension_Reason.BILLING });
    await until(() => valueIn(watcher.replica, "acme") === "on");
    await app.admin.flags.updateFlag({ flag: { name: "flags/watched", defaultServe: serving("off") } });
    await until(() => valueIn(watcher.replica, "blue") === "off");
    await watcher.stop();
    expect(new Set(watcher.outcomes)).toEqual(new Set(["pending", "committed"]));
  });

  it("sends one change as one message with what changed alone", async () => {
    const watcher = follow(app);
    await until(() => watcher.outcomes.includes("committed"));
    const before = watcher.messages.length;
    await app.admin.flags.addFlagSegmentMembers({ name: "flagSegments/beta", keys: ["u2", "u3"] });
    await until(() => watcher.messages.length > before);
    await watcher.stop();
    expect(watcher.messages[before]).toMatchObject({
      begin: { full: false },
      puts: [],
      deletes: [],
      memberPatches: [{ segment: "beta", includedKeys: ["u3"], excludedKeys: [], removedKeys: [] }],
    });
  });

  it("for one tenant brings the platform's flags and nothing of another tenant", async () => {
    const watcher = follow(app, { tenant: "tenants/blue" });
    await until(() => watcher.outcomes.includes("committed"));
    const own = watcher.messages
      .flatMap(({ puts }) => puts)
      .filter(({ kind }) => kind === Kind.TENANT || kind === Kind.OVERRIDE);
    expect(own.map(({ key }) => key)).toEqual(["blue"]);
    const before = watcher.messages.length;
    await app.admin.flags.updateFlagOverride({
      flagOverride: { name: "tenants/acme/flagOverrides/watched", reason: "x", serve: serving("off") },
    });
    await app.admin.flags.createFlagOverride({
      parent: "tenants/blue",
      flagOverrideId: "watched",
      flagOverride: { serve: serving("on") },
    });
    await until(() => valueIn(watcher.replica, "blue") === "on");
    const later = watcher.messages.slice(before).flatMap(({ puts }) => puts.map(({ key }) => key));
    await watcher.stop();
    expect(later).toEqual(["blue/watched"]);
    expect(
      (await refusal(app.admin.flags.watchFlags({ tenant: "tenants/nothing" })[Symbol.asyncIterator]().next())).reason,
    ).toBe("RESOURCE_NOT_FOUND");
  });

  it("resumes from a token with what was missed, and beats when nothing happens", async () => {
    const first = follow(app);
    await until(() => first.outcomes.includes("committed"));
    await first.stop();
    await app.admin.flags.createFlag({ flagId: "missed", flag: BOOLEAN_FLAG });
    const second = follow(app, { resumeToken: first.replica.token(), replica: first.replica });
    await until(() => second.outcomes.includes("heartbeat"));
    expect([
      second.outcomes[0],
      second.messages[0]?.begin?.full,
      second.messages[0]?.puts.map(({ key }) => key),
    ]).toEqual(["committed", false, ["missed"]]);
    await second.stop();
    const third = follow(app, { resumeToken: second.replica.token(), replica: second.replica });
    await until(() => third.outcomes.length > 0);
    await third.stop();
    expect(third.outcomes).toEqual(["heartbeat"]);
    const foreign = app.admin.flags.watchFlags({ resumeToken: "00000000.1.0" })[Symbol.asyncIterator]().next();
    expect((await refusal(foreign)).reason).toBe("REVISION_INVALID");
  });

  it("leaves nothing behind of a watcher that went away", async () => {
    const watchers = Array.from({ length: 20 }, () => follow(app));
    for (const watcher of watchers) await until(() => watcher.outcomes.includes("committed"));
    await Promise.all(watchers.map((watcher) => watcher.stop()));
    const again = follow(app);
    await until(() => again.outcomes.includes("committed"));
    await again.stop();
  });
});

describe("WatchFlagEvaluations", () => {
  it("tells a client the values of its flags, and those that change", async () => {
    const apiKey = { displayName: "k", role: "client", scope: "tenants/acme" };
    const client = app.clients((await app.admin.access.createApiKey({ apiKey })).secret);
    const rules = [
      {
        id: "de",
        match: logic('{"==":[{"var":"country"},"de"]}'),
        serve: serving("on"),
      },
    ];
    await app.admin.flags.createFlag({ flagId: "shown", flag: { ...BOOLEAN_FLAG, clientVisible: true, rules } });
    const request = { tenant: "tenants/acme", context: { country: "de" } };
    await until(async () => (await client.flags.evaluateAllFlags(request)).evaluations.length === 1);
    const stream = client.flags.watchFlagEvaluations(request)[Symbol.asyncIterator]();
    const told = async () => {
      const { value } = await stream.next();
      return [
        value?.evaluations.map(({ flag, variant }: { flag: string; variant: string }) => [flag, variant]),
        value?.removedFlags,
      ];
    };
    expect(await told()).toEqual([[["flags/shown", "on"]], []]);
    await app.admin.flags.updateFlag({ flag: { name: "flags/watched", description: "not for clients" } });
    await app.admin.flags.killFlag({ name: "flags/shown" });
    expect(await told()).toEqual([[["flags/shown", "off"]], []]);
    await app.admin.flags.updateFlag({ flag: { name: "flags/shown" }, updateMask: { paths: ["client_visible"] } });
    const { value } = await stream.next();
    expect([value?.evaluations, value?.removedFlags]).toEqual([[], ["flags/shown"]]);
    await stream.return?.();
    const again = client.flags
      .watchFlagEvaluations({ ...request, resumeToken: value?.resumeToken ?? "" })
      [Symbol.asyncIterator]();
    const resumed = await again.next();
    await again.return?.();
    expect([resumed.value?.evaluations, resumed.value?.resumeToken]).toEqual([[], value?.resumeToken]);
  });
});

describe.skipIf(redisUrl === "")("two nodes", () => {
  it("tell each other's watchers and evaluations of every change, and resume each other's tokens", async () => {
    const other = await startTestApp(database, { adminKey: app.adminKey, settings: { REDIS_URL: redisUrl } });
    const watcher = follow(other);
    await until(() => watcher.outcomes.includes("committed"));
    const { revision } = await app.admin.flags.createFlag({
      flagId: "across",
      flag: { ...BOOLEAN_FLAG, defaultServe: serving("on") },
    });
    const asked = { tenant: "tenants/blue", flag: "flags/across", minRevision: revision };
    expect((await other.admin.flags.evaluateFlag(asked)).evaluation?.variant).toBe("on");
    await until(() => valueIn(watcher.replica, "blue", "across") === "on");
    await watcher.stop();
    await other.admin.flags.deleteFlag({ name: "flags/across" });
    const here = follow(app, { resumeToken: watcher.replica.token(), replica: watcher.replica });
    await until(() => valueIn(here.replica, "blue", "across") === undefined);
    await here.stop();
    await other.stop();
    expect([new Set(watcher.outcomes).has("broken"), here.outcomes[0], here.messages[0]?.begin?.full]).toEqual([
      false,
      "committed",
      false,
    ]);
  });
});
