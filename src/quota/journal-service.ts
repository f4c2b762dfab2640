import { every } from "../platform/clock.ts";
import type { Allotments } from "./allotment-service.ts";
import type { Decider } from "./decide-service.ts";
import { KIND, MODE } from "./hot/state.ts";
import type { Part, Prepared } from "./prepare.ts";
import { isCounter } from "./seen.ts";

export interface JournalDeps {
  readonly allotments: Allotments;
  readonly decider: Decider;
  readonly onError: (error: unknown) => void;
}

/** What was admitted while the hot state could not be asked: in memory for a moment, then in Postgres, then counted. */
export interface Journal {
  /** Takes down uses, or with -1 that they were counted after all. */
  add(parts: readonly Part[], sign: 1 | -1): void;
  /** Whether it has no place for more counts. */
  isFull(): boolean;
  flush(): Promise<void>;
  stop(): Promise<void>;
}

/** What a crash of this node loses of it is what was admitted since. */
const FLUSH_MS = 500;
/** Amounts of one count are one entry: some 10 MB. */
const ENTRIES_MAX = 50_000;

interface Entry {
  readonly limit: Prepared;
  amount: number;
}

/** Starts a journal. */
export function startJournal({ allotments, decider, onError }: JournalDeps): Journal {
  let entries = new Map<string, Entry>();
  const add = (limit: Prepared, amount: number) => {
    // A slot that was let pass is counted when it is extended.
    if (amount === 0 || limit.hot.kind === KIND.SLOTS) return;
    const key = `${limit.account.holder.uid} ${limit.hot.field} ${limit.hot.startAt}`;
    const entry = entries.get(key);
    if (!entry) entries.set(key, { limit, amount });
    else entry.amount += amount;
    if (entry?.amount === 0) entries.delete(key);
  };
  const count = async ({ limit, amount }: Entry) => {
    const { account, effective, hot } = limit;
    if (isCounter(hot)) {
      const { id: windowId = "", endAt: endsAt = null } = effective.window ?? {};
      return allotments.countUse(account, { startMark: hot.startAt, windowId, endsAt, amount });
    }
    // A rate has forgotten all but its last burst.
    const part = { ...limit.one, amount: Math.min(amount, Number(hot.cap)) };
    const parts = part.amount > 0 ? [part] : [];
    const rootUid = account.holder.rootUid;
    const verdict = parts.length > 0 ? await decider.decide({ rootUid, mode: MODE.COUNT_ANYHOW, parts }) : undefined;
    return verdict?.status !== "UNAVAILABLE";
  };
  const flush = async () => {
    const taken = [...entries.values()];
    entries = new Map();
    const errors = await Promise.all(
      taken.map((entry) =>
        count(entry).then(
          (done) => void (done || add(entry.limit, entry.amount)),
          (error: unknown) => {
            add(entry.limit, entry.amount);
            return error;
          },
        ),
      ),
    );
    const failed = errors.find((error) => error !== undefined);
    if (failed !== undefined) throw failed;
  };
  const stopFlushing = every(FLUSH_MS, async () => (entries.size > 0 ? flush() : undefined), onError);
  return {
    add(parts, sign) {
      for (const { limit, amount } of parts) add(limit, sign * amount);
    },
    isFull: () => entries.size >= ENTRIES_MAX,
    flush,
    async stop() {
      stopFlushing();
      await flush().catch(onError);
    },
  };
}
