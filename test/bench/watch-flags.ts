import { WatchFlagsRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/flag_watch_pb";
import { BOOLEAN_FLAG } from "../support/flags.ts";
import type { Benchmark } from "./support/bench.ts";
import { quantile } from "./support/report.ts";
import type { Memory } from "./support/server.ts";
import { grpcBody, startNode } from "./support/tenants.ts";
import type { Heard, WatchOrder } from "./support/watchers.ts";

/** What a flag with a handful of rules has. */
const FLAG_BYTES = 1_024;
/** Heartbeats would be counted as messages. */
const HEARTBEAT_INTERVAL = { seconds: 60n, nanos: 0 };

/** One change of a flag to all who evaluate it. */
export const watchFlags: Benchmark = {
  name: "watch-flags",
  about: "a changed flag of 1 KiB on its way to the last of 5,000 WatchFlags streams, and the memory of a stream",
  async run(bench) {
    const { server, clients } = await startNode(bench.place);
    const streams = bench.size(5_000, 20);
    await clients.flags.createFlag({ flagId: "watched", flag: BOOLEAN_FLAG });

    const child = bench.place.start("watchers.ts");
    const order = <T>(given: WatchOrder) => child.ask<T>(given);
    const before = await server.ask<Memory>({ do: "memory" });
    const body = grpcBody(WatchFlagsRequestSchema, { heartbeatInterval: HEARTBEAT_INTERVAL });
    await order({ do: "open", what: "flags", port: server.grpcPort, key: server.key, body, streams });
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
        const ways: number[] = [];
        for (let change = 0; change < changes; change += 1) {
          round += 1;
          const heard = order<Heard>({ do: "await", changes: 1 });
          const startedAt = performance.timeOrigin + performance.now();
          const metadata = { round, text: "x".repeat(FLAG_BYTES - 200) };
          await clients.flags.updateFlag({ flag: { name: "flags/watched", metadata } });
          ways.push((await heard).at - startedAt);
        }
        return { "p50 ms to the last stream": quantile(ways, 0.5), "p99 ms to the last stream": quantile(ways, 0.99) };
      },
    });
    clients.close();
  },
};
