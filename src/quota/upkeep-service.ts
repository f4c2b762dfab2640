import { every } from "../platform/clock.ts";
import type { Sql } from "../platform/postgres.ts";
import type { Accounts } from "./account.ts";
import type { HotState } from "./hot/state.ts";
import type { Journal } from "./journal-service.ts";
import type { Leases } from "./lease-service.ts";
import type { Ledger } from "./ledger-service.ts";
import type { Reservations } from "./reservation-service.ts";
import { forgetOld, giveBackIdle, settleEpochs } from "./settlement-service.ts";

export interface UpkeepDeps {
  readonly sql: Sql;
  readonly hot: HotState;
  readonly accounts: Accounts;
  readonly monotonic: () => number;
  readonly reservations: Reservations;
  readonly leases: Leases;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly onError: (error: unknown) => void;
}

/** What keeps counts in order, beside the checks. */
export interface Upkeep {
  /** Writes what this node has admitted, with the state and without it. */
  flush(): Promise<void>;
  /** Counts past epochs for what was spent in them; ends reservations and leases whose time has passed. */
  settle(signal: AbortSignal): Promise<void>;
  /** Forgets what is old. */
  forget(signal: AbortSignal): Promise<void>;
  /** How many counts this node knows. */
  size(): number;
  stop(): Promise<void>;
}

/** Reservations or leases of one step; between steps a stop is heeded. */
const STEP = 500;
/** A count that nobody used for so long needs no block of its own. */
const IDLE_MS = 60_000;
/** Idle counts are looked for so often. */
const LOOK_EVERY_MS = 30_000;

/** Starts the upkeep of a node's checks. */
export function startUpkeep(deps: UpkeepDeps): Upkeep {
  const { reservations, leases, journal, ledger, accounts, hot } = deps;
  const flush = async () => {
    await journal.flush();
    await ledger.flush();
  };
  const giveBack = async () => void (await giveBackIdle(deps, accounts, deps.monotonic() - IDLE_MS));
  const stopGivingBack = every(LOOK_EVERY_MS, giveBack, deps.onError);
  return {
    flush,
    async settle(signal) {
      while (!signal.aborted && (await settleEpochs(deps)) > 0);
      while (!signal.aborted && (await reservations.sweep(STEP)) >= STEP);
      while (!signal.aborted && (await leases.lapse(STEP)) >= STEP);
    },
    async forget(signal) {
      while (!signal.aborted && (await forgetOld(deps)) >= STEP);
    },
    size: () => accounts.size(),
    async stop() {
      stopGivingBack();
      await journal.stop();
      // What dies with this node is given back first; another node goes on with what it shares.
      if (hot.isPrivate) await giveBackIdle(deps, accounts, Number.POSITIVE_INFINITY).catch(() => {});
      await ledger.stop();
      await hot.stop();
    },
  };
}
