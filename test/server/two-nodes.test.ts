import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { callRpc, RPCS, type RpcOf } from "../support/rpcs.ts";
import { seeded } from "../support/seeded.ts";

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

  it("refuse a suspended tenant's key on every RPC and every stream within a second, whichever node suspended it", async () => {
    const tenant = { displayName: "A", plan: "plans/basic" };
    await first.admin.tenants.createTenant({ tenantId: "gated", tenant, activate: true });
    const apiKey = { displayName: "k", role: "tenant.admin", scope: "tenants/gated" };
    const { secret } = await first.admin.access.createApiKey({ apiKey });
    const own = second.clients(secret);
    await own.tenants.getTenant({ name: "tenants/gated" });
    const stream = own.tenants.watchTenants({})[Symbol.asyncIterator]();
    await stream.next();
    await first.admin.tenants.suspendTenant({ name: "tenants/gated", suspension: Suspension_Reason.SECURITY });
    const startedAt = performance.now();
    const ended = refusal(
      (async () => {
        for (let next = await stream.next(); !next.done; next = await stream.next());
      })(),
    );
    const reasonOf = (rpc: RpcOf, request: object) =>
      refusal(callRpc(own, rpc, request)).then(
        ({ reason }) => reason,
        () => "served",
      );
    const [getTenant] = RPCS.filter(({ name }) => name === "TenantService.GetTenant");
    const stopped = () => reasonOf(getTenant as RpcOf, { name: "tenants/gated" });
    await expect.poll(stopped, { timeout: 1_000, interval: 20 }).toBe("TENANT_NOT_ACTIVE");
    const reasons = await Promise.all(RPCS.map(async (rpc) => [rpc.name, await reasonOf(rpc, {})]));
    expect(reasons).toEqual(RPCS.map(({ name }) => [name, "TENANT_NOT_ACTIVE"]));
    expect((await ended).reason).toBe("TENANT_NOT_ACTIVE");
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  const seed = Number(process.env.SEED ?? 20_260_202);
  it(`give a watcher that goes from one to the other every write once and in order (SEED=${seed})`, async () => {
    const random = seeded(seed);
    const names = Array.from({ length: 4 }, (_, i) => `tenants/roam-${i}`);
    const tenant = { displayName: "A", plan: "plans/basic", labels: { n: "0" } };
    for (const name of names) await first.admin.tenants.createTenant({ tenantId: name.slice(8), tenant });
    const writes = 40;
    // Each tenant is written through both nodes in turn, all tenants at once.
    const writers = names.map(async (name) => {
      for (let n = 1; n <= writes; n += 1) {
        const node = random() < 0.5 ? first : second;
        const labels = { n: String(n) };
        await node.admin.tenants.updateTenant({ tenant: { name, labels }, updateMask: { paths: ["labels"] } });
      }
    });
    const seen = new Map<string, number[]>(names.map((name) => [name, []]));
    const finished = () => names.every((name) => seen.get(name)?.at(-1) === writes);
    let resumeToken = "";
    for (let round = 0; !finished(); round += 1) {
      const node = round % 2 === 0 ? first : second;
      let budget = 1 + Math.floor(random() * 6);
      const request = { resumeToken, filter: 'name = "tenants/roam-*"' };
      for await (const message of node.admin.tenants.watchTenants(request)) {
        for (const { tenant: found } of message.events) seen.get(found?.name ?? "")?.push(Number(found?.labels.n));
        if (message.resumeToken !== "") resumeToken = message.resumeToken;
        budget -= 1;
        if (finished() || (budget <= 0 && resumeToken !== "")) break;
      }
    }
    await Promise.all(writers);
    for (const name of names) {
      const [start = 0] = seen.get(name) ?? [];
      expect(seen.get(name)).toEqual(Array.from({ length: writes - start + 1 }, (_, i) => start + i));
    }
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
