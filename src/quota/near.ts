import type { LimitState } from "./decision.ts";

/** A tenant's limit, and how much of its amount is used, in percent. */
export interface NearLimit {
  readonly tenantId: string;
  readonly state: LimitState;
  readonly usedPercent: number;
}

/** How much of the amount is used, in percent with two decimals, cut; of nothing, a hundred for each unit. */
export function usedPercent({ effective, used }: LimitState): number {
  const amount = effective.amount > 0n ? effective.amount : 1n;
  return Number((used * 10_000n) / amount) / 100;
}

/** The fullest first; among equals by tenant and limit. */
export function compareNear(a: NearPosition, b: NearPosition): number {
  return b.usedPercent - a.usedPercent || compareText(a.tenantId, b.tenantId) || compareText(a.limitId, b.limitId);
}

/** Where a limit stands in the order. */
export interface NearPosition {
  readonly usedPercent: number;
  readonly tenantId: string;
  readonly limitId: string;
}

/** The place of a limit in the order. */
export function positionOf({ usedPercent: percent, tenantId, state }: NearLimit): NearPosition {
  return { usedPercent: percent, tenantId, limitId: state.effective.limit.limitId };
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
