import { isoTime } from "../audit/view.ts";

/** An extra amount, given once, as plain data; amounts are decimal texts. */
export interface QuotaGrant {
  readonly uid: string;
  readonly tenantUid: string;
  readonly tenantId: string;
  readonly grantId: string;
  readonly limitId: string;
  readonly amount: string;
  /** What of it can be used in all: the amount, until the grant ends; then what the use had reached of it. */
  readonly usableAmount: string;
  /** What of it was used up in the periods that are over. */
  readonly usedAmount: string;
  readonly priority: number;
  readonly startsAt: number;
  readonly expiresAt: number | null;
  readonly voidedAt: number | null;
  /** It was voided, or its time has passed and that is on record. */
  readonly ended: boolean;
  readonly reason: string;
  readonly creator: string;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A tenant's limit in the period that runs, or that has ended and is not settled yet. */
export interface QuotaPeriod {
  readonly tenantUid: string;
  readonly tenantId: string;
  readonly limitId: string;
  readonly windowId: string;
  readonly startsAt: number;
  readonly endsAt: number;
  /** The limit's own amount, in case its rule changes before the period's end. */
  readonly baseAmount: string;
  /** What the period before left to this one. */
  readonly rolloverAmount: string;
  readonly revision: number;
}

/** The name of a grant. */
export function grantName(grant: Pick<QuotaGrant, "tenantId" | "grantId">): string {
  return `tenants/${grant.tenantId}/quotaGrants/${grant.grantId}`;
}

/** The name under which the log keeps a limit's periods. */
export function periodName(period: Pick<QuotaPeriod, "tenantId" | "limitId">): string {
  return `tenants/${period.tenantId}/quotaPeriods/${period.limitId}`;
}

/** What can still be used of a grant. */
export function leftOf(grant: Pick<QuotaGrant, "usableAmount" | "usedAmount">): bigint {
  return BigInt(grant.usableAmount) - BigInt(grant.usedAmount);
}

/** True when a grant has nothing left to give, now and later. */
export function isOver(grant: Pick<QuotaGrant, "usableAmount" | "usedAmount">): boolean {
  return leftOf(grant) <= 0n;
}

/**
 * True while a grant counts: it has begun, and it has not expired. One that ended within the running period counts with what
 * the use had reached of it; one whose expiry is not on record yet does not count until it is.
 */
export function counts(grant: QuotaGrant, now: number): boolean {
  if (grant.startsAt > now || isOver(grant)) return false;
  return grant.ended || grant.expiresAt === null || grant.expiresAt > now;
}

/** Grants in the order in which they are used up: by priority, then the one that expires first, then the older one. */
export function inBurnOrder<G extends Pick<QuotaGrant, "priority" | "expiresAt" | "createdAt" | "grantId">>(
  grants: readonly G[],
): G[] {
  const end = ({ expiresAt }: G) => expiresAt ?? Number.MAX_SAFE_INTEGER;
  return [...grants].sort(
    (a, b) =>
      a.priority - b.priority || end(a) - end(b) || a.createdAt - b.createdAt || (a.grantId < b.grantId ? -1 : 1),
  );
}

/** A limit's own part of a period, and what was used in it. */
export interface PeriodUse {
  /** The amount of the plan or the override. */
  readonly base: bigint;
  readonly rollover: bigint;
  readonly used: bigint;
}

/** How much of each grant the use of a period has reached: first the limit's own amount is used, then one grant after the other. */
export function reachOf<G extends QuotaGrant>(use: PeriodUse, grants: readonly G[]): { grant: G; reached: bigint }[] {
  let beyond = clampLow(use.used - use.base - use.rollover);
  return inBurnOrder(grants).map((grant) => {
    const reached = min(beyond, clampLow(leftOf(grant)));
    beyond -= reached;
    return { grant, reached };
  });
}

/** What a period leaves to the next one: of the limit's own amount, never of grants, which go on by themselves. */
export function rolloverOf(use: PeriodUse, rolloverMax: bigint): bigint {
  return min(clampLow(use.base + use.rollover - use.used), rolloverMax);
}

/** A grant as the audit log tells of it. */
export function auditView(grant: QuotaGrant): Record<string, unknown> {
  return {
    name: grantName(grant),
    limit_id: grant.limitId,
    amount: grant.amount,
    used_amount: grant.usedAmount,
    usable_amount: grant.usableAmount,
    priority: grant.priority,
    start_time: isoTime(grant.startsAt),
    expire_time: isoTime(grant.expiresAt),
    void_time: isoTime(grant.voidedAt),
    reason: grant.reason,
    creator: grant.creator,
  };
}

/** A period as the audit log tells of it. */
export function periodAuditView(period: QuotaPeriod): Record<string, unknown> {
  const { limitId, windowId, baseAmount, rolloverAmount } = period;
  return {
    name: periodName(period),
    limit_id: limitId,
    window: windowId,
    base_amount: baseAmount,
    rollover_amount: rolloverAmount,
  };
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function clampLow(amount: bigint): bigint {
  return amount > 0n ? amount : 0n;
}
