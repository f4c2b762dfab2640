import { DomainError } from "../errors.ts";
import type { Clock, Ids } from "../platform/clock.ts";
import { type Checker, inactive, LISTED } from "./check-service.ts";
import type { Commit, NewReservation, Reservation, ReservationCall } from "./checks.ts";
import type { Decider } from "./decide-service.ts";
import type { Decision, Entry } from "./decision.ts";
import type { TenantQuotas } from "./effective.ts";
import { undecided } from "./fallback.ts";
import { MODE } from "./hot/state.ts";
import { type HeldPart, keepPart } from "./kept.ts";
import type { Part, Preparer } from "./prepare.ts";
import {
  cancelReservation,
  commitReservation,
  extendReservation,
  noReservation,
  type ReservationRow,
  toReservation,
} from "./reservation.ts";
import type { ReservationBook } from "./reservation-book-service.ts";

export interface ReservationDeps {
  readonly checker: Checker;
  readonly decider: Decider;
  readonly preparer: Preparer;
  readonly book: ReservationBook;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly onError: (error: unknown) => void;
}

/** The verbs of reservations; see QuotaChecks for what they throw. */
export interface Reservations {
  reserve(input: NewReservation): Promise<{ decision: Decision; reservation: Reservation | undefined }>;
  commit(input: Commit): Promise<{ decision: Decision; reservation: Reservation }>;
  cancel(input: ReservationCall): Promise<Reservation>;
  extend(input: ReservationCall & { readonly ttlMs: number }): Promise<Reservation>;
  /** Ends those whose time has passed, and tells the hot state what it may have missed; answers how many. */
  sweep(limit: number): Promise<number>;
}

/** An epoch or a period may end between two looks; three times in a row it does not. */
const TRIES_MAX = 3;

/**
 * Makes the verbs. A reservation is written down in Postgres before it is held in the hot state, and resolved there before
 * it is in the hot state: whatever is lost between two steps, Postgres knows what is held, and what became of it.
 */
export function createReservations(deps: ReservationDeps): Reservations {
  const { checker, book, clock } = deps;
  const keyOf = ({ tenantId, reservationId }: ReservationCall) => ({
    tenantUid: checker.quotas(tenantId).tenantUid,
    reservationId,
  });
  return {
    async reserve(input) {
      const quotas = checker.quotas(input.tenantId);
      if (quotas.state !== "ACTIVE") return { decision: inactive(quotas, input.entries), reservation: undefined };
      const known = input.idempotency && (await book.find(quotas.tenantUid, input.idempotency.requestId));
      if (known) return repeat(deps, quotas, input, known);
      for (let tries = 0; tries < TRIES_MAX; tries += 1) {
        const result = await tryReserve(deps, quotas, input);
        if (result) return result;
      }
      return { decision: unknown(quotas, input.entries), reservation: undefined };
    },
    async commit(input) {
      const quotas = checker.quotas(input.tenantId);
      const result = await book.change(keyOf(input), (row) => commitReservation(row, input, clock.now()));
      if (!result) throw noReservation(input);
      if (!result.isRepeated) {
        await force(deps, quotas, result.row, result.forced);
        await apply(deps, result.row).catch(deps.onError);
      }
      const decision = await standing(deps, quotas, result.row.entries);
      return { decision, reservation: toReservation(input.tenantId, result.row) };
    },
    async cancel(input) {
      const result = await book.change(keyOf(input), (row) => cancelReservation(row, input));
      if (!result) throw noReservation(input);
      if (!result.isRepeated) await apply(deps, result.row).catch(deps.onError);
      return toReservation(input.tenantId, result.row);
    },
    async extend(input) {
      const result = await book.change(keyOf(input), (row) => extendReservation(row, input, input.ttlMs, clock.now()));
      if (!result) throw noReservation(input);
      return toReservation(input.tenantId, result.row);
    },
    async sweep(limit) {
      const ended = await book.expire(clock.now(), limit);
      const missed = await book.unapplied(limit);
      await Promise.all([...ended, ...missed].map((row) => apply(deps, row).catch(deps.onError)));
      return ended.length + missed.length;
    },
  };
}

// Looks first: the look tells the epochs and periods that are written down, and spares Postgres what is refused anyway.
// Undefined when they changed before the amounts were held.
async function tryReserve(deps: ReservationDeps, quotas: TenantQuotas, input: NewReservation) {
  const { checker, book, clock } = deps;
  const { entries, idempotency } = input;
  const look = await checker.ask(quotas, {
    entries,
    path: LISTED,
    kinds: "HOLDABLE",
    mode: MODE.CHECK_ONLY,
    isStateful: true,
    idempotency: undefined,
  });
  const { verdict, parts } = look;
  if (look.decision.outcome !== "ALLOW") return { decision: look.decision, reservation: undefined };
  const row: ReservationRow = {
    tenantUid: quotas.tenantUid,
    reservationId: deps.ids.uuid(),
    state: "HELD",
    entries,
    parts: verdict && "judged" in verdict ? verdict.judged.map((one) => keepPart(one)) : [],
    late: false,
    expiresAt: clock.now() + input.ttlMs,
    requestId: idempotency?.requestId ?? null,
    requestHash: idempotency?.hash ?? null,
    resolutionId: null,
    resolutionHash: null,
    applied: true,
  };
  // Another call of the same request was faster: the next try finds what it made.
  if (!(await book.write(row))) {
    const made = await book.find(row.tenantUid, row.requestId ?? "");
    return made && repeat(deps, quotas, input, made);
  }
  if (parts.length === 0) return { decision: look.decision, reservation: toReservation(input.tenantId, row) };
  const held = await checker.ask(quotas, {
    entries,
    path: LISTED,
    kinds: "HOLDABLE",
    mode: MODE.HOLD,
    isStateful: true,
    idempotency: undefined,
    reservationId: row.reservationId,
    refs: row.parts.map(({ epoch, mark }) => ({ epoch, mark, spent: 0 })),
  });
  if (held.decision.outcome === "ALLOW") {
    return { decision: held.decision, reservation: toReservation(input.tenantId, row) };
  }
  if (held.verdict?.status === "UNAVAILABLE") {
    // Whether it is held is unknown: it is given up, and the sweep tells the hot state.
    const call = { tenantId: input.tenantId, reservationId: row.reservationId, idempotency: undefined };
    await book.change(row, (known) => cancelReservation(known, call));
    return { decision: held.decision, reservation: undefined };
  }
  await book.remove(row);
  return held.verdict?.status === "MOVED" ? undefined : { decision: held.decision, reservation: undefined };
}

// The same request again: what it made, as it stands.
async function repeat(deps: ReservationDeps, quotas: TenantQuotas, input: NewReservation, row: ReservationRow) {
  const requestId = input.idempotency?.requestId ?? "";
  if (row.requestHash !== input.idempotency?.hash) {
    throw new DomainError("REQUEST_ID_REUSED", `request id ${requestId} was used with another request`, { requestId });
  }
  const decision = { ...(await standing(deps, quotas, row.entries)), replayed: true };
  return { decision, reservation: toReservation(input.tenantId, row) };
}

// Tells the hot state what became of a reservation. It hears it once: a second time it knows of none.
async function apply({ decider, preparer, book }: ReservationDeps, row: ReservationRow): Promise<void> {
  const parts = row.parts.map((part) => toPart(preparer, part));
  const rootUid = parts[0]?.limit.account.holder.rootUid ?? row.tenantUid;
  const refs = row.parts.map(({ epoch, mark, spent }) => ({ epoch, mark, spent }));
  if (parts.length > 0) {
    const { reservationId } = row;
    const verdict = await decider.decide({ rootUid, mode: MODE.RESOLVE, parts, refs, reservationId });
    if (verdict.status === "UNAVAILABLE") return;
  }
  await book.applied(row);
}

// Counts a use that was told of when nothing of it was held any more; once, by the reservation's own id.
async function force(
  { decider, preparer }: ReservationDeps,
  quotas: TenantQuotas,
  row: ReservationRow,
  forced: readonly HeldPart[],
): Promise<void> {
  const parts = forced
    .filter(({ spent }) => spent > 0)
    .map((part) => ({ ...toPart(preparer, part), amount: part.spent }));
  if (parts.length === 0) return;
  const holder = preparer.tenantOf(quotas);
  const answer = { holder, id: row.reservationId, hash: "late", signature: 0 };
  await decider.decide({ rootUid: quotas.rootUid, mode: MODE.FORCE, parts, answer });
}

// The limits of some entries as they stand; what happened is not refused by them.
async function standing(
  { checker }: ReservationDeps,
  quotas: TenantQuotas,
  entries: readonly Entry[],
): Promise<Decision> {
  const { decision } = await checker.ask(quotas, {
    entries: entries.map((entry) => ({ ...entry, amount: 0 })),
    path: LISTED,
    kinds: "ANY",
    mode: MODE.CHECK_ONLY,
    idempotency: undefined,
  });
  const admittedAmounts = entries.map(({ amount }) => amount);
  return { ...decision, outcome: "ALLOW", reason: undefined, retryAfterMs: undefined, admittedAmounts };
}

function toPart(preparer: Preparer, { limit, entry, amount }: HeldPart): Part {
  return { limit: preparer.kept(limit), amount, entry, slot: "" };
}

function unknown(quotas: TenantQuotas, entries: readonly Entry[]): Decision {
  const nothing = { admittedAmounts: entries.map(() => 0), slots: entries.map(() => "") };
  return undecided({ ...nothing, tenantEpoch: quotas.epoch });
}
