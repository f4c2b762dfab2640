import { every } from "../platform/clock.ts";
import { PLATFORM_SCOPE, type Sql, writeAs } from "../platform/postgres.ts";
import type { Accounts, Unwritten } from "./account.ts";
import { type Admission, addAdmissions, insertNode, stopNode, touchNode, updateEndedPeriods } from "./ledger-store.ts";

export interface LedgerDeps {
  readonly sql: Sql;
  readonly accounts: Accounts;
  readonly monotonic: () => number;
  readonly nodeUid: string;
  readonly onError: (error: unknown) => void;
}

/** This node's part of the ledger. */
export interface Ledger {
  /** Whether this node has been unable to write for so long that it must admit nothing: others count it as lost soon. */
  isCutOff(): boolean;
  /** Takes down what had been spent of a period when it ended. */
  endPeriod(ended: Admission): void;
  /** Writes all that this node was told. */
  flush(): Promise<void>;
  /** Writes what is left and says that nothing more comes. */
  stop(): Promise<void>;
}

/** What a crash of this node can lose of the ledger is what was admitted since the last write. */
const FLUSH_MS = 500;
/** Without anything to write, others must still hear that nothing is missing. */
const IDLE_FLUSH_MS = 5_000;
/** A node that was silent for so long is lost: what it admitted until then stays in doubt. */
export const NODE_LOST_MS = 600_000;
/** So long after its last write a node admits nothing any more: half of it is for clocks and transactions. */
const CUT_OFF_MS = NODE_LOST_MS / 2;
/** Rows of one statement. */
const CHUNK = 2_000;
const TIMEOUT_MS = 10_000;

/** Registers this node and starts writing what it admits. */
export async function startLedger(deps: LedgerDeps): Promise<Ledger> {
  const { sql, accounts, monotonic, nodeUid } = deps;
  await writeAs(sql, PLATFORM_SCOPE, TIMEOUT_MS, (tx) => insertNode(tx, nodeUid));
  let flushedAt = monotonic();
  let flushNumber = 0;
  const ended: Admission[] = [];
  // What may have been written already: it goes again under the same number.
  let pending: { number: number; admissions: Admission[]; ended: Admission[] } | undefined;
  let flushing: Promise<void> | undefined;

  const write = async () => {
    const startedAt = monotonic();
    await writeAs(sql, PLATFORM_SCOPE, TIMEOUT_MS, async (tx) => {
      const number = pending?.number ?? flushNumber + 1;
      const isNew = await touchNode(tx, nodeUid, number);
      if (!isNew && !pending) throw new Error("another process writes the ledger of this node");
      if (!isNew) return;
      // Taken after the transaction has begun: whatever was told before its time is in it.
      pending ??= { number, admissions: accounts.takeUnwritten().map(toAdmission), ended: ended.splice(0) };
      for (const chunk of chunks(pending.admissions)) await addAdmissions(tx, chunk);
      for (const chunk of chunks(pending.ended)) await updateEndedPeriods(tx, chunk);
    });
    flushNumber = pending?.number ?? flushNumber + 1;
    pending = undefined;
    flushedAt = startedAt;
  };
  const flush = () => {
    const isRetry = pending !== undefined;
    flushing ??= write()
      .then(() => (isRetry ? write() : undefined))
      .finally(() => {
        flushing = undefined;
      });
    return flushing;
  };
  const stopFlushing = every(
    FLUSH_MS,
    async () => {
      const isDue = monotonic() - flushedAt >= IDLE_FLUSH_MS;
      if (isDue || pending || ended.length > 0 || accounts.hasUnwritten()) await flush();
    },
    deps.onError,
  );
  return {
    isCutOff: () => monotonic() - flushedAt > CUT_OFF_MS,
    endPeriod: (period) => void ended.push(period),
    async flush() {
      await flushing;
      await flush();
    },
    async stop() {
      stopFlushing();
      await flushing?.catch(() => {});
      await flush();
      await writeAs(sql, PLATFORM_SCOPE, TIMEOUT_MS, (tx) => stopNode(tx, nodeUid));
    },
  };
}

function toAdmission({ account, epoch, mark, amount }: Unwritten): Admission {
  return { holderUid: account.holder.uid, field: account.field, mark, epoch, spent: amount };
}

function chunks<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / CHUNK) }, (_, i) => items.slice(i * CHUNK, (i + 1) * CHUNK));
}
