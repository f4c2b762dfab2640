import { type ChildProcess, fork, spawn } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { migrate } from "../../../src/migrations/migrate.ts";
import { startEmbeddedPostgres } from "../../../src/platform/embedded-postgres.ts";
import { openPostgres, type Sql } from "../../../src/platform/postgres.ts";
import { freePort } from "../../support/node-process.ts";
import { insertTenants, MONTH, type TestTenant, testTenant } from "../support/tenants.ts";
import { startProxy } from "./proxy.ts";
import type { Ask, Design, Start, Told } from "./server.ts";

/** Everything that a fault test breaks: a Postgres and a Redis of its own behind proxies, and server processes. */
export interface World {
  readonly tenant: TestTenant;
  readonly sql: Sql;
  readonly servers: Server[];
  /** Asks a server; undefined when it died before it answered. */
  ask(server: Server, ask: WithoutCall): Promise<string | undefined>;
  readonly faults: Readonly<Record<string, () => Promise<void>>>;
  startServer(): Promise<void>;
  /** Ends a server as a crash does. */
  kill(server: Server): void;
  stop(): Promise<void>;
}

export type WithoutCall = Ask extends infer T ? (T extends Ask ? Omit<T, "call"> : never) : never;

/** A server process. */
export interface Server {
  readonly process: ChildProcess;
  readonly calls: Map<number, (outcomes: string | undefined) => void>;
  isAlive: boolean;
}

/** Makes a world with one hard limit. */
export async function startWorld(options: { limit: number; design: Design; servers: number }): Promise<World> {
  const { limit, design } = options;
  const folder = mkdtempSync(join(tmpdir(), "tenantplane-fault-"));
  chmodSync(folder, 0o755);
  const postgres = await startPostgres(folder);
  const redis = await startRedis(folder);
  const tenant = testTenant([
    {
      limit: { meter: "messages", amount: String(limit), rule: MONTH },
      window: { id: "P1M:run", startAt: 1_000, endAt: Date.now() + 86_400_000 },
    },
  ]);
  const sql = openPostgres(postgres.url(), { poolSize: 2, role: "tenantplane_app" });
  await insertTenants(sql, [tenant]);
  const servers: Server[] = [];
  let call = 0;
  const world: World = {
    tenant,
    sql,
    servers,
    ask(server, ask) {
      if (!server.isAlive) return Promise.resolve(undefined);
      call += 1;
      const number = call;
      return new Promise((resolve) => {
        server.calls.set(number, resolve);
        server.process.send({ ...ask, call: number }, () => {});
      });
    },
    faults: { ...redis.faults, "postgres restarts": postgres.restart },
    async startServer() {
      const start: Start = { databaseUrl: postgres.url(), redisUrl: redis.url, tenant, design };
      const server = await forkServer(start);
      servers.push(server);
    },
    kill(server) {
      servers.splice(servers.indexOf(server), 1);
      server.isAlive = false;
      server.process.kill("SIGKILL");
    },
    async stop() {
      for (const server of servers.splice(0)) server.process.kill("SIGKILL");
      await sql.end({ timeout: 1 });
      await redis.stop();
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await Promise.all(Array.from({ length: options.servers }, () => world.startServer()));
  return world;
}

async function forkServer(start: Start): Promise<Server> {
  const child = fork(new URL("./server.ts", import.meta.url), {
    execArgv: ["--conditions=source"],
    serialization: "advanced",
  });
  const server: Server = { process: child, calls: new Map(), isAlive: true };
  const ready = new Promise<void>((resolve, reject) => {
    server.calls.set(-1, () => resolve());
    child.once("exit", (code) => reject(new Error(`a server ended with ${code}`)));
  });
  child.on("message", ({ call, outcomes }: Told) => {
    server.calls.get(call)?.(outcomes);
    server.calls.delete(call);
  });
  child.once("exit", () => {
    server.isAlive = false;
    for (const resolve of server.calls.values()) resolve(undefined);
    server.calls.clear();
  });
  child.send(start);
  await ready;
  return server;
}

async function startPostgres(folder: string) {
  const dataFolder = join(folder, "postgres");
  const settings = { synchronous_commit: "on", fsync: "off" };
  let server = await startEmbeddedPostgres({ dataFolder, settings });
  const proxy = await startProxy(Number(new URL(server.url).port));
  const url = () => {
    const through = new URL(server.url);
    through.port = String(proxy.port);
    return through.href;
  };
  await migrate({ url: url() });
  return {
    url,
    async restart() {
      await server.stop();
      server = await startEmbeddedPostgres({ dataFolder, settings });
      proxy.retarget(Number(new URL(server.url).port));
    },
    async stop() {
      await proxy.stop();
      await server.stop();
    },
  };
}

async function startRedis(folder: string) {
  let server = await launchRedis(folder);
  const proxy = await startProxy(server.port);
  const replace = async (next: { process: ChildProcess; port: number }) => {
    server.process.kill("SIGKILL");
    server = next;
    proxy.retarget(next.port);
  };
  const admin = async <T>(port: number, fn: (client: Redis) => Promise<T>): Promise<T> => {
    const client = new Redis(port, "127.0.0.1");
    return fn(client).finally(() => client.disconnect());
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  return {
    url: `redis://127.0.0.1:${proxy.port}`,
    faults: {
      "redis restarts on an old dump": async () => {
        await admin(server.port, (client) => client.save());
        const dump = join(folder, "old.rdb");
        copyFileSync(join(folder, `${server.port}.rdb`), dump);
        await pause(STALE_MS);
        await replace(await launchRedis(folder, dump));
      },
      "redis is replaced by a lagging replica": async () => {
        const replica = await launchRedis(folder);
        await admin(replica.port, async (client) => {
          await client.replicaof("127.0.0.1", server.port);
          while (!(await client.info("replication")).includes("master_link_status:up")) await pause(10);
          await client.replicaof("NO", "ONE");
        });
        // The primary goes on for a while, and nothing of it reaches the replica any more.
        await pause(STALE_MS);
        await replace(replica);
      },
      "redis is killed without persistence": async () => replace(await launchRedis(folder)),
      "redis is flushed": () => admin(server.port, async (client) => void (await client.flushall())),
    },
    async stop() {
      await proxy.stop();
      server.process.kill("SIGKILL");
    },
  };
}

/** How far what takes the place of Redis is behind it. */
const STALE_MS = 300;

async function launchRedis(folder: string, dump?: string): Promise<{ process: ChildProcess; port: number }> {
  const port = await freePort();
  const file = `${port}.rdb`;
  if (dump) copyFileSync(dump, join(folder, file));
  const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, "--dbfilename", file];
  const child = spawn("redis-server", [...flags, "--repl-diskless-sync-delay", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`redis-server ended with ${code}`)));
    child.stdout.on("data", (text: Buffer) => text.includes("Ready to accept connections") && resolve());
  });
  child.removeAllListeners("exit");
  return { process: child, port };
}
