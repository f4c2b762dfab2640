import type { DomainError } from "../errors.ts";
import type { Check, Decision, Entry, LimitState } from "./decision.ts";
import type { EffectiveLimit } from "./effective.ts";

/**
 * Deciding and counting what tenants use: what the edges of the hot path work with. Inputs are parsed and permitted; what
 * only the limits can tell (an unknown meter, a wrong kind) is refused here with INVALID_FIELDS on the field's path.
 */
export interface QuotaChecks {
  /** Decides each check by itself; results are in their order. Checks of one event-loop turn travel together. */
  check(checks: readonly Check[]): Promise<readonly (Decision | DomainError)[]>;
  /** Gives back what was used of gauges, and slots. Throws INVALID_FIELDS and REQUEST_ID_REUSED. */
  release(input: Release): Promise<Decision>;
  /** Sets what is in use of a gauge. Throws INVALID_FIELDS and REQUEST_ID_REUSED. */
  setGauge(input: Observation): Promise<Decision>;
  /** Sets amounts aside. Throws INVALID_FIELDS and REQUEST_ID_REUSED. */
  reserve(input: NewReservation): Promise<{ decision: Decision; reservation: Reservation | undefined }>;
  /** Turns a reservation into use. Throws RESOURCE_NOT_FOUND, RESERVATION_RESOLVED and INVALID_FIELDS. */
  commit(input: Commit): Promise<{ decision: Decision; reservation: Reservation }>;
  /** Gives a reservation back; one that has expired stays so. Throws RESOURCE_NOT_FOUND and RESERVATION_RESOLVED. */
  cancel(input: ReservationCall): Promise<Reservation>;
  /** Makes a reservation last longer. Throws RESOURCE_NOT_FOUND and RESERVATION_RESOLVED. */
  extend(input: ReservationCall & { readonly ttlMs: number }): Promise<Reservation>;
  /** Takes an amount to spend locally, as much of it as there is. Throws INVALID_FIELDS and REQUEST_ID_REUSED. */
  acquireLease(input: NewLease): Promise<{ decision: Decision; lease: Lease | undefined }>;
  /** Reports what was spent and asks for more. Throws RESOURCE_NOT_FOUND, LEASE_ENDED and INVALID_FIELDS. */
  renewLease(input: LeaseRenewal): Promise<{ decision: Decision; lease: Lease }>;
  /** Reports what was spent and gives the rest back; answers how much. Throws RESOURCE_NOT_FOUND and INVALID_FIELDS. */
  returnLease(input: LeaseCall): Promise<number>;
  /** The limits of a tenant as they stand, of these meters or of all. */
  read(tenantId: string, meters: readonly string[]): Promise<readonly LimitState[]>;
}

/** A request's id and the hash of all of it. */
export type Idempotency = Check["idempotency"];

/** Gives back uses: entries of kind GAUGE, or of kind CONCURRENCY with their slot. */
export interface Release {
  readonly tenantId: string;
  readonly entries: readonly Entry[];
  readonly idempotency: Idempotency;
}

/** What is really in use of a gauge. */
export interface Observation {
  readonly tenantId: string;
  readonly meter: string;
  readonly used: bigint;
  /** When it was observed; the server's time when undefined. */
  readonly observedAt: number | undefined;
  readonly idempotency: Idempotency;
}

/** Amounts set aside until they are committed, cancelled or expire. */
export interface Reservation {
  readonly tenantId: string;
  readonly reservationId: string;
  readonly entries: readonly Entry[];
  readonly state: "HELD" | "COMMITTED" | "CANCELLED" | "EXPIRED";
  readonly expiresAt: number;
  /** It was committed after it had expired. */
  readonly late: boolean;
}

/** Asks to set amounts aside. */
export interface NewReservation {
  readonly tenantId: string;
  readonly entries: readonly Entry[];
  readonly ttlMs: number;
  readonly idempotency: Idempotency;
}

/** Names a reservation. */
export interface ReservationCall {
  readonly tenantId: string;
  readonly reservationId: string;
  readonly idempotency: Idempotency;
}

/** Commits the reserved amounts, or the actual ones when there are any. */
export interface Commit extends ReservationCall {
  readonly actualEntries: readonly Entry[];
}

/** An amount that a client may spend by itself. */
export interface Lease {
  readonly tenantId: string;
  readonly leaseId: string;
  readonly meter: string;
  readonly amount: number;
  readonly spentAmount: number;
  readonly ttlMs: number;
  readonly refreshAfterMs: number;
  /** The version of the limits that it was given under. */
  readonly version: string;
}

/** Asks for an amount to spend locally. */
export interface NewLease {
  readonly tenantId: string;
  readonly meter: string;
  readonly wantedAmount: number;
  readonly ttlMs: number;
  readonly idempotency: Idempotency;
}

/** Reports on a lease: all that was ever spent of it. */
export interface LeaseCall {
  readonly tenantId: string;
  readonly leaseId: string;
  readonly spentAmount: number;
}

/** Reports on a lease and asks for as much to be left. */
export interface LeaseRenewal extends LeaseCall {
  readonly wantedAmount: number;
  /** As before when undefined. */
  readonly ttlMs: number | undefined;
}

/** A check took a limit past a percentage at which a warning is due. */
export interface Crossing {
  readonly effective: EffectiveLimit;
  readonly percent: number;
  readonly used: bigint;
}
