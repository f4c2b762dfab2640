import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClients, watchTenants } from "@tenantplane/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase } from "../support/app.ts";
import { freePort, type NodeProcess, startNode } from "../support/node-process.ts";

let folder: string;
let database: Awaited<ReturnType<typeof createDatabase>>;
let settings: Record<string, string>;
let node: NodeProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tenantplane-kill-"));
  database = await createDatabase();
  settings = {
    DATABASE_URL: database.url,
    DATA_FOLDER: folder,
    GRPC_PORT: String(await freePort()),
    HTTP_PORT: String(await freePort()),
  };
  node = await startNode(settings);
  await node.ready;
});
afterAll(async () => {
  node.process.kill("SIGKILL");
  await node.ended;
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
});

async function killAndStart(): Promise<void> {
  node.process.kill("SIGKILL");
  await node.ended;
  node = await startNode(settings);
  await node.ready;
}

describe("a node that is killed with -9 under load, twice", () => {
  it("loses no acknowledged write, does none twice, and its watcher hears of each once", async () => {
    const apiKey = readFileSync(join(folder, "admin-key"), "utf8").trim();
    // Patient enough for a restart on a busy machine.
    const retry = { attempts: 60, initialMs: 100, maxMs: 500 };
    const clients = createClients({
      address: `http://127.0.0.1:${node.grpcPort}`,
      apiKey,
      retry,
      defaultTimeoutMs: 30_000,
    });
    await clients.plans.createPlan({ planId: "basic", plan: { displayName: "B" } });
    const seen: string[] = [];
    const over = new AbortController();
    const watching = (async () => {
      const filter = 'name = "tenants/kill-*"';
      for await (const { events, resync } of watchTenants(clients.tenants, { filter }, over.signal)) {
        if (resync) seen.splice(0);
        seen.push(...events.flatMap(({ tenant }) => tenant?.name ?? []));
      }
    })().catch((error: unknown) => (over.signal.aborted ? undefined : Promise.reject(error)));

    const acknowledged: string[] = [];
    const failures: string[] = [];
    let done = false;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let n = 0; !done; n += 1) {
        const tenantId = `kill-${writer}-${n}`;
        await clients.tenants
          .createTenant({ tenantId, tenant: { displayName: "T", plan: "plans/basic" }, adminEmail: "a@b.org" })
          .then(
            ({ tenant }) => acknowledged.push(tenant?.name ?? ""),
            (error: unknown) => failures.push(String(error)),
          );
      }
    });
    for (let round = 0; round < 2; round += 1) {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length - before, { timeout: 20_000 }).toBeGreaterThan(20);
      await killAndStart();
    }
    done = true;
    await Promise.all(writers);
    expect(failures).toEqual([]);

    const names: string[] = [];
    let pageToken = "";
    do {
      const page = await clients.tenants.listTenants({ pageSize: 1_000, pageToken });
      names.push(...page.tenants.map(({ name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(names.toSorted()).toEqual(acknowledged.toSorted());
    // One entry for each tenant and one for its administrator: what was tried again was done once.
    const entries: string[] = [];
    for await (const page of clients.audit.exportAuditEntries({ filter: 'resource = "tenants/kill-*"' })) {
      entries.push(...page.entries.map(({ resource }) => resource.split("/").slice(0, 2).join("/")));
    }
    expect(entries.toSorted()).toEqual(acknowledged.flatMap((name) => [name, name]).toSorted());
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(acknowledged.length);
    over.abort();
    await watching;
    expect(seen.toSorted()).toEqual(acknowledged.toSorted());
    clients.close();
  });
});
