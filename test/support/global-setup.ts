import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts";
import { type RedisProcess, startRedisProcess } from "./redis-process.ts";

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

async function startRedis(): Promise<RedisProcess | undefined> {
  const redis = await startRedisProcess();
  if (redis) return redis;
  if (process.env.CI === "true") throw new Error("CI has no redis-server");
  console.warn("No redis-server on PATH: the suites of the Redis side are skipped.");
  return undefined;
}
