import { Redis } from "ioredis";
import postgres from "postgres";
import type { Bench, Benchmark } from "./support/bench.ts";
import type { Asked, AskOrder } from "./support/quota-load.ts";
import { type QuotaNode, startQuotaNode } from "./support/quota-node.ts";
import type { Memory } from "./support/server.ts";

/** What counts cost in memory, and what admissions cost Postgres. */
export const quotaCosts: Benchmark = {
  name: "quota-costs",
  about: "memory of a tenant's count in Redis and in the node, and Postgres' transactions for a million admissions",
  async run(bench) {
    const redisUrl = await bench.place.redis();
    if (redisUrl === undefined) return;
    const node = await startQuotaNode(bench.place, bench.size(5_000, 5), redisUrl);
    node.clients.close();
    const redis = new Redis(redisUrl);
    const sql = postgres(node.databaseUrl, { max: 1, onnotice: () => {} });
    try {
      await bench.compare(
        { "first count of each tenant": () => measureMemory(bench, node, redis) },
        { rounds: 1, warmUp: false },
      );
      await bench.compare(
        { "spread admissions": () => measureTransactions(bench, node, sql, node.tenants) },
        { rounds: 3 },
      );
      const [first = ""] = node.tenants;
      await bench.compare(
        { "admissions of one tenant": () => measureTransactions(bench, node, sql, [first]) },
        { rounds: 3 },
      );
    } finally {
      redis.disconnect();
      await sql.end();
    }
  },
};

async function measureMemory(bench: Bench, node: QuotaNode, redis: Redis) {
  const read = async () => ({
    redisBytes: Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]),
    nodeMib: (await node.server.ask<Memory>({ do: "memory" })).heapMib,
  });
  const before = await read();
  // Each tenant is asked for once at least.
  await ask(bench, node, { tenants: node.tenants, load: { concurrency: node.tenants.length }, seconds: 0.05 });
  const after = await read();
  const count = node.tenants.length;
  return {
    "Redis bytes/tenant": (after.redisBytes - before.redisBytes) / count,
    "node bytes/tenant": ((after.nodeMib - before.nodeMib) * 2 ** 20) / count,
  };
}

async function measureTransactions(bench: Bench, node: QuotaNode, sql: postgres.Sql, tenants: readonly string[]) {
  const seconds = bench.size(5, 0.1);
  const committed = async () => {
    const [row] = await sql<{ count: string }[]>`
      select xact_commit as count from pg_stat_database where datname = current_database()`;
    return Number(row?.count);
  };
  const start = await committed();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const idle = (await committed()) - start;
  const before = await committed();
  const { count } = await ask(bench, node, { tenants, load: { concurrency: bench.size(2_000, 50) }, seconds });
  const busy = (await committed()) - before;
  return { "transactions/million": (Math.max(0, busy - idle) * 1_000_000) / count, "admissions/s": count / seconds };
}

async function ask(
  bench: Bench,
  { server }: QuotaNode,
  more: Pick<AskOrder, "tenants" | "load" | "seconds">,
): Promise<Asked> {
  const address = `http://127.0.0.1:${server.grpcPort}`;
  const child = bench.place.start("quota-load.ts");
  const asked = await child.ask<Asked>({
    do: "ask",
    address,
    key: server.key,
    meter: "one",
    exactlyOnce: false,
    ...more,
  });
  await child.stop();
  return asked;
}
