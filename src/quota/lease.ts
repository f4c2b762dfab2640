import { DomainError, invalidField, notFound } from "../errors.ts";
import { tenantName } from "../tenant/tenant.ts";
import type { Lease, LeaseCall } from "./checks.ts";
import type { HeldPart } from "./kept.ts";

/** A lease as Postgres has it. */
export interface LeaseRow {
  readonly tenantUid: string;
  readonly leaseId: string;
  /** LAPSED: the client is gone, and what it has not reported stays counted. RECLAIMED: it was taken back. */
  readonly state: "ACTIVE" | "RETURNED" | "LAPSED" | "RECLAIMED";
  readonly meter: string;
  /** What was taken of each limit, and of which count. */
  readonly parts: readonly HeldPart[];
  /** All that the client may ever spend of it; what it has not spent is still in the counts of the parts. */
  readonly amount: number;
  readonly spent: number;
  readonly ttlMs: number;
  readonly version: string;
  readonly expiresAt: number;
  readonly requestId: string | null;
  readonly requestHash: string | null;
  readonly revision: number;
}

/** A client renews at half of the time: there is time for another try before it must stop. */
const REFRESH_SHARE = 2;
/** A client that stops in time by its own clock has stopped long before a lease lapses by ours. */
export const LAPSE_GRACE_MS = 5_000;
/** Half of what is left: other clients find something too, and a client that vanishes takes no more with it. */
const SHARE = 2;

/** How much of what is left one client gets. */
export function leaseAmount(wanted: number, left: number): number {
  return Math.min(wanted, Math.max(1, Math.ceil(left / SHARE)));
}

/** What a client reports as spent, taken with what it reported before. Throws INVALID_FIELDS. */
export function reportedSpent(row: LeaseRow, { spentAmount }: LeaseCall): number {
  if (spentAmount > row.amount) throw invalidField("spent_amount", `must be at most the lease's amount, ${row.amount}`);
  return Math.max(row.spent, spentAmount);
}

/** Whether what was not reported of a lost lease may still have been spent: then it stays counted. */
export function isStrict({ parts }: LeaseRow): boolean {
  return parts.some(({ limit }) => limit.limit.mode === "HARD");
}

/** A lease as the edges know it. */
export function toLease(tenantId: string, row: LeaseRow): Lease {
  const { leaseId, meter, amount, spent, ttlMs, version } = row;
  const refreshAfterMs = Math.floor(ttlMs / REFRESH_SHARE);
  return { tenantId, leaseId, meter, amount, spentAmount: spent, ttlMs, refreshAfterMs, version };
}

/** Says that there is no such lease, the same for one of another tenant. */
export function noLease({ tenantId, leaseId }: Pick<LeaseCall, "tenantId" | "leaseId">): DomainError {
  return notFound("Lease", `${tenantName(tenantId)}/leases/${leaseId}`);
}

/** Says that the lease is over. */
export function leaseEnded({ tenantId, leaseId }: Pick<LeaseCall, "tenantId" | "leaseId">): DomainError {
  const name = `${tenantName(tenantId)}/leases/${leaseId}`;
  return new DomainError("LEASE_ENDED", `${name} was returned or has expired: acquire a new one`, { lease: name });
}
