import { type ChangeRow, selectChanges } from "../change/store.ts";
import type { Queryable } from "../platform/postgres.ts";
import type { Cache } from "../platform/redis.ts";
import type { Tenant } from "../tenant/tenant.ts";
import { readSnapshot, type Snapshot, writeSnapshot } from "./redis.ts";
import type { FlagTable } from "./table.ts";
import { readTable } from "./table-store.ts";

export interface LoadDeps {
  readonly flags: FlagTable;
  /** Where nodes leave each other what they have read; without it each reads for itself. */
  readonly cache: Cache | undefined;
  readonly database: string;
  readonly onError: (error: unknown) => void;
}

/**
 * Fills the table of flags as of a bound of the change log, in the transaction that read the bound. Many nodes that start at
 * once take a snapshot from Redis and what changed since, so that Postgres reads all flags for one of them.
 */
export async function loadFlags(
  deps: LoadDeps,
  tx: Queryable,
  tenants: readonly Tenant[],
  bound: bigint,
): Promise<void> {
  const { flags, cache, database, onError } = deps;
  const position = { xid: bound, seq: 0 };
  const snapshot = cache && (await readSnapshot(cache, database).catch(() => undefined));
  const changes = snapshot && (await changesSince(tx, snapshot, bound));
  if (snapshot && changes) {
    flags.load({ ...snapshot.content, tenants }, { xid: snapshot.xid, seq: 0 });
    flags.apply({ changes, position });
    return;
  }
  const content = await readTable(tx, LOAD_BATCH);
  flags.load({ ...content, tenants }, position);
  // Nobody waits for it: the node can answer now.
  if (cache) writeSnapshot(cache, database, { xid: bound, content }).catch(onError);
}

/** Rows of one step while the table is loaded. */
const LOAD_BATCH = 2_000;
/** Above it, reading all flags costs no more. */
const CHANGES_MAX = 2_000;

// Undefined when too many changes came since, or some of them are forgotten.
async function changesSince(tx: Queryable, { xid }: Snapshot, bound: bigint): Promise<ChangeRow[] | undefined> {
  if (xid > bound) return undefined;
  const { rows, floor } = await selectChanges(tx, { xid, seq: 0 }, CHANGES_MAX);
  return xid <= floor || rows.length === CHANGES_MAX ? undefined : rows;
}
