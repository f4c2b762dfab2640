import type { Limit, LimitRule } from "../limit.ts";
import { isOver, type PeriodUse, type QuotaGrant, type QuotaPeriod, reachOf, rolloverOf } from "./grant.ts";
import { overrideOf, type QuotaOverride } from "./override.ts";
import { isWindowOf, type PeriodOrigin, windowAt } from "./period.ts";

/** What a period is settled with. */
export interface Settlement {
  readonly period: QuotaPeriod;
  /** The last instant that counts: the period's last one, or now. */
  readonly at: number;
  /** The limit as it stood then; undefined when the tenant had it no more. */
  readonly limit: Limit | undefined;
  readonly used: bigint;
  /** The grants of the limit that have some left. */
  readonly grants: readonly QuotaGrant[];
}

/** The limit of an id as it stood at an instant: the newest override's in force, or the plan's. */
export function limitAsOf(
  plan: { readonly limits: readonly Limit[] },
  overrides: readonly QuotaOverride[],
  limitId: string,
  at: number,
): Limit | undefined {
  const made = overrides.filter(({ createdAt }) => createdAt <= at);
  return overrideOf(made, limitId, at)?.limit ?? plan.limits.find((limit) => limit.limitId === limitId);
}

/** The rule by which a limit counts a period on record; undefined when it counts by another one, or not at all. */
export function ruleOf(period: QuotaPeriod, limit: Limit | undefined): PeriodLimitRule | undefined {
  const rule = limit?.rule;
  return rule?.kind === "PERIOD" && isWindowOf(rule, period.windowId) ? rule : undefined;
}

type PeriodLimitRule = Extract<LimitRule, { kind: "PERIOD" }>;

/**
 * Settles a period that is over: grants are debited in their order with what was used beyond the limit's own amount, and what
 * is left of that amount rolls over as far as the limit lets it. Answers the grants that change, before and after.
 */
export function settle(settlement: Settlement): {
  rollover: bigint;
  grants: { before: QuotaGrant; after: QuotaGrant }[];
} {
  const { period, limit } = settlement;
  const use = useOf(settlement);
  const debits = reachOf(use, grantsIn(settlement)).map(({ grant, reached }) => {
    const usedAmount = String(BigInt(grant.usedAmount) + reached);
    const over = grant.ended || (grant.expiresAt !== null && grant.expiresAt <= period.endsAt);
    const after = over ? { ...grant, usedAmount, usableAmount: usedAmount, ended: true } : { ...grant, usedAmount };
    return { before: grant, after };
  });
  return {
    rollover: rolloverOf(use, BigInt(ruleOf(period, limit)?.rolloverMax ?? "0")),
    grants: debits.filter(({ before, after }) => after.ended || after.usedAmount !== before.usedAmount),
  };
}

/** What of a grant can still be used when it ends before its limit's period does: what the use has reached of it. */
export function usableAtEnd(settlement: Settlement | undefined, grant: QuotaGrant): string {
  const reach = settlement ? reachOf(useOf(settlement), grantsIn(settlement)) : [];
  const reached = reach.find((row) => row.grant.grantId === grant.grantId)?.reached ?? 0n;
  return String(BigInt(grant.usedAmount) + reached);
}

/** The period of a limit that runs at an instant; undefined when it has none to settle at its end. */
export function runningPeriod(
  tenant: PeriodOrigin & { readonly uid: string; readonly tenantId: string },
  limit: Limit | undefined,
  hasGrants: boolean,
  at: number,
): QuotaPeriod | undefined {
  if (limit?.rule.kind !== "PERIOD" || (limit.rule.rolloverMax === "0" && !hasGrants)) return undefined;
  const { id, startAt, endAt } = windowAt(limit.rule, tenant, at);
  return {
    tenantUid: tenant.uid,
    tenantId: tenant.tenantId,
    limitId: limit.limitId,
    windowId: id,
    startsAt: startAt,
    endsAt: endAt,
    baseAmount: limit.amount,
    rolloverAmount: "0",
    revision: 1,
  };
}

// A new amount applies to the whole period; a new rule ends it, and up to then it counts as it was.
function useOf({ period, limit, used }: Settlement): PeriodUse {
  const base = ruleOf(period, limit) ? limit?.amount : period.baseAmount;
  return { base: BigInt(base ?? "0"), rollover: BigInt(period.rolloverAmount), used };
}

function grantsIn({ grants, at }: Settlement): QuotaGrant[] {
  return grants.filter((grant) => grant.startsAt <= at && !isOver(grant));
}
