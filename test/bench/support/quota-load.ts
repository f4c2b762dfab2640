// A process that asks for quotas: through the SDK's stream, of a lease, or by rate-limiter-flexible straight on Redis.
import { createClients, createQuotaClient } from "@tenantplane/sdk";
import { Redis } from "ioredis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { obey } from "./obey.ts";
import { quantile } from "./report.ts";

export type QuotaOrder = AskOrder | LeaseOrder | PeerOrder;

/** Where a node is, and what it is asked for. */
interface NodeOrder {
  readonly address: string;
  readonly key: string;
  readonly tenants: readonly string[];
  readonly meter: string;
  readonly seconds: number;
}

/** Asks on the SDK's stream. */
export interface AskOrder extends NodeOrder {
  readonly do: "ask";
  readonly exactlyOnce: boolean;
  /** Questions under way at once; or so many a second, evenly, however long the answers take. */
  readonly load: { readonly concurrency: number } | { readonly perSecond: number };
}

/** Spends of a lease. */
export interface LeaseOrder extends NodeOrder {
  readonly do: "lease";
}

/** Asks another limiter. */
export interface PeerOrder {
  readonly do: "rate-limiter-flexible";
  readonly redisUrl: string;
  readonly keys: readonly string[];
  readonly seconds: number;
  readonly concurrency: number;
}

/** What the questions took. */
export interface Asked {
  readonly count: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** By the limits' policy, because the state did not answer within the budget: a busy machine, not an end of the limit. */
  readonly deniedPercent: number;
  /** This process' own time for each. */
  readonly cpuUs: number;
}

/** What was spent of a lease, and what it took. */
export interface Spent {
  readonly perSecond: number;
  /** Calls to the server for a million. */
  readonly callsPerMillion: number;
  /** Of a hundred, how many the lease had not at that moment. */
  readonly missedPercent: number;
}

obey<QuotaOrder>((order) => {
  if (order.do === "ask") return ask(order);
  return order.do === "lease" ? spend(order) : askPeer(order);
});

async function ask({ address, key, tenants, meter, seconds, exactlyOnce, load }: AskOrder): Promise<Asked> {
  const clients = createClients({ address, apiKey: key });
  const quota = createQuotaClient(clients, { exactlyOnce, timeoutMs: 10_000 });
  const consume = async (n: number) => (await quota.consume(tenants[n % tenants.length] ?? "", meter)).allowed;
  // The first check of each tenant opens its counts in Postgres; it is not what is measured.
  for (let n = 0; n < tenants.length; n += WARM_UP) {
    const open = async (_: string, index: number) => {
      while (!(await consume(n + index)));
    };
    await Promise.all(tenants.slice(n, n + WARM_UP).map(open));
  }
  const asked =
    "concurrency" in load
      ? await closed(consume, load.concurrency, seconds)
      : await open(consume, load.perSecond, seconds);
  await quota.close();
  clients.close();
  return asked;
}

/** So many tenants at once are asked for the first time. */
const WARM_UP = 10;

async function askPeer({ redisUrl, keys, seconds, concurrency }: PeerOrder): Promise<Asked> {
  const storeClient = new Redis(redisUrl, { enableAutoPipelining: true });
  const limiter = new RateLimiterRedis({ storeClient, points: Number.MAX_SAFE_INTEGER, duration: 3_600 });
  const asked = await closed(
    async (n) => (await limiter.consume(keys[n % keys.length] ?? "")).remainingPoints > 0,
    concurrency,
    seconds,
  );
  storeClient.disconnect();
  return asked;
}

// So many askers, each of whom asks again as soon as it is answered.
async function closed(question: (n: number) => Promise<boolean>, concurrency: number, seconds: number): Promise<Asked> {
  const meter = createMeter();
  const endsAt = performance.now() + seconds * 1_000;
  let next = 0;
  const asker = async () => {
    while (performance.now() < endsAt) {
      next += 1;
      await meter.time(question(next));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, asker));
  return meter.read();
}

// So many questions a second, whether the ones before are answered or not: what waits in a queue is measured too.
async function open(question: (n: number) => Promise<boolean>, perSecond: number, seconds: number): Promise<Asked> {
  const meter = createMeter();
  const startedAt = performance.now();
  const answers: Promise<void>[] = [];
  let next = 0;
  while (performance.now() < startedAt + seconds * 1_000) {
    for (const due = ((performance.now() - startedAt) / 1_000) * perSecond; next < due; next += 1)
      answers.push(meter.time(question(next)));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(answers);
  return meter.read();
}

function createMeter() {
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const times: number[] = [];
  let denied = 0;
  return {
    async time(answer: Promise<boolean>): Promise<void> {
      const at = performance.now();
      if (!(await answer)) denied += 1;
      times.push(performance.now() - at);
    },
    read(): Asked {
      const { user, system } = process.cpuUsage(cpuBefore);
      return {
        count: times.length,
        perSecond: (times.length * 1_000) / (performance.now() - startedAt),
        p50Ms: quantile(times, 0.5),
        p99Ms: quantile(times, 0.99),
        deniedPercent: (denied * 100) / times.length,
        cpuUs: (user + system) / times.length,
      };
    },
  };
}

async function spend({ address, key, tenants, meter, seconds }: LeaseOrder): Promise<Spent> {
  let calls = 0;
  const clients = createClients({
    address,
    apiKey: key,
    interceptors: [
      (next) => (request) => {
        calls += 1;
        return next(request);
      },
    ],
  });
  const quota = createQuotaClient(clients);
  const lease = quota.lease(tenants[0] ?? "", meter);
  await lease.ready;
  // Renewals come between turns of the event loop: as in a server that answers a request in each.
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  let [asked, spent, spendingMs] = [0, 0, 0];
  const endsAt = performance.now() + seconds * 1_000;
  while (performance.now() < endsAt) {
    const at = performance.now();
    for (let n = 0; n < SPENT_IN_A_TURN; n += 1) if (lease.spend()) spent += 1;
    spendingMs += performance.now() - at;
    asked += SPENT_IN_A_TURN;
    await turn();
  }
  const callsPerMillion = (calls * 1_000_000) / spent;
  await quota.close();
  clients.close();
  return { perSecond: (spent * 1_000) / spendingMs, callsPerMillion, missedPercent: ((asked - spent) * 100) / asked };
}

/** A turn of some hundred microseconds. */
const SPENT_IN_A_TURN = 1_000;
