import { readFileSync } from "node:fs";
import { type Cluster, Redis } from "ioredis";
import { Packr } from "msgpackr";
import type { HotHolder, HotState } from "./state.ts";
import { decodeReply, encodeBatch, holderKey, type Item } from "./wire.ts";

interface Scripts {
  quotaCheckBuffer(keys: number, ...args: (string | Buffer)[]): Promise<Buffer>;
  quotaAllotBuffer(keys: number, key: string, args: Buffer): Promise<Buffer>;
}

/**
 * The hot state in Redis or Valkey, alone or as a cluster. Scripts go by EVALSHA: a server that does not know one, after a
 * restart or a failover, is given it with the same call. (A function would be replicated, but is just as gone after a loss.)
 * A call is never sent twice: what became of one that a connection was lost under is unknown, and stays so.
 */
export function createRedisState(client: Redis | Cluster, options: { now?: () => number } = {}): HotState {
  client.defineCommand("quotaCheck", { lua: script("check.lua") });
  client.defineCommand("quotaAllot", { lua: script("allot.lua") });
  const scripts = client as unknown as Scripts;
  // Time is that of the server, which all nodes share; tests bring theirs.
  const now = options.now ?? (() => 0);
  const isCluster = !(client instanceof Redis);
  const allot = async (holder: HotHolder, args: Item[]): Promise<Item[]> =>
    unpack(await scripts.quotaAllotBuffer(1, holderKey(holder), pack([now(), ...args])));
  return {
    async decide(batch) {
      const { keys, args } = encodeBatch(batch, now());
      return decodeReply(batch, unpack(await scripts.quotaCheckBuffer(keys.length, ...keys, pack(args))));
    },
    install: async (holder, epoch, wasLost) => (await allot(holder, ["install", epoch, wasLost ? 1 : 0]))[0] === 1,
    async raise(holder, epoch, grants) {
      const args = grants.flatMap(({ field, kind, mark, grant, base, given }) => [
        field,
        kind,
        mark,
        grant,
        base,
        given,
      ]);
      const ended = await allot(holder, ["raise", epoch, ...args]);
      return triples(ended).map(([field, mark, spent]) => ({
        field: String(field),
        mark: Number(mark),
        spent: Number(spent),
      }));
    },
    async lower(holder, epoch, field, keep) {
      const [lowered] = triples(await allot(holder, ["lower", epoch, field, keep]));
      return lowered && { mark: Number(lowered[0]), grant: Number(lowered[1]), given: Number(lowered[2]) };
    },
    forget: async (holder) => void (await client.unlink(holderKey(holder))),
    isPrivate: false,
    laneOf: (rootUid) => (isCluster ? rootUid : ""),
    stop: async () => client.disconnect(),
  };
}

const packr = new Packr({ useRecords: false, int64AsType: "number" });

function pack(items: readonly Item[]): Buffer {
  return packr.pack(items);
}

function unpack(bytes: Buffer): Item[] {
  return packr.unpack(bytes) as Item[];
}

function script(file: string): string {
  return readFileSync(new URL(file, import.meta.url), "utf8");
}

function triples(items: readonly Item[]): (readonly [Item, Item, Item])[] {
  return Array.from({ length: items.length / 3 }, (_, i) => {
    const [a = 0, b = 0, c = 0] = items.slice(3 * i, 3 * i + 3);
    return [a, b, c] as const;
  });
}
