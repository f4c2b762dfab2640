import type { HotHolder, Kind } from "./hot/state.ts";

/** A holder of counts as this node knows it. */
export interface AccountHolder extends HotHolder {
  readonly kind: "tenant" | "integrator";
  /** The newest epoch that the hot state has answered with: an older answer comes from a state that was lost. */
  epoch: number;
  /** Which batch named it last, and where in it. */
  stamp: number;
  index: number;
}

/** A count as this node knows it. */
export interface Account {
  readonly holder: AccountHolder;
  readonly field: string;
  readonly kind: Kind;
  readonly limitId: string;
  /** All that this node was told is spent, to tell how fast. */
  spent: number;
  usedAt: number;
  /** It was idle: whoever holds on to it must ask for it anew. */
  isForgotten: boolean;
  /** A grant that is under way, and what it will ask for as long as it has not. */
  giving: Promise<void> | undefined;
  wanted: { needed: number } | undefined;
  /** When this node last had something given, what had been spent by then, and how much was given ahead. */
  given: { readonly at: number; readonly spent: number; readonly ahead: number };
}

/** What was spent of a count and the ledger does not have yet. */
export interface Unwritten {
  readonly account: Account;
  readonly epoch: number;
  readonly mark: number;
  amount: number;
}

/** All counts that this node has told of. */
export interface Accounts {
  holder(of: Pick<AccountHolder, "uid" | "rootUid" | "kind">): AccountHolder;
  account(of: Pick<Account, "holder" | "field" | "kind" | "limitId">): Account;
  /** Takes down that an amount was spent. */
  spend(account: Account, epoch: number, mark: number, amount: number, now: number): void;
  /** Hands over what the ledger must be told; it is not kept here any more. */
  takeUnwritten(): Unwritten[];
  hasUnwritten(): boolean;
  /** Forgets counts that have not been used since; answers them. */
  prune(usedBefore: number): Account[];
  all(): Iterable<Account>;
  size(): number;
}

/** Makes an empty register. */
export function createAccounts(): Accounts {
  const holders = new Map<string, AccountHolder>();
  const accounts = new Map<string, Account>();
  const unwritten = new Map<Account, Unwritten[]>();
  return {
    holder({ uid, rootUid, kind }) {
      const known = holders.get(uid);
      if (known) return known;
      const holder = { uid, rootUid, kind, epoch: 0, stamp: 0, index: 0 };
      holders.set(uid, holder);
      return holder;
    },
    account(of) {
      const key = `${of.holder.uid} ${of.field}`;
      const known = accounts.get(key);
      if (known) return known;
      const account: Account = {
        ...of,
        spent: 0,
        usedAt: 0,
        isForgotten: false,
        giving: undefined,
        wanted: undefined,
        given: { at: 0, spent: 0, ahead: 0 },
      };
      accounts.set(key, account);
      return account;
    },
    spend(account, epoch, mark, amount, now) {
      account.spent += amount;
      account.usedAt = now;
      const entries = unwritten.get(account);
      const last = entries?.at(-1);
      if (last?.epoch === epoch && last.mark === mark) last.amount += amount;
      else if (entries) entries.push({ account, epoch, mark, amount });
      else unwritten.set(account, [{ account, epoch, mark, amount }]);
    },
    takeUnwritten() {
      const entries = [...unwritten.values()].flat();
      unwritten.clear();
      return entries;
    },
    hasUnwritten: () => unwritten.size > 0,
    prune(usedBefore) {
      const idle = [...accounts].filter(
        ([, account]) => account.usedAt < usedBefore && !account.giving && !unwritten.has(account),
      );
      for (const [key, account] of idle) {
        account.isForgotten = true;
        accounts.delete(key);
      }
      return idle.map(([, account]) => account);
    },
    all: () => accounts.values(),
    size: () => accounts.size,
  };
}
