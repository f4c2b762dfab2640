/*
 * What Postgres gives to the hot state, and how it is counted: the arithmetic of allotments, without the database.
 *
 * A count's row says what its current epoch was `given`, and as `base` what earlier epochs count for. Three things happen
 * to it, each under the row's lock:
 *
 * - a grant raises `given`, never beyond the cap, before the hot state may spend it;
 * - the next epoch turns the page: what the last one was given becomes part of `base`, wholly, since nobody knows what of
 *   it was spent before the hot state was lost;
 * - a settlement, once every node has told what it admitted in a past epoch, takes back out of `base` what was not spent.
 *
 * So at every moment `base + given` is at least what was admitted, and at most the cap (but for uses that had happened
 * already). Each step has the next number, by which the hot state tells what it knows already.
 */

import { AMOUNT_MAX } from "../limit.ts";

/** A count as Postgres has it. */
export interface Allotment {
  /** Of a period its start, of a gauge its newest observation. */
  readonly mark: number;
  readonly epoch: number;
  readonly grantNumber: number;
  readonly base: bigint;
  readonly given: bigint;
}

/** What a node needs of a count. */
export interface Want {
  readonly epoch: number;
  /** What must be given in all, in this epoch. */
  readonly needed: number;
  /** How much beyond it would save asking again soon. */
  readonly ahead: number;
  /** What may be given in all epochs together. */
  readonly cap: bigint;
  /** The use has happened: what is needed is given whatever the cap. */
  readonly forced: boolean;
}

/** The part of a want that only asks for the row. */
export const NOTHING_WANTED = { needed: 0, ahead: 0, cap: 0n, forced: false } as const;

/** An epoch that is over, and what it counts for in the base. */
export interface PastEpoch {
  readonly mark: number;
  readonly epoch: number;
  readonly counted: bigint;
}

/** A count that nothing was given to. */
export function emptyAllotment(mark: number, epoch: number): Allotment {
  return { mark, epoch, grantNumber: 1, base: 0n, given: 0n };
}

/**
 * Gives what is wanted, or as much of it as the cap has left. The row is the same object when nothing changes: all is given
 * already, nothing is left, or the node speaks of an epoch that is over. `ended` is the epoch that this turned the page on;
 * `known` is what is known to be spent in it, which may be more than it was given.
 */
export function give(row: Allotment, want: Want, known: bigint): { row: Allotment; ended: PastEpoch | undefined } {
  if (row.epoch > want.epoch) return { row, ended: undefined };
  const { row: current, ended } = turnPage(row, want.epoch, known);
  const needed = BigInt(want.needed);
  if (needed <= current.given) return { row: current, ended };
  const reachable = smaller(needed + BigInt(want.ahead), want.cap - current.base);
  const wanted = want.forced ? larger(reachable, needed) : reachable;
  const given = smaller(wanted, smaller(GIVEN_MAX, AMOUNT_MAX - current.base));
  if (given <= current.given) return { row: current, ended };
  return { row: { ...current, given, grantNumber: current.grantNumber + 1 }, ended };
}

/** Counts a use, or a giving back, that happened while the hot state was away. */
export function countUse(row: Allotment, amount: number): Allotment {
  return { ...row, base: smaller(row.base + BigInt(amount), AMOUNT_MAX), grantNumber: row.grantNumber + 1 };
}

/** Ends the row's epoch if a later one has begun: it counts for all it was given, or for more if more is known. */
export function turnPage(
  row: Allotment,
  epoch: number,
  known: bigint,
): { row: Allotment; ended: PastEpoch | undefined } {
  if (row.epoch >= epoch) return { row, ended: undefined };
  const counted = larger(row.given, known);
  const turned = {
    ...row,
    epoch,
    base: smaller(row.base + counted, AMOUNT_MAX),
    given: 0n,
    grantNumber: row.grantNumber + 1,
  };
  return { row: turned, ended: { mark: row.mark, epoch: row.epoch, counted } };
}

/** Counts a past epoch for what was spent in it, which by now is known. */
export function settle(row: Allotment, past: PastEpoch, spent: bigint): { row: Allotment; past: PastEpoch } {
  const difference = past.counted - spent;
  if (past.mark !== row.mark || difference === 0n) return { row, past };
  return {
    row: { ...row, base: row.base - difference, grantNumber: row.grantNumber + 1 },
    past: { ...past, counted: spent },
  };
}

/** Takes back what was given and not spent, unless something was given meanwhile. */
export function takeBack(row: Allotment, epoch: number, grantNumber: number, left: number): Allotment {
  if (row.epoch !== epoch || row.grantNumber !== grantNumber || BigInt(left) >= row.given) return row;
  return { ...row, given: BigInt(left), grantNumber: row.grantNumber + 1 };
}

/**
 * Takes an observation for what is used of a gauge: whatever was counted before does not matter any more. What is held stays
 * given. An observation that is not newer than the last one changes nothing.
 */
export function observe(row: Allotment, observedAt: number, used: bigint, held: bigint): Allotment {
  if (observedAt <= row.mark) return row;
  return { ...row, mark: observedAt, base: used, given: held, grantNumber: row.grantNumber + 1 };
}

/** How much to ask for beyond what is needed: what is used in some seconds, never more than a share of what is left. */
export function blockSize(perMs: number, cost: number, left: number): number {
  const wanted = perMs > 0 ? perMs * BLOCK_MS : cost * FIRST_BLOCK_COSTS;
  return Math.max(0, Math.floor(Math.min(wanted, left / BLOCK_SHARE)));
}

/** A limit in steady use asks Postgres once in so long; a loss strands no more than was used in it. */
export const BLOCK_MS = 5_000;
/** Before the rate is known: a burst of as many checks asks once. */
const FIRST_BLOCK_COSTS = 16;
/** A tenth of what is left: blocks shrink towards the limit, and the last units are given one by one. */
const BLOCK_SHARE = 10;
/** The hot state counts in numbers that are exact up to here; an epoch that was given so much is followed by the next. */
export const GIVEN_MAX = BigInt(Number.MAX_SAFE_INTEGER);

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
