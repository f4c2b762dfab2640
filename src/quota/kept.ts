import type { Limit } from "../limit.ts";
import type { EffectiveLimit, Window } from "./effective.ts";
import { isCounter, type Judged } from "./seen.ts";

/** What is held of a limit, in which count, and of a committed reservation what was spent. Plain data that survives JSON. */
export interface HeldPart {
  readonly entry: number;
  readonly amount: number;
  readonly spent: number;
  readonly epoch: number;
  readonly mark: number;
  readonly limit: KeptLimit;
}

/** A limit as it was when it was kept, and the root that its count is kept under. */
export interface KeptLimit {
  readonly holder: EffectiveLimit["holder"];
  readonly rootUid: string;
  readonly limit: Limit;
  readonly amount: string;
  readonly cap: string;
  readonly window: Window | null;
  readonly isCounter: boolean;
  readonly field: string;
}

/** Keeps an amount of a limit with the count that it was seen in. */
export function keepPart({ part, facts, epoch }: Judged, amount = part.amount): HeldPart {
  const { effective, hot, account } = part.limit;
  const { holder, limit, cap, window } = effective;
  const counts = isCounter(hot);
  return {
    entry: part.entry,
    amount,
    spent: 0,
    epoch,
    mark: counts ? facts.mark : 0,
    limit: {
      holder,
      rootUid: account.holder.rootUid,
      limit,
      amount: String(effective.amount),
      cap: String(cap),
      window: window ?? null,
      isCounter: counts,
      field: hot.field,
    },
  };
}
