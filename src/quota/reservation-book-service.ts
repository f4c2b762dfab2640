import { DomainError } from "../errors.ts";
import { createBatcher } from "../platform/batcher.ts";
import { PLATFORM_SCOPE, type Sql, type Tx, writeAs } from "../platform/postgres.ts";
import { addAdmissions } from "./ledger-store.ts";
import { expireReservation, type ReservationRow, type Resolution } from "./reservation.ts";
import {
  deleteHolds,
  deleteReservations,
  insertReservations,
  lockExpired,
  lockReservations,
  markApplied,
  type ReservationKey,
  selectByRequests,
  selectUnapplied,
  updateReservations,
} from "./reservation-store.ts";

/** Reservations as Postgres has them. What is asked within one turn of the event loop is one transaction. */
export interface ReservationBook {
  /** The reservation that a request made before, or undefined. */
  find(tenantUid: string, requestId: string): Promise<ReservationRow | undefined>;
  /** Writes a reservation down; false when its request has made one already. */
  write(row: ReservationRow): Promise<boolean>;
  /** Removes one that was written down and not admitted. */
  remove(key: ReservationKey): Promise<unknown>;
  /** Does something to a reservation that is under lock; undefined when there is none. Rejects with what `verb` throws. */
  change(key: ReservationKey, verb: (row: ReservationRow) => Resolution): Promise<Resolution | undefined>;
  /** Takes down that the hot state has heard what became of one. */
  applied(key: ReservationKey): Promise<unknown>;
  /** Ends reservations whose time has passed; answers them. */
  expire(now: number, limit: number): Promise<ReservationRow[]>;
  /** Reservations that ended a while ago, of which the hot state may not have heard. */
  unapplied(limit: number): Promise<ReservationRow[]>;
}

/** Reservations of one transaction. */
const BATCH_MAX = 500;
/** Two: while one commits the next is filled. */
const UNDER_WAY_MAX = 2;
/** A second's worth of what Postgres writes; with more waiting, all would wait too long. */
const WAITING_MAX = 10_000;
const TIMEOUT_MS = 5_000;
/** By then whoever resolved a reservation has told the hot state, or never will. */
const UNAPPLIED_MS = 5_000;

/** Opens the book. */
export function createReservationBook(sql: Sql): ReservationBook {
  const transact = <T>(fn: (tx: Tx) => Promise<T>) => writeAs(sql, PLATFORM_SCOPE, TIMEOUT_MS, fn);
  const batch = <T, R>(run: (tx: Tx, items: readonly T[]) => Promise<readonly R[]>) =>
    createBatcher<T, R>({
      run: (items) => transact((tx) => run(tx, items)),
      sizeMax: BATCH_MAX,
      underWayMax: UNDER_WAY_MAX,
      waitingMax: WAITING_MAX,
    });
  const finds = batch<{ tenantUid: string; requestId: string }, ReservationRow | undefined>(async (tx, requests) => {
    const rows = await selectByRequests(tx, requests);
    return requests.map(({ tenantUid, requestId }) =>
      rows.find((row) => row.tenantUid === tenantUid && row.requestId === requestId),
    );
  });
  const writes = batch<ReservationRow, boolean>(async (tx, rows) => {
    const made = new Set((await insertReservations(tx, rows)).map(({ reservationId }) => reservationId));
    return rows.map(({ reservationId }) => made.has(reservationId));
  });
  const removals = batch<ReservationKey, void>(async (tx, keys) => {
    await deleteReservations(tx, keys);
    return keys.map(() => undefined);
  });
  const applications = batch<ReservationKey, void>(async (tx, keys) => {
    await markApplied(tx, keys);
    return keys.map(() => undefined);
  });
  const changes = batch<Change, Resolution | DomainError | undefined>(changeAll);
  return {
    find: (tenantUid, requestId) => finds.add({ tenantUid, requestId }),
    write: (row) => writes.add(row),
    remove: (key) => removals.add(key),
    async change(key, verb) {
      const result = await changes.add({ key, verb });
      if (result instanceof DomainError) throw result;
      return result;
    },
    applied: (key) => applications.add(key),
    expire: (now, limit) =>
      transact(async (tx) => {
        const rows = (await lockExpired(tx, now, limit)).map(expireReservation);
        if (rows.length > 0) await updateReservations(tx, rows);
        await deleteHolds(
          tx,
          rows.map(({ reservationId }) => reservationId),
        );
        return rows;
      }),
    unapplied: (limit) => transact((tx) => selectUnapplied(tx, UNAPPLIED_MS, limit)),
  };
}

interface Change {
  readonly key: ReservationKey;
  readonly verb: (row: ReservationRow) => Resolution;
}

// Several changes of one reservation take their turns within the transaction.
async function changeAll(tx: Tx, items: readonly Change[]): Promise<(Resolution | DomainError | undefined)[]> {
  const rows = new Map<string, ReservationRow>();
  for (const row of await lockReservations(
    tx,
    items.map(({ key }) => key),
  ))
    rows.set(keyOf(row), row);
  const changed = new Map<string, Resolution>();
  const results = items.map(({ key, verb }) => {
    const row = rows.get(keyOf(key));
    const result = row && attempt(() => verb(row));
    if (!result || result instanceof DomainError || result.isRepeated) return result;
    rows.set(keyOf(key), result.row);
    changed.set(keyOf(key), result);
    return result;
  });
  const resolutions = [...changed.values()];
  if (resolutions.length > 0)
    await updateReservations(
      tx,
      resolutions.map(({ row }) => row),
    );
  const ended = resolutions.filter(({ row }) => row.state !== "HELD");
  if (ended.length > 0) await endHolds(tx, ended);
  return results;
}

// What was held becomes what was spent, of the count that it is held of by now: a gauge may have been observed since.
async function endHolds(tx: Tx, resolutions: readonly Resolution[]): Promise<void> {
  const holds = await deleteHolds(
    tx,
    resolutions.map(({ row }) => row.reservationId),
  );
  const admissions = resolutions.flatMap(({ row, admitted }) =>
    admitted.map(({ limit: { holder, field }, mark, epoch, spent }) => {
      const hold = holds.find(
        (one) => one.ownerUid === row.reservationId && one.holderUid === holder.uid && one.field === field,
      );
      return { holderUid: holder.uid, field, mark: hold?.mark ?? mark, epoch, spent };
    }),
  );
  if (admissions.length > 0) await addAdmissions(tx, admissions);
}

function keyOf({ tenantUid, reservationId }: ReservationKey): string {
  return `${tenantUid}/${reservationId}`;
}

function attempt<T>(fn: () => T): T | DomainError {
  try {
    return fn();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}
