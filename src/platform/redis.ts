import { Cluster, Redis } from "ioredis";
import { OperatorError } from "./operator-error.ts";

/** A channel by which nodes wake each other. Losing it costs time, never a change. */
export interface Bell {
  ring(): void;
  /** Rejects when Redis can't be reached. */
  probe(): Promise<void>;
  stop(): Promise<void>;
}

/** Connects to Redis and listens on a channel. Throws OperatorError when Redis can't be reached. */
export async function openBell(url: string, channel: string, onRing: () => void): Promise<Bell> {
  const options = {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
  };
  const publisher = new Redis(url, options);
  const subscriber = new Redis(url, { ...options, enableOfflineQueue: true });
  // Both reconnect by themselves; what was not heard meanwhile is found by polling.
  for (const client of [publisher, subscriber]) client.on("error", () => {});
  try {
    await publisher.connect();
    await subscriber.connect();
    await subscriber.subscribe(channel);
  } catch (error) {
    publisher.disconnect();
    subscriber.disconnect();
    throw redisProblem(error, url);
  }
  subscriber.on("message", onRing);
  return {
    ring: () => void publisher.publish(channel, "").catch(() => {}),
    probe: async () => void (await publisher.ping()),
    async stop() {
      publisher.disconnect();
      subscriber.disconnect();
    },
  };
}

/** A place for what can be made anew. Losing it costs time. */
export interface Cache {
  /** Undefined for what is not there. Rejects when Redis can't be reached. */
  get(key: string): Promise<Uint8Array | undefined>;
  set(key: string, bytes: Uint8Array, lifeMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Opens a cache in Redis; it connects when it is first asked, and again when it was cut off. */
export function openCache(url: string): Cache {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    maxRetriesPerRequest: 1,
  });
  client.on("error", () => {});
  return {
    get: async (key) => (await client.getBuffer(key)) ?? undefined,
    set: async (key, bytes, lifeMs) => void (await client.set(key, Buffer.from(bytes), "PX", lifeMs)),
    stop: async () => client.disconnect(),
  };
}

/** What a doctor wants to know of a Redis: the fields of INFO, such as `maxmemory_policy`. Throws OperatorError. */
export async function readRedisInfo(url: string): Promise<ReadonlyMap<string, string>> {
  const client = new Redis(url, { lazyConnect: true, connectTimeout: CONNECT_TIMEOUT_MS, maxRetriesPerRequest: 1 });
  client.on("error", () => {});
  try {
    await client.connect();
    const lines = (await client.info()).split(/\r?\n/);
    return new Map(
      lines.flatMap((line): [string, string][] => {
        const at = line.indexOf(":");
        return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
      }),
    );
  } catch (error) {
    throw redisProblem(error, url);
  } finally {
    client.disconnect();
  }
}

function redisProblem(error: unknown, url: string): OperatorError {
  const why = error instanceof Error ? error.message.split("\n")[0] : "unknown";
  return new OperatorError(
    `Redis at ${new URL(url).host} can't be used: ${why}. Check REDIS_URL, or unset it for a single node.`,
  );
}

/**
 * Connects to a Redis, or to the cluster that it is a node of, for state that is asked on every call. Nothing is sent twice
 * and nothing waits for a connection: what can't be asked now is refused at once. Throws OperatorError when Redis can't be
 * reached.
 */
export async function openRedis(url: string): Promise<Redis | Cluster> {
  const options = {
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (times: number) => Math.min(times * RECONNECT_MS, RECONNECT_MS_MAX),
  };
  const client = new Redis(url, { ...options, lazyConnect: true });
  client.on("error", () => {});
  try {
    await client.connect();
    const facts = await client.info("cluster");
    if (!facts.includes("cluster_enabled:1")) return client;
  } catch (error) {
    client.disconnect();
    throw redisProblem(error, url);
  }
  client.disconnect();
  const cluster = new Cluster([url], { enableOfflineQueue: false, redisOptions: options, lazyConnect: true });
  cluster.on("error", () => {});
  await cluster.connect().catch((error: unknown) => {
    cluster.disconnect();
    throw redisProblem(error, url);
  });
  return cluster;
}

/** A server that restarts is found again within a blink, and not asked all the time. */
const RECONNECT_MS = 20;
const RECONNECT_MS_MAX = 200;

/** A Redis on the same network answers in milliseconds. */
const CONNECT_TIMEOUT_MS = 3_000;
/** Megabytes take a moment; Postgres, who would be asked instead, takes no longer. */
const COMMAND_TIMEOUT_MS = 2_000;
