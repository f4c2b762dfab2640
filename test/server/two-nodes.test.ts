import { Code, ConnectError } from "@connectrpc/connect";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

const redisUrl = inject("redisUrl");
if (redisUrl === "") console.warn("No Redis: the suite of several nodes is skipped.");

describe.skipIf(redisUrl === "")("two nodes on one database", () => {
  let database: Awaited<ReturnType<typeof createDatabase>>;
  let first: TestApp;
  let second: TestApp;
  const settings = { REDIS_URL: redisUrl };

  beforeAll(async () => {
    database = await createDatabase();
    first = await startTestApp(database, { settings });
    second = await startTestApp(database, { settings, adminKey: first.adminKey });
    await first.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  });
  afterAll(async () => {
    await first.stop();
    await second.stop();
    await database.drop();
  });

  it("tell each other's watchers of every change", async () => {
    const stream = second.admin.tenants.watchTenants({})[Symbol.asyncIterator]();
    await stream.next();
    await first.admin.tenants.createTenant({ tenantId: "across", tenant: { displayName: "A", plan: "plans/basic" } });
    const { value } = await stream.next();
    await stream.return?.();
    expect(value?.events.map((event: { tenant?: { name: string } }) => event.tenant?.name)).toEqual(["tenants/across"]);
  });

  it("refuse a suspended tenant's key within a second, whichever node suspended it", async () => {
    const tenant = { displayName: "A", plan: "plans/basic" };
    await first.admin.tenants.createTenant({ tenantId: "gated", tenant, activate: true });
    const apiKey = { displayName: "k", role: "tenant.viewer", scope: "tenants/gated" };
    const { secret } = await first.admin.access.createApiKey({ apiKey });
    const own = second.clients(secret).tenants;
    await own.getTenant({ name: "tenants/gated" });
    await first.admin.tenants.suspendTenant({ name: "tenants/gated", suspension: Suspension_Reason.SECURITY });
    const reason = () =>
      refusal(own.getTenant({ name: "tenants/gated" })).then(
        (r) => r.reason,
        () => "allowed",
      );
    await expect.poll(reason, { timeout: 1_000, interval: 20 }).toBe("TENANT_NOT_ACTIVE");
  });

  it("serve a steady load through a rolling restart without a failed call", async () => {
    let stopped = false;
    let calls = 0;
    const failures: string[] = [];
    // As a load balancer does: to the node that is up, and away from it before it stops.
    let target: TestApp = second;
    const load = Array.from({ length: 8 }, async () => {
      while (!stopped) {
        await target.admin.tenants.listTenants({ pageSize: 1 }).catch((error: unknown) => {
          failures.push(`${Code[ConnectError.from(error).code]} ${ConnectError.from(error).message}`);
        });
        calls += 1;
      }
    });
    await first.stop();
    first = await startTestApp(database, { settings, adminKey: first.adminKey });
    target = first;
    await second.stop();
    second = await startTestApp(database, { settings, adminKey: first.adminKey });
    stopped = true;
    await Promise.all(load);
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(50);
  });
});

it("a Redis that can't be reached is one line that says what to do", async () => {
  const database = await createDatabase();
  const start = startTestApp(database, { settings: { REDIS_URL: "redis://127.0.0.1:1" } });
  await expect(start).rejects.toThrow(
    /^Redis at 127\.0\.0\.1:1 can't be used: .*Check REDIS_URL, or unset it for a single node\.$/,
  );
  await database.drop();
});
