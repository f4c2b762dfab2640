import { DomainError, invalidField, notFound } from "../errors.ts";
import { tenantName } from "../tenant/tenant.ts";
import type { Commit, Reservation, ReservationCall } from "./checks.ts";
import type { Entry } from "./decision.ts";
import type { HeldPart } from "./kept.ts";

/** A reservation as Postgres has it; plain data that survives JSON. */
export interface ReservationRow {
  readonly tenantUid: string;
  readonly reservationId: string;
  readonly state: Reservation["state"];
  readonly entries: readonly Entry[];
  readonly parts: readonly HeldPart[];
  readonly late: boolean;
  readonly expiresAt: number;
  readonly requestId: string | null;
  readonly requestHash: string | null;
  readonly resolutionId: string | null;
  readonly resolutionHash: string | null;
  readonly applied: boolean;
}

/** What a verb does to a reservation, or why it may not. */
export interface Resolution {
  readonly row: ReservationRow;
  /** Nothing changes: it is the same request again, or the reservation has expired before it was cancelled. */
  readonly isRepeated: boolean;
  /** What the ledger must be told in the same transaction. */
  readonly admitted: readonly HeldPart[];
  /** What is counted as if it were used now: it had expired, and nothing of it was held any more. */
  readonly forced: readonly HeldPart[];
}

/** Commits a reservation, with the actual amounts where there are any. Throws RESERVATION_RESOLVED and INVALID_FIELDS. */
export function commitReservation(row: ReservationRow, call: Commit, now: number): Resolution {
  for (const [index, { meter }] of call.actualEntries.entries()) {
    if (row.entries.some((entry) => entry.meter === meter)) continue;
    throw invalidField(`actual_entries[${index}].meter`, "is none of the reservation");
  }
  if (isRepeated(row, call, "COMMITTED")) return { ...UNCHANGED, row };
  if (row.state !== "HELD" && row.state !== "EXPIRED") throw resolved(row, call);
  const spentOf = (entry: number) => {
    const { meter, amount } = row.entries[entry] as Entry;
    return call.actualEntries.find((actual) => actual.meter === meter)?.amount ?? amount;
  };
  const spent = row.parts.map((part) => ({ ...part, spent: spentOf(part.entry) }));
  // Of one that had expired nothing is held that could become use.
  const parts = row.state === "HELD" ? spent : row.parts;
  const late = row.state === "EXPIRED" || row.expiresAt <= now;
  // A period that is over takes what comes late into its ledger; one that runs counts it as used now.
  const isLedgers = ({ limit }: HeldPart) => row.state === "HELD" || (limit.window?.endAt ?? Infinity) <= now;
  return {
    row: { ...finish(row, call, "COMMITTED"), parts, late },
    isRepeated: false,
    admitted: spent.filter((part) => part.limit.isCounter && isLedgers(part)),
    forced: spent.filter((part) => !isLedgers(part)),
  };
}

/** Cancels a reservation; one that has expired stays so. Throws RESERVATION_RESOLVED. */
export function cancelReservation(row: ReservationRow, call: ReservationCall): Resolution {
  if (row.state === "EXPIRED" || isRepeated(row, call, "CANCELLED")) return { ...UNCHANGED, row };
  if (row.state !== "HELD") throw resolved(row, call);
  return { ...UNCHANGED, row: finish(row, call, "CANCELLED"), isRepeated: false };
}

/** Makes a reservation last longer. Throws RESERVATION_RESOLVED. */
export function extendReservation(row: ReservationRow, call: ReservationCall, ttlMs: number, now: number): Resolution {
  if (row.state !== "HELD" || row.expiresAt <= now) throw resolved(row, call);
  return { ...UNCHANGED, row: { ...row, expiresAt: now + ttlMs }, isRepeated: false };
}

/** Ends a reservation whose time has passed. */
export function expireReservation(row: ReservationRow): ReservationRow {
  return { ...row, state: "EXPIRED", applied: false };
}

/** A reservation as the edges know it. */
export function toReservation(tenantId: string, row: ReservationRow): Reservation {
  const { reservationId, entries, state, expiresAt, late } = row;
  return { tenantId, reservationId, entries, state, expiresAt, late };
}

/** Says that there is no such reservation, the same for one of another tenant. */
export function noReservation({ tenantId, reservationId }: ReservationCall): DomainError {
  return notFound("Reservation", `${tenantName(tenantId)}/reservations/${reservationId}`);
}

const UNCHANGED = { isRepeated: true, admitted: [], forced: [] } as const;

function finish(row: ReservationRow, { idempotency }: ReservationCall, state: Reservation["state"]): ReservationRow {
  return {
    ...row,
    state,
    applied: false,
    resolutionId: idempotency?.requestId ?? null,
    resolutionHash: idempotency?.hash ?? null,
  };
}

function isRepeated(row: ReservationRow, { idempotency }: ReservationCall, state: Reservation["state"]): boolean {
  if (row.state !== state || !idempotency || row.resolutionId !== idempotency.requestId) return false;
  if (row.resolutionHash === idempotency.hash) return true;
  throw new DomainError("REQUEST_ID_REUSED", `request id ${idempotency.requestId} was used with another request`, {
    requestId: idempotency.requestId,
  });
}

function resolved(row: ReservationRow, { tenantId, reservationId }: ReservationCall): DomainError {
  const name = `${tenantName(tenantId)}/reservations/${reservationId}`;
  const state = row.state === "HELD" ? "EXPIRED" : row.state;
  return new DomainError("RESERVATION_RESOLVED", `${name} is ${state}`, { reservation: name, state });
}
