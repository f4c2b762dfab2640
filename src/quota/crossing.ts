import { KIND } from "./hot/state.ts";
import { amountOf } from "./judge.ts";
import type { Judged } from "./seen.ts";

/** The percentages at which a warning is due that an addition has crossed. Rates come and go too fast for warnings. */
export function crossings({ part, facts, found, before, added }: Judged): { percent: number; used: bigint }[] {
  const { warningPercents } = part.limit.effective.limit;
  if (warningPercents.length === 0 || added <= 0) return [];
  const { kind } = part.limit.hot;
  if (kind === KIND.GCRA || kind === KIND.SLIDING) return [];
  const from = BigInt(facts.base) + BigInt(found.used + before);
  const to = from + BigInt(added);
  const amount = amountOf(part.limit);
  return warningPercents
    .filter((percent) => from * 100n < amount * BigInt(percent) && to * 100n >= amount * BigInt(percent))
    .map((percent) => ({ percent, used: to }));
}
