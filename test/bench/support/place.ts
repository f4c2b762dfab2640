import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { startEmbeddedPostgres } from "../../../src/platform/embedded-postgres.ts";
import { type RedisProcess, startRedisProcess } from "../../support/redis-process.ts";
import type { Order, Started } from "./server.ts";

/** Where benchmarks run: a Postgres, and processes that end with the run. */
export interface Place {
  /** A new, empty database; answers its URL. */
  database(): Promise<string>;
  /** A new, empty Redis; answers its URL, or undefined on a machine without one. */
  redis(): Promise<string | undefined>;
  /** Starts a script of this folder in a process of its own, and sends it orders: each is answered before the next. */
  start(script: "server.ts" | "load.ts" | "quota-load.ts" | "watchers.ts"): Child;
  /** Starts a node, or an empty handler, in a process of its own. */
  serve(order: Extract<Order, { do: "serve" }>): Promise<Server>;
  /** A fresh file name. */
  file(): string;
  /** Ends all processes that were started since the last call of this. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

export interface Child {
  ask<T>(order: object): Promise<T>;
  stop(): Promise<void>;
}

export interface Server extends Child, Started {}

/**
 * Makes a place. DATABASE_URL names a Postgres to use; without it the embedded one starts, with the settings that
 * production has. With `profileFolder` every server leaves a CPU profile there.
 */
export async function createPlace(profileFolder: string | undefined): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "tenantplane-bench-"));
  // As root, Postgres runs as a system user that must be able to enter.
  chmodSync(folder, 0o755);
  const embedded = process.env.DATABASE_URL ? undefined : await startEmbeddedPostgres({ dataFolder: folder });
  const url = process.env.DATABASE_URL ?? embedded?.url ?? "";
  const databases: string[] = [];
  const redises: RedisProcess[] = [];
  const children: Child[] = [];
  const admin = postgres(url, { max: 1, onnotice: () => {} });
  const start = (script: string) => {
    const profile = profileFolder && script === "server.ts" ? ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`] : [];
    const child = createChild(script, profile);
    children.push(child);
    return child;
  };
  const clear = async () => {
    for (const child of children.splice(0).reverse()) await child.stop();
    for (const redis of redises.splice(0)) redis.process.kill();
    for (const name of databases.splice(0)) await admin.unsafe(`drop database if exists ${name} with (force)`);
  };
  return {
    async database() {
      const name = `bench_${randomBytes(6).toString("hex")}`;
      await admin.unsafe(`create database ${name}`);
      databases.push(name);
      const made = new URL(url);
      made.pathname = `/${name}`;
      return made.href;
    },
    async redis() {
      const redis = await startRedisProcess();
      if (redis) redises.push(redis);
      return redis?.url;
    },
    start,
    async serve(order) {
      const child = start("server.ts");
      return { ...child, ...(await child.ask<Started>(order)) };
    },
    file: () => join(folder, randomBytes(6).toString("hex")),
    clear,
    async stop() {
      await clear();
      await admin.end();
      await embedded?.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function createChild(script: string, flags: readonly string[]): Child {
  const child = fork(new URL(script, import.meta.url), {
    execArgv: ["--conditions=source", "--expose-gc", ...flags],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    // As the command line does: each process would compile the same sources again.
    env: { NODE_COMPILE_CACHE: "node_modules/.cache/compile", ...process.env },
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    ask: (order) => ask(child, order),
    async stop() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

function ask<T>(child: ChildProcess, order: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const failed = (code: number | null) => reject(new Error(`a process of the benchmark ended with ${code}`));
    child.once("exit", failed);
    child.once("message", (answer) => {
      child.off("exit", failed);
      const { error, value } = answer as { error?: string; value?: T };
      if (error === undefined) resolve(value as T);
      else reject(new Error(error));
    });
    child.send(order);
  });
}
