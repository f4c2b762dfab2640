import { setTimeout } from "node:timers/promises";
import { WatchTenantsRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import type { Benchmark } from "./support/bench.ts";
import { quantile } from "./support/report.ts";
import type { Memory } from "./support/server.ts";
import { grpcBody, startNode, TENANT, tenantId } from "./support/tenants.ts";
import type { Heard, WatchOrder } from "./support/watchers.ts";

/** Changes of one burst; each is a transaction of its own. */
const BURST = 200;
/** Short, so that the memory is measured soon: until its first heartbeat a stream holds on to its initial state. */
const HEARTBEAT_S = 2;

/** One change to many readers. */
export const watchTenants: Benchmark = {
  name: "watch-tenants",
  about:
    "a change's way to the last of 1,000 WatchTenants streams, a burst of changes to all, and the memory of a stream",
  async run(bench) {
    const { server, clients } = await startNode(bench.place);
    const burst = bench.size(BURST, 10);
    const streams = bench.size(1_000, 20);
    const tenants = Array.from({ length: burst }, (_, n) => tenantId(n));
    for (const id of tenants) await clients.tenants.createTenant({ tenantId: id, tenant: TENANT, activate: true });
    const update = (id: string, round: number) => {
      const tenant = { name: `tenants/${id}`, displayName: `Round ${round}` };
      return clients.tenants.updateTenant({ tenant, updateMask: { paths: ["display_name"] } });
    };

    const child = bench.place.start("watchers.ts");
    const order = <T>(given: WatchOrder) => child.ask<T>(given);
    const before = await server.ask<Memory>({ do: "memory" });
    const body = grpcBody(WatchTenantsRequestSchema, { heartbeatInterval: { seconds: BigInt(HEARTBEAT_S), nanos: 0 } });
    await order({ do: "open", what: "tenants", port: server.grpcPort, key: server.key, body, streams });
    await setTimeout((HEARTBEAT_S + 1) * 1_000);
    const after = await server.ask<Memory>({ do: "memory" });
    const heapKib = ((after.heapMib - before.heapMib) * 1_024) / streams;
    await bench.compare(
      { "memory of an idle stream": async () => ({ "KiB/stream": heapKib }) },
      { rounds: 1, warmUp: false },
    );

    let round = 0;
    const changes = bench.size(20, 2);
    await bench.compare({
      "one change": async () => {
        const [calls, ways]: [number[], number[]] = [[], []];
        const cpuUs = await server.ask<number>({ do: "cpu" });
        for (let change = 0; change < changes; change += 1) {
          round += 1;
          const heard = order<Heard>({ do: "await", changes: 1 });
          const startedAt = performance.timeOrigin + performance.now();
          await update(tenantId(0), round);
          calls.push(performance.timeOrigin + performance.now() - startedAt);
          ways.push((await heard).at - startedAt);
        }
        return {
          "p50 ms to its answer": quantile(calls, 0.5),
          "p50 ms to the last stream": quantile(ways, 0.5),
          "p99 ms to the last stream": quantile(ways, 0.99),
          "CPU µs/message": ((await server.ask<number>({ do: "cpu" })) - cpuUs) / (changes * streams),
        };
      },
      "burst of changes": async () => {
        round += 1;
        const heard = order<Heard>({ do: "await", changes: burst });
        const startedAt = performance.timeOrigin + performance.now();
        await Promise.all(tenants.map((id) => update(id, round)));
        const { at, messages } = await heard;
        const seconds = (at - startedAt) / 1_000;
        return {
          "changes/s": burst / seconds,
          "messages/s": messages / seconds,
          "changes told/s": (burst * streams) / seconds,
        };
      },
    });
    clients.close();
  },
};
