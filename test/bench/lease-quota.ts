import type { Benchmark } from "./support/bench.ts";
import type { Spent } from "./support/quota-load.ts";
import { startQuotaNode } from "./support/quota-node.ts";

/** What is spent of a lease: without calls, and how many calls the lease itself takes. */
export const leaseQuota: Benchmark = {
  name: "lease-quota",
  about: "checks of a lease in the caller's process, and what a million of them ask of the server",
  async run(bench) {
    const { server, clients, tenants } = await startQuotaNode(bench.place, 1, await bench.place.redis());
    clients.close();
    const address = `http://127.0.0.1:${server.grpcPort}`;
    const order = { do: "lease", address, key: server.key, tenants, meter: "one", seconds: bench.size(3, 0.1) };
    await bench.compare({
      lease: async () => {
        const child = bench.place.start("quota-load.ts");
        const { perSecond, callsPerMillion, missedPercent } = await child.ask<Spent>(order);
        await child.stop();
        return { "checks/s": perSecond, "calls/million": callsPerMillion, "missed %": missedPercent };
      },
    });
  },
};
