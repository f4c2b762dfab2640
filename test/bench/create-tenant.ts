import { CreateTenantRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import postgres from "postgres";
import type { Benchmark, Measures } from "./support/bench.ts";
import { measureCalls } from "./support/h2load.ts";
import { grpcLoad, startNode, TENANT, tenantId } from "./support/tenants.ts";

const PATH = "/tenantplane.v1.TenantService/CreateTenant";

/** Durable creations by many callers at once. */
export const createTenant: Benchmark = {
  name: "create-tenant",
  about: "CreateTenant by 64 callers at once, beside transactions of one empty insert on the same Postgres and pool",
  async run(bench) {
    const { url, server, clients } = await startNode(bench.place);
    clients.close();
    const count = bench.size(2_000, 50);
    let next = 0;
    await bench.compare(
      {
        "transactions of one insert": () => insertAll(url, count),
        CreateTenant: () => {
          const values = Array.from({ length: count }, () => {
            next += 1;
            return { tenantId: tenantId(next), tenant: TENANT, activate: true };
          });
          const load = grpcLoad(server, PATH, { desc: CreateTenantRequestSchema, values }, { seconds: undefined });
          return measureCalls(bench.place, server, load);
        },
      },
      { ratioTo: "transactions of one insert", rounds: 3 },
    );
  },
};

/** What a node's pool has by default. */
const POOL_SIZE = 10;

async function insertAll(url: string, count: number): Promise<Measures> {
  const sql = postgres(url, { max: POOL_SIZE, onnotice: () => {} });
  await sql`create table if not exists bench_row (id bigint generated always as identity primary key, note text not null)`;
  const startedAt = performance.now();
  const insert = () => sql.begin((tx) => [tx`insert into bench_row (note) values ('a row')`]);
  await Promise.all(Array.from({ length: count }, insert));
  const seconds = (performance.now() - startedAt) / 1_000;
  await sql.end();
  return { "calls/s": count / seconds };
}
