import type { Bench, Benchmark, Measures } from "./support/bench.ts";
import type { Asked, AskOrder, PeerOrder, QuotaOrder } from "./support/quota-load.ts";
import { type QuotaNode, startQuotaNode } from "./support/quota-node.ts";

const TENANTS = 1_000;
/** As many as a busy process has requests under way. */
const CONCURRENCY = 4_000;

/** The SDK's stream against another limiter on the same Redis: how many, and how fast at half of that. */
export const streamQuotaChecks: Benchmark = {
  name: "stream-quota-checks",
  about:
    "exact checks through the SDK's stream and one node with its state in Redis, beside rate-limiter-flexible on it",
  async run(bench) {
    const redisUrl = await bench.place.redis();
    // Without Redis there is nothing to compare with.
    if (redisUrl === undefined) return;
    const node = await startQuotaNode(bench.place, bench.size(TENANTS, 5), redisUrl);
    node.clients.close();
    const seconds = bench.size(3, 0.1);
    const concurrency = bench.size(CONCURRENCY, 200);
    const keys = node.tenants;
    const peer: PeerOrder = { do: "rate-limiter-flexible", redisUrl, keys, seconds, concurrency };
    const best = { perSecond: 0 };
    const full = (more: Partial<AskOrder>) => async () => {
      const asked = await ask(bench, node, { ...more, seconds, load: { concurrency } });
      best.perSecond = Math.max(best.perSecond, asked["checks/s"] ?? 0);
      return asked;
    };
    await bench.compare(
      {
        "rate-limiter-flexible": async () => measuresOf(await order<Asked>(bench, peer)),
        "rate-limiter-flexible, one key": async () =>
          measuresOf(await order<Asked>(bench, { ...peer, keys: keys.slice(0, 1) })),
        "1 limit": full({}),
        "3 limits": full({ meter: "three" }),
        "5 limits": full({ meter: "five" }),
        "1 limit, one tenant": full({ tenants: keys.slice(0, 1) }),
        "5 limits, one tenant": full({ meter: "five", tenants: keys.slice(0, 1) }),
        "1 limit, each with a request id": full({ exactlyOnce: true }),
      },
      { ratioTo: "rate-limiter-flexible", rounds: 3 },
    );
    const half = Math.round(best.perSecond / 2);
    await bench.compare(
      { "1 limit, at half load": () => ask(bench, node, { seconds, load: { perSecond: half } }) },
      { rounds: 3 },
    );
  },
};

async function ask(bench: Bench, { server, tenants }: QuotaNode, more: Partial<AskOrder>): Promise<Measures> {
  const address = `http://127.0.0.1:${server.grpcPort}`;
  const before = await server.ask<number>({ do: "cpu" });
  const asked = await order<Asked>(bench, {
    ...{ do: "ask", address, key: server.key, tenants, meter: "one", exactlyOnce: false },
    ...{ seconds: 1, load: { concurrency: 1 } },
    ...more,
  });
  const cpuUs = (await server.ask<number>({ do: "cpu" })) - before;
  return { ...measuresOf(asked), "CPU µs/check": cpuUs / asked.count };
}

function measuresOf({ perSecond, p50Ms, p99Ms, deniedPercent, cpuUs }: Asked): Measures {
  return {
    "checks/s": perSecond,
    "p50 ms": p50Ms,
    "p99 ms": p99Ms,
    "denied %": deniedPercent,
    "client's CPU µs/check": cpuUs,
  };
}

async function order<T>({ place }: Bench, given: QuotaOrder): Promise<T> {
  const child = place.start("quota-load.ts");
  try {
    return await child.ask<T>(given);
  } finally {
    await child.stop();
  }
}
