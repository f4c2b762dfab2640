import type { HotBatch, HotHolder, HotLimit, HotPart, HotRun, Mode } from "../../../src/quota/hot/state.ts";
import { KIND } from "../../../src/quota/hot/state.ts";

/** A part of a run, with its limit and holder by themselves. */
export interface Ask extends Omit<HotPart, "limit"> {
  readonly holder: HotHolder;
  readonly limit: HotLimit;
}

/** A run, with its parts and the tenant of its request id by themselves. */
export interface AskRun {
  readonly mode: Mode;
  readonly parts: readonly Ask[];
  readonly count?: number;
  readonly id?: {
    readonly holder: HotHolder;
    readonly id: string;
    readonly hash?: string;
    readonly signature?: number;
  };
  readonly reservationId?: string;
}

/** Makes a batch of runs: names each holder and each limit once. */
export function batchOf(runs: readonly AskRun[]): HotBatch {
  const holders: HotHolder[] = [];
  const limits: { holder: number; limit: HotLimit }[] = [];
  const holderOf = (holder: HotHolder) => indexIn(holders, (known) => known.uid === holder.uid, holder);
  const limitOf = ({ holder, limit }: Ask) => {
    const index = holderOf(holder);
    return indexIn(limits, (known) => known.holder === index && known.limit.field === limit.field, {
      holder: index,
      limit,
    });
  };
  const built = runs.map((run): HotRun => {
    const parts = run.parts.map(({ holder, limit, ...part }) => ({
      ...part,
      limit: limitOf({ holder, limit, ...part }),
    }));
    const { id, reservationId } = run;
    return {
      mode: run.mode,
      count: run.count ?? 1,
      parts,
      ...(reservationId === undefined ? {} : { reservationId }),
      ...(id
        ? { answer: { holder: holderOf(id.holder), id: id.id, hash: id.hash ?? "h", signature: id.signature ?? 7 } }
        : {}),
    };
  });
  return { holders, limits, runs: built };
}

function indexIn<T>(list: T[], matches: (item: T) => boolean, item: T): number {
  const found = list.findIndex(matches);
  return found >= 0 ? found : list.push(item) - 1;
}

const COMMON = { startAt: 0, windowMs: 1_000, amount: 0, soft: false, strict: true };

/** Limits of each kind; the field tells them apart. */
export const period = (cap: number | string, startAt = 1_000, field = "p"): HotLimit => ({
  ...COMMON,
  kind: KIND.PERIOD,
  field,
  cap,
  startAt,
});
export const gauge = (cap: number | string, field = "g"): HotLimit => ({ ...COMMON, kind: KIND.GAUGE, field, cap });
export const gcra = (cap: number, amount = cap, windowMs = 60_000, rest: Partial<HotLimit> = {}): HotLimit => ({
  ...COMMON,
  kind: KIND.GCRA,
  field: "r",
  cap,
  amount,
  windowMs,
  ...rest,
});
export const sliding = (cap: number, windowMs = 60_000, rest: Partial<HotLimit> = {}): HotLimit => ({
  ...COMMON,
  kind: KIND.SLIDING,
  field: "w",
  cap,
  windowMs,
  ...rest,
});
export const slots = (cap: number, windowMs = 60_000, rest: Partial<HotLimit> = {}): HotLimit => ({
  ...COMMON,
  kind: KIND.SLOTS,
  field: "s",
  cap,
  windowMs,
  ...rest,
});
