import { Redis } from "ioredis";
import { migrate } from "../../../src/migrations/migrate.ts";
import { type Clock, systemClock, systemIds } from "../../../src/platform/clock.ts";
import { openPostgres, type Sql } from "../../../src/platform/postgres.ts";
import type { Crossing } from "../../../src/quota/checks.ts";
import { type RunningChecks, startQuotaChecks } from "../../../src/quota/checks-service.ts";
import type { TenantQuotas } from "../../../src/quota/effective.ts";
import { createMemoryState } from "../../../src/quota/hot/memory.ts";
import { createRedisState } from "../../../src/quota/hot/redis.ts";
import type { HotState } from "../../../src/quota/hot/state.ts";
import { createDatabase } from "../../support/app.ts";

/** A database with the tables, and a pool of the server's role. */
export async function openTestDatabase(): Promise<{ url: string; sql: Sql; drop(): Promise<void> }> {
  const database = await createDatabase();
  await migrate(database);
  const sql = openPostgres(database.url, { poolSize: 5, role: "tenantplane_app" });
  return {
    url: database.url,
    sql,
    async drop() {
      await sql.end({ timeout: 1 });
      await database.drop();
    },
  };
}

/** The deciding part of a node. */
export interface TestNode {
  readonly checks: RunningChecks;
  readonly crossings: Crossing[];
  readonly errors: unknown[];
}

/** Starts the deciding part of a node on a hot state. */
export async function startNode(
  sql: Sql,
  hot: HotState,
  quotasOf: (tenantId: string) => TenantQuotas | undefined,
  options: { clock?: Clock; budgetMs?: number; grantBudgetMs?: number } = {},
): Promise<TestNode> {
  const crossings: Crossing[] = [];
  const errors: unknown[] = [];
  const checks = await startQuotaChecks({
    sql,
    clock: options.clock ?? systemClock,
    ids: systemIds,
    hot,
    quotasOf,
    onCrossing: (crossing) => void crossings.push(crossing),
    onError: (error) => void errors.push(error),
    // Tests share two cores with others: what is slow is not away.
    budgetMs: options.budgetMs ?? 5_000,
    grantBudgetMs: options.grantBudgetMs ?? 10_000,
  });
  return { checks, crossings, errors };
}

/** A hot state of each kind; the one in Redis on a connection of its own. */
export function memoryState(now: () => number = Date.now) {
  return createMemoryState({ now, fence: crypto.randomUUID() });
}

export function redisState(url: string, now?: () => number): HotState {
  const client = new Redis(url, { enableOfflineQueue: true, autoResendUnfulfilledCommands: false });
  return createRedisState(client, now ? { now } : {});
}
