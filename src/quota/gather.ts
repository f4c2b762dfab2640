import type { DomainError } from "../errors.ts";
import type { AccountHolder } from "./account.ts";
import {
  type HotBatch,
  type HotHolder,
  type HotLimit,
  type HotOutcome,
  type HotPart,
  type HotReply,
  type HotRun,
  KIND,
  MODE,
  type Mode,
} from "./hot/state.ts";
import type { Part } from "./prepare.ts";

/** Something to decide, of one tenant. */
export interface Question {
  readonly rootUid: string;
  readonly mode: Mode;
  readonly parts: readonly Part[];
  /** Of HOLD, RESOLVE and RELEASE: what each part refers to. */
  readonly refs?: readonly Ref[];
  readonly answer?: Asker | undefined;
  readonly reservationId?: string;
}

/** A question on its way to the hot state. */
export interface Ticket extends Question {
  /** When an answer is of no use any more. */
  deadline: number;
  answered(answer: Answer): void;
  /** There is no answer in time. One may come later, and what was asked may have been done. */
  unanswered(): void;
  /** It was not asked at all. */
  refused(error: DomainError): void;
}

/** The answer to a ticket: its run's outcome, and which of the run's identical checks it is. */
export interface Answer {
  readonly batch: HotBatch;
  readonly reply: HotReply;
  readonly run: HotRun;
  readonly outcome: HotOutcome;
  readonly index: number;
}

/** The count that a part belongs to, and of RESOLVE what was spent of it. */
export interface Ref {
  readonly epoch: number;
  readonly mark: number;
  readonly spent: number;
}

/** Whose request id it is. */
export interface Asker {
  readonly holder: AccountHolder;
  readonly id: string;
  readonly hash: string;
  readonly signature: number;
}

/** Where a ticket's answer stands: its run, and which of the run's identical checks it is. */
export interface Place {
  readonly ticket: Ticket;
  readonly run: number;
  readonly index: number;
}

/** Tickets made one batch. */
export interface Gathered {
  readonly batch: HotBatch;
  readonly places: readonly Place[];
}

/**
 * Makes batches of the first of some tickets, up to a number of parts. Holders and limits are named once; neighbours that ask for
 * the same become one run, which costs as much as one of them.
 */
export function createGatherer(): (tickets: readonly Ticket[], partsMax: number) => Gathered {
  let stamp = 0;
  return (tickets, partsMax) => {
    stamp += 1;
    return gather(tickets, partsMax, stamp);
  };
}

// By the stamp holders and limits know whether they were named in this batch already, without being looked up.
function gather(tickets: readonly Ticket[], partsMax: number, stamp: number): Gathered {
  const holders: HotHolder[] = [];
  const limits: { holder: number; limit: HotLimit }[] = [];
  const runs: Growing[] = [];
  const places: Place[] = [];
  let partsCount = 0;
  let last: Ticket | undefined;
  let count = 0;
  const holderIndex = (holder: AccountHolder) => {
    if (holder.stamp !== stamp) {
      holder.stamp = stamp;
      holder.index = holders.push(holder) - 1;
    }
    return holder.index;
  };
  const toPart = ({ limit, amount, entry, slot }: Part, ticket: Ticket, index: number): HotPart => {
    if (limit.stamp !== stamp) {
      limit.stamp = stamp;
      limit.index = limits.push({ holder: holderIndex(limit.account.holder), limit: limit.hot }) - 1;
    }
    const ref = ticket.refs?.[index];
    const named = limit.hot.kind === KIND.SLOTS ? { slot } : entry > 0 ? { entry } : NOTHING;
    if (!ref) return { limit: limit.index, amount, ...named };
    return { limit: limit.index, amount, ...named, ...ref };
  };
  for (const ticket of tickets) {
    if (last && isSame(last, ticket)) {
      count += 1;
      (runs.at(-1) as Growing).count = count;
    } else {
      partsCount += ticket.parts.length;
      if (partsCount > partsMax && last) break;
      count = 1;
      const { answer, reservationId } = ticket;
      runs.push({
        mode: ticket.mode,
        count,
        parts: ticket.parts.map((part, index) => toPart(part, ticket, index)),
        ...(answer ? { answer: { ...answer, holder: holderIndex(answer.holder) } } : {}),
        ...(reservationId === undefined ? {} : { reservationId }),
      });
    }
    last = ticket;
    places.push({ ticket, run: runs.length - 1, index: count - 1 });
  }
  return { batch: { holders, limits, runs }, places };
}

type Growing = { -readonly [K in keyof HotRun]: HotRun[K] };

const NOTHING = {};

// Only what gives the same answers one after the other: a slot is held once, and a soft rate counts as long as it fits.
function isSame(a: Ticket, b: Ticket): boolean {
  if (a.mode !== MODE.CONSUME || b.mode !== MODE.CONSUME || a.answer || b.answer) return false;
  if (a.parts.length !== b.parts.length) return false;
  return a.parts.every((part, index) => {
    const other = b.parts[index];
    if (other?.limit !== part.limit || other.amount !== part.amount) return false;
    const { kind, soft } = part.limit.hot;
    return kind !== KIND.SLOTS && !(soft && kind > KIND.GAUGE);
  });
}
