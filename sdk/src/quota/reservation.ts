import type { Client } from "@connectrpc/connect";
import type { LimitState } from "../gen/tenantplane/v1/quota_check_pb.ts";
import type { QuotaService } from "../gen/tenantplane/v1/quota_pb.ts";
import { durationOf } from "./duration.ts";
import { type QuotaResult, resultOf, unanswered } from "./result.ts";
import { amountsOf, entriesOf, type QuotaUse } from "./use.ts";

/** What makes and resolves reservations. */
export type ReservationCalls = Pick<
  Client<typeof QuotaService>,
  "reserveQuota" | "commitReservation" | "cancelReservation" | "extendReservation"
>;

/** How amounts are set aside. */
export interface ReserveOptions {
  /** For how long: 1 s to 24 h; 60 s by default. */
  readonly ttlMs?: number;
  /** Makes the same question again the same reservation. */
  readonly requestId?: string;
}

/** What became of the question: there is a reservation when the result is ALLOW. */
export interface Reserved {
  readonly result: QuotaResult;
  readonly reservation: Reservation | undefined;
}

/** Amounts set aside. Each is resolved once: committed, cancelled, or over by itself. */
export interface Reservation {
  readonly name: string;
  /** Turns it into use, of the reserved amounts or of the actual ones. After it has expired it still counts, `late`. */
  commit(actual?: QuotaUse): Promise<{ readonly late: boolean; readonly limits: readonly LimitState[] }>;
  /** Gives it back. */
  cancel(): Promise<void>;
  /** Makes it last `ttlMs` from now. */
  extend(ttlMs: number): Promise<void>;
}

/** Asks for a reservation. */
export async function reserveQuota(
  calls: ReservationCalls,
  tenant: string,
  use: QuotaUse,
  { ttlMs, requestId = crypto.randomUUID() }: ReserveOptions = {},
): Promise<Reserved> {
  const ttl = ttlMs === undefined ? {} : { ttl: durationOf(ttlMs) };
  const answer = await calls.reserveQuota({ parent: tenant, entries: entriesOf(amountsOf(use)), requestId, ...ttl });
  const result = answer.decision ? resultOf(answer.decision, requestId) : unanswered(requestId);
  const name = answer.reservation?.name;
  return { result, reservation: name === undefined ? undefined : reservationOf(calls, name) };
}

function reservationOf(calls: ReservationCalls, name: string): Reservation {
  return {
    name,
    async commit(actual) {
      const actualEntries = actual === undefined ? [] : entriesOf(amountsOf(actual));
      const { reservation, decision } = await calls.commitReservation({ name, actualEntries });
      return { late: reservation?.late ?? false, limits: decision?.limits ?? [] };
    },
    async cancel() {
      await calls.cancelReservation({ name });
    },
    async extend(ttlMs) {
      await calls.extendReservation({ name, ttl: durationOf(ttlMs) });
    },
  };
}
