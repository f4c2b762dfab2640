import type { Amount } from "./amount.ts";
import {
  type HotBatch,
  type HotFacts,
  type HotFound,
  type HotHolder,
  type HotLimit,
  type HotOutcome,
  type HotReply,
  type HotRun,
  KIND,
  MODE,
} from "./state.ts";

/** A number or a text among a script's arguments and answers. */
export type Item = number | string;

/** The key of a holder's hash. All keys of a root share a slot of a cluster by its tag. */
export function holderKey(holder: HotHolder): string {
  return `tp:{${holder.rootUid}}:${holder.uid}`;
}

/** The keys and the flat arguments of `check.lua`; `at` is the time, or 0 for the server's. */
export function encodeBatch(batch: HotBatch, at: number): { keys: string[]; args: Item[] } {
  const keys = batch.holders.map(holderKey);
  const args: Item[] = [at, batch.holders.length, batch.limits.length];
  const keyIndex = (key: string) => keys.push(key);
  for (const { holder, limit } of batch.limits) {
    encodeLimit(args, holder, limit, () => keyIndex(`${keys[holder]}:${limit.field}`));
  }
  const answerKeys = new Map<number, number>();
  for (const run of batch.runs) {
    encodeRun(args, run, (holder) => {
      const known = answerKeys.get(holder);
      if (known !== undefined) return known;
      const first = keyIndex(`${keys[holder]}:0`);
      keyIndex(`${keys[holder]}:1`);
      answerKeys.set(holder, first);
      return first;
    });
  }
  return { keys, args };
}

/** What `check.lua` answered, in the terms of the batch. */
export function decodeReply(batch: HotBatch, items: readonly Item[]): HotReply {
  let at = 0;
  const next = () => items[at++] as number;
  const now = next();
  const fence = String(next());
  const epochs = batch.holders.map(next);
  const limits = batch.limits.map(({ limit }) => decodeFacts(limit, next));
  const outcomes = batch.runs.map((run) => decodeRun(run, next));
  return { now, fence, epochs, limits, outcomes };
}

/** Tells answers to requests with an id from the mode itself. */
const WITH_ID = 16;
const STATUSES = { "-1": "COLD", "-3": "REUSED", "-4": "MOVED", "-5": "FULL" } as const;
const REPLAYED = -2;

// Length, kind, holder, field, and what the kind needs; indexes count from 1.
function encodeLimit(args: Item[], holder: number, limit: HotLimit, slotsKey: () => number): void {
  const { kind, field, cap, windowMs } = limit;
  const soft = limit.soft ? 1 : 0;
  const strict = limit.strict ? 1 : 0;
  switch (kind) {
    case KIND.PERIOD:
      args.push(6, kind, holder + 1, field, limit.startAt, cap);
      return;
    case KIND.GAUGE:
      args.push(5, kind, holder + 1, field, cap);
      return;
    case KIND.GCRA:
      args.push(9, kind, holder + 1, field, windowMs, limit.amount, cap, soft, strict);
      return;
    case KIND.SLIDING:
      args.push(8, kind, holder + 1, field, windowMs, cap, soft, strict);
      return;
    case KIND.SLOTS:
      args.push(9, kind, holder + 1, field, cap, windowMs, slotsKey(), soft, strict);
      return;
    default:
      kind satisfies never;
  }
}

function encodeRun(args: Item[], run: HotRun, answerKey: (holder: number) => number): void {
  const { mode, answer, parts } = run;
  const isReservation = mode === MODE.HOLD || mode === MODE.RESOLVE;
  args.push(answer ? mode + WITH_ID : mode, isReservation ? `#${run.reservationId}` : run.count, parts.length);
  if (answer) {
    const key = answerKey(answer.holder);
    args.push(answer.holder + 1, key, key + 1, answer.id, answer.hash, answer.signature);
  }
  for (const part of parts) {
    const third = mode === MODE.RESOLVE ? part.spent : (part.slot ?? part.entry);
    args.push(part.limit + 1, part.amount, third ?? 0);
    if (isReservation || mode === MODE.RELEASE) args.push(part.epoch ?? 0, part.mark ?? 0);
  }
}

function decodeFacts(limit: HotLimit, next: () => number): HotFacts {
  switch (limit.kind) {
    case KIND.PERIOD:
    case KIND.GAUGE:
      return { mark: next(), grant: next(), base: next() as Amount, given: next(), rest: 0, before: 0 };
    case KIND.GCRA:
      return { mark: 0, grant: 0, base: 0, given: 0, rest: next(), before: 0 };
    case KIND.SLIDING:
      return { mark: next(), grant: 0, base: 0, given: 0, before: next(), rest: next() };
    case KIND.SLOTS:
      return { mark: 0, grant: 0, base: 0, given: 0, rest: 0, before: next() };
    default:
      return limit.kind satisfies never;
  }
}

function decodeRun(run: HotRun, next: () => number): HotOutcome {
  const first = next();
  if (first !== REPLAYED) return first < 0 ? { status: statusOf(first) } : decodeDecided(run, first, next);
  const [signature = 0, at = 0, ...stored] = Array.from({ length: next() }, next);
  // The answer was to other limits: its numbers mean nothing for these.
  if (signature !== run.answer?.signature) {
    return { status: "REPLAYED", fit: 1, capFit: 1, found: [], replay: { signature, at, bases: [] } };
  }
  let index = 0;
  const nextStored = () => stored[index++] as number;
  const outcome = decodeDecided(run, nextStored(), nextStored);
  const bases = run.parts.map(nextStored) as Amount[];
  return { ...outcome, status: "REPLAYED", replay: { signature, at, bases } };
}

function decodeDecided(run: HotRun, first: number, next: () => number) {
  const { mode, parts } = run;
  const isPlain = mode === MODE.RESOLVE || mode === MODE.RELEASE;
  const hasDone = isPlain || mode === MODE.BEST_EFFORT || mode === MODE.TAKE_GIVEN;
  const capFit = isPlain ? 1 : next();
  const found: HotFound[] = parts.map(() => ({ used: next(), held: next(), done: hasDone ? next() : 0 }));
  return { status: "DECIDED" as const, fit: first, capFit, found };
}

function statusOf(code: number) {
  const status = STATUSES[String(code) as keyof typeof STATUSES];
  if (!status) throw new Error(`the script answered ${code}`);
  return status;
}
