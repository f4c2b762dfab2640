import { promisify } from "node:util";
import { zstdCompress, zstdDecompress } from "node:zlib";
import type { Cache } from "../platform/redis.ts";
import type { TableContent } from "./table.ts";

/** What the table of flags is made of, but the tenants, and the transaction below which it holds all changes. */
export interface Snapshot {
  readonly xid: bigint;
  readonly content: Omit<TableContent, "tenants">;
}

/** The newest snapshot that a node has left; undefined when there is none, or Redis can't be asked. */
export async function readSnapshot(cache: Cache, database: string): Promise<Snapshot | undefined> {
  const bytes = await cache.get(keyOf(database));
  if (!bytes) return undefined;
  const { xid, content } = JSON.parse(String(await decompress(bytes))) as { xid: string; content: Snapshot["content"] };
  return { xid: BigInt(xid), content };
}

/** Leaves a snapshot for nodes that start later. */
export async function writeSnapshot(cache: Cache, database: string, { xid, content }: Snapshot): Promise<void> {
  const bytes = await compress(JSON.stringify({ xid: String(xid), content }));
  await cache.set(keyOf(database), bytes, SNAPSHOT_LIFE_MS);
}

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** The changes since an older one are forgotten by then, or too many. */
const SNAPSHOT_LIFE_MS = 86_400_000;

// The number tells apart the forms that releases write.
function keyOf(database: string): string {
  return `tenantplane:${database}:flags:1`;
}
