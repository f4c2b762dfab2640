import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createHub } from "../../src/change/hub.ts";
import { readChanges, startFeed } from "../../src/change/service.ts";
import { openPostgres } from "../../src/platform/postgres.ts";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { until } from "../support/until.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;
const tenant = { displayName: "T", plan: "plans/basic" };

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  owner = postgres(database.url, { max: 2, onnotice: () => {} });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

/** Runs `fn` while another transaction, which a statement began, is under way. */
async function during<T>(statement: string, fn: () => Promise<T>): Promise<T> {
  const connection = await owner.reserve();
  try {
    await connection.unsafe("begin");
    await connection.unsafe(statement);
    return await fn();
  } finally {
    await connection.unsafe("rollback");
    connection.release();
  }
}

const namesOf = (message: { events: { tenant?: { name: string } | undefined }[] } | undefined) =>
  message?.events.map((event) => event.tenant?.name);

describe("while a long transaction elsewhere in the cluster holds back the log", () => {
  it("suspensions and revoked keys take effect all the same, and watchers hear of them in order afterwards", async () => {
    for (const tenantId of ["held-one", "held-two"]) {
      await app.admin.tenants.createTenant({ tenantId, tenant, activate: true });
    }
    const keyFor = (scope: string) =>
      app.admin.access.createApiKey({ apiKey: { displayName: "k", role: "tenant.viewer", scope } });
    const [one, two] = [await keyFor("tenants/held-one"), await keyFor("tenants/held-two")];
    const reason = (secret: string, name: string) =>
      app
        .clients(secret)
        .tenants.getTenant({ name })
        .then(
          () => "served",
          (error: unknown) => refusal(Promise.reject(error)).then((refused) => refused.reason),
        );
    expect(await reason(one.secret, "tenants/held-one")).toBe("served");
    expect(await reason(two.secret, "tenants/held-two")).toBe("served");
    const stream = app.admin.tenants.watchTenants({ filter: 'name = "tenants/held-*"' })[Symbol.asyncIterator]();
    await stream.next();
    await during("select pg_current_xact_id()", async () => {
      await app.admin.tenants.suspendTenant({ name: "tenants/held-one", suspension: Suspension_Reason.BILLING });
      await app.admin.access.revokeApiKey({ name: two.apiKey?.name ?? "" });
      const timeout = { timeout: 1_000 };
      await expect.poll(() => reason(one.secret, "tenants/held-one"), timeout).toBe("TENANT_NOT_ACTIVE");
      await expect.poll(() => reason(two.secret, "tenants/held-two"), timeout).toBe("CREDENTIALS_INVALID");
      await app.admin.tenants.resumeTenant({ name: "tenants/held-one", suspension: Suspension_Reason.BILLING });
      await expect.poll(() => reason(one.secret, "tenants/held-one"), timeout).toBe("served");
    });
    const epochs: bigint[] = [];
    while (epochs.at(-1) !== 4n) {
      const { value } = await stream.next();
      epochs.push(...(value?.events ?? []).map((event: { tenant?: { epoch: bigint } }) => event.tenant?.epoch ?? 0n));
    }
    await stream.return?.();
    // Before them may come the creations: other tests hold back the log as well.
    expect(epochs.slice(-2)).toEqual([3n, 4n]);
  });
});

describe("a transaction of several changes", () => {
  it("is read whole, however small the reads are", async () => {
    const sql = openPostgres(database.url, { poolSize: 1, role: "tenantplane_app" });
    await owner.begin(async (tx) => {
      for (const n of [1, 2, 3, 4, 5]) {
        await tx`insert into change (noun, resource, at) values ('none', ${`plans/whole-${n}`}, now())`;
      }
    });
    await owner`insert into change (noun, resource, at) values ('none', 'plans/after', now())`;
    const batches: string[][] = [];
    let position = { xid: 0n, seq: 0 };
    // Until the last one is there: a transaction of the node's own may hold them back for a moment.
    await until(async () => {
      const result = await readChanges(sql, position, 2);
      batches.push(result.changes.map(({ resource }) => resource));
      position = result.position;
      return result.changes.some(({ resource }) => resource === "plans/after");
    });
    await sql.end();
    const whole = [1, 2, 3, 4, 5].map((n) => `plans/whole-${n}`);
    const found = batches.filter((batch) => batch.some((resource) => resource.startsWith("plans/whole-")));
    expect(found.map((batch) => batch.filter((resource) => whole.includes(resource)))).toEqual([whole]);
    expect(batches.length).toBeGreaterThan(1);
  });
});

describe("a watcher that resumes", () => {
  it("is given no token of changes that it was not sent, however slowly they are read", async () => {
    const filter = 'name = "tenants/missed"';
    const stream = app.admin.tenants.watchTenants({ filter })[Symbol.asyncIterator]();
    const token = (await stream.next()).value?.resumeToken ?? "";
    await stream.return?.();
    await app.admin.tenants.createTenant({ tenantId: "missed", tenant });
    const heartbeatInterval = { seconds: 1n, nanos: 0 };
    const beat = await during("lock table change in access exclusive mode", async () => {
      const slow = app.admin.tenants.watchTenants({ filter, resumeToken: token, heartbeatInterval });
      const resumed = slow[Symbol.asyncIterator]();
      const { value } = await resumed.next();
      await resumed.return?.();
      return value;
    });
    const again = app.admin.tenants.watchTenants({ filter, resumeToken: beat?.resumeToken ?? "" });
    const next = again[Symbol.asyncIterator]();
    const { value } = await next.next();
    await next.return?.();
    expect([beat?.events, namesOf(value)]).toEqual([[], ["tenants/missed"]]);
  });
});

describe("the feed of a node that was away for longer than changes are kept", () => {
  it("reads all of its state anew, and sends its watchers to do so", async () => {
    const sql = openPostgres(database.url, { poolSize: 1, role: "tenantplane_app" });
    const [now] = await owner<{ xid: string }[]>`select pg_current_xact_id()::text as xid`;
    const xid = BigInt(now?.xid ?? 0);
    await owner`update change_floor set xid = ${String(xid - 1n)}::xid8`;
    const hub = createHub();
    const watcher = hub.subscribe();
    const [errors, reloads]: [unknown[], number[]] = [[], []];
    const feed = startFeed(
      {
        ...{ sql, hub, pollMs: 900, apply: () => {}, hasten: () => {} },
        reload: async () => {
          reloads.push(1);
          return { xid, seq: 0 };
        },
        onError: (error) => errors.push(error),
        monotonic: () => 0,
      },
      { xid: xid - 10n, seq: 0 },
    );
    await feed.refresh();
    expect([await watcher.next(), watcher.closedBy(), reloads.length, errors]).toEqual([undefined, "too slow", 1, []]);
    expect(feed.position().xid).toBeGreaterThanOrEqual(xid);
    await feed.stop();
    await sql.end();
    await owner`update change_floor set xid = '0'`;
  });
});
