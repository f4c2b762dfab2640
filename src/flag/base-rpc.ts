import type { Position } from "../change/store.ts";
import type { Written } from "../mutation.ts";
import type { FindTenant } from "../server/access.ts";
import type { TenantTable } from "../tenant/table.ts";
import type { FlagDeps } from "./base-service.ts";
import type { FlagTable } from "./table.ts";
import type { Transfers } from "./transfer.ts";
import type { UsageCounter } from "./usage.ts";

/** What the handlers of FlagService work with. */
export interface FlagRpcDeps extends FlagDeps {
  readonly flags: FlagTable;
  readonly transfers: Transfers;
  readonly tenants: TenantTable;
  readonly usage: UsageCounter;
  /** Finds a tenant in memory, or else in the database. */
  readonly findTenant: FindTenant;
  /** Brings the node's memory up to now. */
  readonly refresh: () => Promise<void>;
  /** Every transaction below this id is in the node's memory. */
  readonly through: () => bigint;
  readonly token: (position: Position) => string;
  /** The database's id, as its tokens carry it. */
  readonly database: string;
}

/** The revision of a write, by which an evaluation can be asked to know of it; empty when nothing was written. */
export function revisionOf(deps: FlagRpcDeps, { revision }: Pick<Written<unknown>, "revision">): string {
  return revision === 0n ? "" : deps.token({ xid: revision, seq: 0 });
}
