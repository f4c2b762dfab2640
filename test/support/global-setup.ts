import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts";

declare module "vitest" {
  export interface ProvidedContext {
    databaseUrl: string;
    redisUrl: string;
  }
}

/** One Postgres and one Redis for the whole run, in a temporary folder, on free loopback ports. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "tenantplane-test-"));
  // As root, Postgres runs as a system user that must be able to enter.
  chmodSync(folder, 0o755);
  // A crash of the machine may lose the tests' data; nothing else may.
  const settings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
  const postgres = process.env.TEST_DATABASE_URL
    ? undefined
    : await startEmbeddedPostgres({ dataFolder: folder, settings });
  const redis = process.env.REDIS_URL ? undefined : await startRedis();
  project.provide("databaseUrl", process.env.TEST_DATABASE_URL ?? postgres?.url ?? "");
  project.provide("redisUrl", process.env.REDIS_URL ?? redis?.url ?? "");
  return async () => {
    redis?.process.kill();
    await postgres?.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}

async function startRedis(): Promise<{ process: ChildProcess; url: string } | undefined> {
  const program = ["redis-server", "valkey-server"].find((name) =>
    (process.env.PATH ?? "").split(":").some((path) => existsSync(join(path, name))),
  );
  if (!program) {
    if (process.env.CI === "true") throw new Error("CI has no redis-server");
    console.warn("No redis-server on PATH: the suites of the Redis side are skipped.");
    return undefined;
  }
  const port = await freePort();
  const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const server = spawn(program, flags, { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((ready, fail) => {
    server.once("exit", () => fail(new Error(`${program} ended at once`)));
    server.stdout?.on("data", (text: Buffer) => text.includes("Ready to accept connections") && ready());
  });
  return { process: server, url: `redis://127.0.0.1:${port}` };
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => done(typeof address === "object" && address ? address.port : 0));
    });
  });
}
