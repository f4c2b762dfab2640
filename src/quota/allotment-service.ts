import { createBatcher } from "../platform/batcher.ts";
import { type Clock, sleep } from "../platform/clock.ts";
import { PLATFORM_SCOPE, type Sql, type Tx, writeAs } from "../platform/postgres.ts";
import type { Account, AccountHolder } from "./account.ts";
import { type Allotment, GIVEN_MAX, NOTHING_WANTED } from "./allotment.ts";
import { openEpochs } from "./epoch-store.ts";
import { type Gift, giveAll, observeCount, toGrant } from "./gift-service.ts";
import { type HotState, KIND } from "./hot/state.ts";
import type { Ledger } from "./ledger-service.ts";
import type { CountWant } from "./want.ts";

export interface AllotmentDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly hot: HotState;
  readonly ledger: Ledger;
}

/** What a node asks of Postgres so that the hot state can go on. */
export interface Allotments {
  /** Brings a holder to life that the hot state lost or never had: in a new epoch, by this node or by another. */
  revive(holder: AccountHolder): Promise<void>;
  /** Has a count given what is wanted, or what is left, and tells the hot state. One at a time for each count. */
  give(account: Account, want: CountWant): Promise<void>;
  /**
   * Counts a use that the hot state does not know of, and tells it if it can be told; it hears of it at the latest with the
   * next grant. False when the holder is gone.
   */
  countUse(
    account: Account,
    use: Pick<CountWant, "startMark" | "windowId" | "endsAt"> & { amount: number },
  ): Promise<boolean>;
  /**
   * Takes an observation for what is used of a gauge. Answers by how much that differs from what was counted; 0 when the
   * observation is not newer than the last one, or it is unknown.
   */
  observe(account: Account, observation: { readonly observedAt: number; readonly used: bigint }): Promise<bigint>;
}

/** An epoch that another node has begun is installed within it; after that its node is taken for dead. */
const CLAIM_MS = 100;
/** Until another node's installation is looked for again. */
const CLAIM_POLL_MS = 5;
/** Counts of one transaction: some milliseconds of work. */
const BATCH_MAX = 200;
/** Two at once keep Postgres busy; with more the hot rows would only wait for each other. */
const UNDER_WAY_MAX = 2;
/** Every tenant of a large platform after a loss of Redis; beyond it the limits' policies decide. */
const WAITING_MAX = 20_000;
const LIMITS = { sizeMax: BATCH_MAX, underWayMax: UNDER_WAY_MAX, waitingMax: WAITING_MAX };
/** A transaction that takes longer helps nobody who waits for it. */
const TIMEOUT_MS = 2_000;

/** Connects the hot state with what Postgres gives. */
export function createAllotments({ sql, clock, hot, ledger }: AllotmentDeps): Allotments {
  const transact: Transact = (fn) => writeAs(sql, PLATFORM_SCOPE, TIMEOUT_MS, fn);
  const openings = createOpenings(transact);
  const gifts = createBatcher<Gift, Allotment | undefined>({
    ...LIMITS,
    run(items) {
      for (const { account } of items) account.wanted = undefined;
      return transact((tx) => giveAll(tx, items));
    },
  });
  const reviving = new Map<string, Promise<void>>();
  const revive = async (holder: AccountHolder) => {
    const epoch = await openings.add(holder);
    // An epoch is installed at most once, or what it was given could be spent twice: so never by anybody else, nor again.
    if (epoch === undefined) await sleep(CLAIM_POLL_MS);
    else await hot.install(holder, epoch, epoch > 1);
  };
  const tell = async (account: Account, row: Allotment) => {
    const [ended] = await hot.raise(account.holder, row.epoch, [toGrant(account, row)]);
    if (ended && account.kind === KIND.PERIOD) {
      ledger.endPeriod({ holderUid: account.holder.uid, ...ended, epoch: row.epoch });
    }
    return ended;
  };
  const give = async (account: Account, want: CountWant) => {
    const row = await gifts.add({ account, want });
    if (!row) return;
    account.given = { at: clock.monotonic(), spent: account.spent, ahead: want.ahead };
    await tell(account, row);
    // The numbers of this epoch are used up: what it was given counts, and the next one starts small again.
    if (row.given >= GIVEN_MAX && want.needed >= Number.MAX_SAFE_INTEGER) await revive(account.holder);
  };
  return {
    revive(holder) {
      const underWay = reviving.get(holder.uid) ?? revive(holder).finally(() => reviving.delete(holder.uid));
      reviving.set(holder.uid, underWay);
      return underWay;
    },
    give(account, want) {
      if (account.wanted) account.wanted.needed += want.step;
      if (account.giving) return account.giving;
      const growing = { ...want };
      account.wanted = growing;
      account.giving = give(account, growing).finally(() => {
        account.giving = undefined;
        account.wanted = undefined;
      });
      return account.giving;
    },
    async countUse(account, { amount, ...count }) {
      const gift = { account, want: { ...NOTHING_WANTED, ...count, epoch: 0, step: 0 }, used: amount };
      let row = await gifts.add(gift);
      if (!row) {
        // Nothing was ever counted of this holder: it needs a first epoch to count in.
        await openings.add(account.holder);
        row = await gifts.add(gift);
      }
      if (row) await tell(account, row).catch(() => {});
      return row !== undefined;
    },
    async observe(account, observation) {
      const observed = await transact((tx) => observeCount(tx, account, observation));
      if (!observed || observed.after === observed.before) return 0n;
      const ended = await tell(account, observed.after);
      return ended ? observation.used - observed.before.base - BigInt(ended.spent) : 0n;
    },
  };
}

type Transact = <T>(fn: (tx: Tx) => Promise<T>) => Promise<T>;

// Begins the next epochs of all holders that are cold at once in one statement; undefined for those that another node begins.
function createOpenings(transact: Transact) {
  return createBatcher<AccountHolder, number | undefined>({
    ...LIMITS,
    async run(holders) {
      const named = holders.map(({ uid, kind }) => ({ uid, kind }));
      const opened = await transact((tx) => openEpochs(tx, named, CLAIM_MS));
      const epochs = new Map(opened.map(({ holderUid, epoch }) => [holderUid, epoch]));
      return holders.map(({ uid }) => epochs.get(uid));
    },
  });
}
