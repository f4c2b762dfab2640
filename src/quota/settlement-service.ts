import { PLATFORM_SCOPE, type Sql, type Tx, writeAs } from "../platform/postgres.ts";
import type { Accounts } from "./account.ts";
import { settle, takeBack, turnPage } from "./allotment.ts";
import { deleteOldPeriods, lockCounts, lockStaleCounts, updateCounts } from "./allotment-store.ts";
import { deletePastEpochs, insertPastEpochs, lockKnownEpochs, updatePastEpochs } from "./epoch-store.ts";
import { toGrant } from "./gift-service.ts";
import { type HotState, KIND } from "./hot/state.ts";
import { deleteOldLeases } from "./lease-store.ts";
import { NODE_LOST_MS } from "./ledger-service.ts";
import { deleteOldNodes } from "./ledger-store.ts";
import { deleteOldReservations } from "./reservation-store.ts";

export interface SettlementDeps {
  readonly sql: Sql;
  readonly hot: HotState;
}

/** After the end of an epoch no answer of it is on its way any more: a hundred times the budget of a check. */
const MARGIN_MS = 2_000;
/** Counts of one transaction. */
const BATCH = 500;
const TIMEOUT_MS = 30_000;
/** Ended periods are kept for their own length and so much longer: reports and settlements of grants read them. */
const PERIOD_KEEP_MS = 86_400_000;
/** Ended reservations and leases are kept so long, to answer retries and questions. */
const HOLD_KEEP_MS = 86_400_000;
/** The epochs that a lost node leaves in doubt are over by then. */
const NODE_KEEP_MS = 400 * 86_400_000;

/**
 * Counts past epochs for what was spent in them, as far as all nodes have told: what a loss of the hot state had stranded
 * comes back. Answers how many counts it changed.
 */
export async function settleEpochs({ sql, hot }: SettlementDeps, timing: { marginMs?: number } = {}): Promise<number> {
  await transact(sql, turnPages);
  const changed = await transact(sql, async (tx) => {
    const known = await lockKnownEpochs(tx, BATCH, { marginMs: timing.marginMs ?? MARGIN_MS, lostMs: NODE_LOST_MS });
    const rows = new Map(known.map((count) => [keyOf(count), { ...count, first: count.row }]));
    const results = known.map((count) => {
      const current = rows.get(keyOf(count)) ?? { ...count, first: count.row };
      const settled = settle(current.row, count.past, count.known);
      rows.set(keyOf(count), { ...current, row: settled.row });
      return { ...count, past: settled.past, isChanged: settled.past !== count.past };
    });
    const moved = [...rows.values()].filter(({ row, first }) => row !== first);
    if (moved.length > 0) await updateCounts(tx, moved);
    const open = results.filter(({ isOpen, isChanged }) => isOpen && isChanged);
    if (open.length > 0) await updatePastEpochs(tx, open);
    const done = results.filter(({ isOpen }) => !isOpen);
    if (done.length > 0) await deletePastEpochs(tx, done);
    return moved;
  });
  // A hot state that does not hear of it hears with the next grant.
  await Promise.allSettled(
    changed.map(({ holderUid, rootUid, field, isGauge, row }) =>
      hot.raise({ uid: holderUid, rootUid }, row.epoch, [
        toGrant({ field, kind: isGauge ? KIND.GAUGE : KIND.PERIOD }, row),
      ]),
    ),
  );
  return changed.length;
}

// Counts that nobody has asked for since their holder's epoch ended.
async function turnPages(tx: Tx): Promise<void> {
  const stale = await lockStaleCounts(tx, BATCH);
  const turned = stale.map((count) => ({ ...count, ...turnPage(count.row, count.currentEpoch, count.known) }));
  const ended = turned.flatMap(({ ended: past, ...count }) => (past ? [{ ...count, past }] : []));
  if (ended.length === 0) return;
  await insertPastEpochs(tx, ended);
  await updateCounts(tx, turned);
}

/** Gives back to Postgres what this node has had given to counts that nobody uses any more; answers how many. */
export async function giveBackIdle(
  { sql, hot }: SettlementDeps,
  accounts: Accounts,
  usedBefore: number,
): Promise<number> {
  const idle = accounts.prune(usedBefore).filter(({ kind }) => kind <= KIND.GAUGE);
  let lowered = 0;
  for (const { holder, field, kind } of idle) {
    const left = await hot.lower(holder, holder.epoch, field, 0);
    if (!left) continue;
    lowered += 1;
    await transact(sql, async (tx) => {
      const key = { holderUid: holder.uid, field, startMark: kind === KIND.PERIOD ? left.mark : 0 };
      const [count] = await lockCounts(tx, [{ ...key, epoch: 0 }]);
      const row = count && takeBack(count.row, holder.epoch, left.grant, left.given);
      if (count && row && row !== count.row) await updateCounts(tx, [{ ...count, row }]);
    });
  }
  return lowered;
}

/** Forgets what nobody asks for any more; answers how many rows of the kind that has most. */
export async function forgetOld({ sql }: SettlementDeps): Promise<number> {
  return transact(sql, async (tx) => {
    const counts = [
      await deleteOldPeriods(tx, PERIOD_KEEP_MS, BATCH),
      await deleteOldReservations(tx, HOLD_KEEP_MS, BATCH),
      await deleteOldLeases(tx, HOLD_KEEP_MS, BATCH),
    ];
    await deleteOldNodes(tx, NODE_KEEP_MS);
    return Math.max(...counts);
  });
}

function transact<T>(sql: Sql, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return writeAs(sql, PLATFORM_SCOPE, TIMEOUT_MS, fn);
}

function keyOf({ holderUid, field, startMark }: { holderUid: string; field: string; startMark: number }): string {
  return `${holderUid} ${field} ${startMark}`;
}
