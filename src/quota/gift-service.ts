import type { Tx } from "../platform/postgres.ts";
import type { Account } from "./account.ts";
import { type Allotment, countUse, give, observe, type PastEpoch } from "./allotment.ts";
import {
  insertCounts,
  type LockedCount,
  lockCounts,
  moveHolds,
  type NewCount,
  selectLeased,
  updateCounts,
} from "./allotment-store.ts";
import { deletePastOf, insertPastEpochs } from "./epoch-store.ts";
import { toAmount } from "./hot/amount.ts";
import type { HotGrant } from "./hot/state.ts";
import type { CountWant } from "./want.ts";

/** What is given to a count. */
export interface Gift {
  readonly account: Account;
  readonly want: CountWant;
  /** What was used without the hot state. */
  readonly used?: number;
}

/** A count's row as the hot state is told of it. */
export function toGrant(count: Pick<Account, "field" | "kind">, row: Allotment): HotGrant {
  const { mark, grantNumber, given } = row;
  // A gauge that gave back more than it had taken since has a base below nothing.
  const base = row.base < 0n ? Number(row.base) : toAmount(row.base);
  return { field: count.field, kind: count.kind, mark, grant: grantNumber, base, given: Number(given) };
}

/** Gives to all counts of a batch in one transaction; nothing to those whose holder is gone. */
export async function giveAll(tx: Tx, items: readonly Gift[]): Promise<(Allotment | undefined)[]> {
  const counts = items.map(({ account, want }): NewCount => {
    const { startMark, windowId, endsAt, epoch } = want;
    return {
      holderUid: account.holder.uid,
      field: account.field,
      startMark,
      limitId: account.limitId,
      windowId,
      endsAt,
      epoch,
    };
  });
  const [, locked] = await Promise.all([insertCounts(tx, counts), lockCounts(tx, counts)]);
  // The same count may be in a batch twice: each gift is made to what the one before left.
  const rows = new Map(locked.map((count) => [keyOf(count), { count, row: count.row }]));
  const ended: (LockedCount & { past: PastEpoch })[] = [];
  const results = items.map(({ want, used = 0 }, index) => {
    const current = rows.get(keyOf(counts[index] as NewCount));
    if (!current) return undefined;
    const given = give(used === 0 ? current.row : countUse(current.row, used), want, current.count.known);
    if (given.ended) ended.push({ ...current.count, past: given.ended });
    current.row = given.row;
    return given.row;
  });
  if (ended.length > 0) await insertPastEpochs(tx, ended);
  const changed = [...rows.values()].filter(({ count, row }) => row !== count.row);
  if (changed.length > 0)
    await updateCounts(
      tx,
      changed.map(({ count, row }) => ({ ...count, row })),
    );
  return results;
}

/**
 * Takes an observation for what is used of a gauge: its past does not matter any more, and what is held of it is held of the
 * new count. Undefined when nothing was ever counted of it.
 */
export async function observeCount(
  tx: Tx,
  { holder, field }: Account,
  { observedAt, used }: { readonly observedAt: number; readonly used: bigint },
) {
  const key = { holderUid: holder.uid, field, startMark: 0 };
  const [count] = await lockCounts(tx, [{ ...key, epoch: 0 }]);
  if (!count || observedAt <= count.row.mark) return count && { before: count.row, after: count.row };
  const held = await moveHolds(tx, { ...key, epoch: count.row.epoch }, observedAt);
  // What clients may still spend of it counts as used.
  const after = observe(count.row, observedAt, used + (await selectLeased(tx, key)), held);
  await deletePastOf(tx, key);
  await updateCounts(tx, [{ ...key, row: after }]);
  return { before: count.row, after };
}

function keyOf({ holderUid, field, startMark }: Pick<LockedCount, "holderUid" | "field" | "startMark">): string {
  return `${holderUid} ${field} ${startMark}`;
}
