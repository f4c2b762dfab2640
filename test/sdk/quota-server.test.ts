import { createClients, createQuotaClient } from "@tenantplane/sdk";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { freePort, type NodeProcess, startNode } from "../support/node-process.ts";
import { createMeteredTenant, createMeters, PATIENT, serviceKey } from "../support/quota.ts";
import { until } from "../support/until.ts";

const redisUrl = inject("redisUrl");
if (redisUrl === "") console.warn("No Redis: the suite of the quota client and its servers is skipped.");

describe.skipIf(redisUrl === "")("the quota client", () => {
  let database: Awaited<ReturnType<typeof createDatabase>>;
  let app: TestApp;
  let key: string;
  let port: number;
  const nodes: NodeProcess[] = [];

  // The node that is asked is a process of its own, and may be killed; `app` only looks on.
  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database, { settings: { ...PATIENT, REDIS_URL: redisUrl } });
    await createMeters(app.admin, [
      { meter: "messages", amount: 1_000_000n, rule: { case: "period", value: { duration: "P1M" } } },
    ]);
    key = await serviceKey(app);
    port = await freePort();
  });
  afterAll(async () => {
    for (const { process: child } of nodes) child.kill("SIGKILL");
    await app.stop();
    await database.drop();
  });

  async function serve(): Promise<NodeProcess> {
    const node = await startNode({
      ...PATIENT,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      GRPC_PORT: String(port),
    });
    nodes.push(node);
    await node.ready;
    return node;
  }

  function connect() {
    const clients = createClients({ address: `http://127.0.0.1:${port}`, apiKey: key });
    const quota = createQuotaClient(clients, { timeoutMs: 60_000 });
    return {
      quota,
      async close() {
        await quota.close();
        clients.close();
      },
    };
  }

  async function used(tenant: string): Promise<number> {
    const { limits } = await app.admin.of(QuotaService).getTenantQuotas({ name: tenant, meters: ["messages"] });
    return Number(limits[0]?.used);
  }

  it("counts each use once, also those under way when their server is killed and started again", async () => {
    const tenant = await createMeteredTenant(app, "killed-once");
    const first = await serve();
    const { quota, close } = connect();
    let asked = 0;
    let allowed = 0;
    let stopped = false;
    const asker = async () => {
      while (!stopped) {
        asked += 1;
        const { outcome } = await quota.consume(tenant, "messages");
        if (outcome === "ALLOW") allowed += 1;
      }
    };
    const askers = Promise.all(Array.from({ length: 50 }, asker));
    await until(() => allowed > 200);
    first.process.kill("SIGKILL");
    const before = allowed;
    await first.ended;
    await serve();
    await until(() => allowed > before + 200);
    stopped = true;
    await askers;
    await close();
    expect([allowed, await used(tenant)]).toEqual([asked, asked]);
  });

  it("spends a lease through its server's death, and gives back exactly what is left", async () => {
    const tenant = await createMeteredTenant(app, "leased-on");
    const node = nodes.at(-1) ?? (await serve());
    const { quota, close } = connect();
    const lease = quota.lease(tenant, "messages", { ttlMs: 30_000, amountMin: 1_000 });
    await lease.ready;
    const spend = (times: number) => Array.from({ length: times }, () => lease.spend()).filter(Boolean).length;
    let spent = spend(400);
    node.process.kill("SIGKILL");
    await node.ended;
    spent += spend(400);
    expect([spent, await used(tenant)]).toEqual([800, 1_000]);
    await serve();
    await until(() => lease.available() > 500);
    spent += spend(500);
    await close();
    expect([spent, await used(tenant)]).toEqual([1_300, 1_300]);
  });
});
