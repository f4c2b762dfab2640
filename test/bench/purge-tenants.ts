import postgres from "postgres";
import type { Benchmark } from "./support/bench.ts";
import { fillTenants, startNode } from "./support/tenants.ts";

/** Tenants whose purge_time has come, each with its history, gone for good. */
export const purgeTenants: Benchmark = {
  name: "purge-tenants",
  about: "the background purge of 1,000 deleted tenants",
  async run(bench) {
    const { url, server, clients } = await startNode(bench.place);
    clients.close();
    const count = bench.size(1_000, 20);
    await bench.compare(
      {
        purge: async () => {
          await fillTenants(url, count);
          await deleteAll(url);
          const startedAt = performance.now();
          await server.ask({ do: "tick" });
          return { "tenants/s": (count * 1_000) / (performance.now() - startedAt) };
        },
      },
      { rounds: 3, warmUp: false },
    );
  },
};

async function deleteAll(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  await sql.begin(async (tx) => {
    await tx`select set_config('app.platform', 'on', true)`;
    await tx`update tenant set state = 'DELETED', prior_state = state, deleted_at = now(), purge_at = now()`;
  });
  await sql.end();
}
