import type { Answer } from "./gather.ts";
import { type HotFacts, type HotFound, type HotLimit, KIND, MODE, type Mode } from "./hot/state.ts";
import type { Part } from "./prepare.ts";

/** A part with what the hot state said of its count. */
export interface Seen {
  readonly part: Part;
  readonly facts: HotFacts;
  /** The holder's epoch; 0 is cold. */
  readonly epoch: number;
  /** Undefined when nothing was decided. */
  readonly found: HotFound | undefined;
}

/** A part with what its count was before, and what was added to it. */
export interface Judged {
  readonly part: Part;
  readonly facts: HotFacts;
  readonly epoch: number;
  readonly found: HotFound;
  /** What identical checks before this one in its run have used. */
  readonly before: number;
  readonly added: number;
  /** What would have been added. */
  readonly asked: number;
}

/** Brings together each part and what is known of its count. */
export function see(parts: readonly Part[], { batch, reply, run, outcome }: Answer): Seen[] {
  const found = "found" in outcome ? outcome.found : NONE;
  const bases = "found" in outcome ? outcome.replay?.bases : undefined;
  return parts.map((part, index) => {
    const limit = run.parts[index]?.limit ?? 0;
    const facts = reply.limits[limit] as HotFacts;
    const epoch = reply.epochs[batch.limits[limit]?.holder ?? 0] ?? 0;
    const base = bases?.[index];
    return { part, facts: base === undefined ? facts : { ...facts, base }, epoch, found: found[index] };
  });
}

/** What was added to each count. Of limits that the answer is not of there is nothing to say. */
export function judge(seen: readonly Seen[], mode: Mode, passed: boolean, fit: number, index: number): Judged[] {
  return seen.flatMap(({ part, facts, epoch, found }) => {
    if (!found) return NONE;
    const isHeldSlot = part.limit.hot.kind === KIND.SLOTS && found.held < 0;
    const asked = isHeldSlot ? 0 : part.amount;
    const before = Math.min(index, fit) * part.amount;
    if (mode === MODE.HOLD && passed && isCounter(part.limit.hot)) {
      const held = found.held + part.amount;
      return { part, facts, epoch, found: { ...found, held }, before, asked: 0, added: 0 };
    }
    return { part, facts, epoch, found, before, asked, added: passed ? addedOf(part, mode, found, asked) : 0 };
  });
}

function addedOf({ limit, amount }: Part, mode: Mode, found: HotFound, asked: number): number {
  switch (mode) {
    case MODE.CHECK_ONLY:
    case MODE.RESOLVE:
      return 0;
    case MODE.BEST_EFFORT:
    case MODE.TAKE_GIVEN:
      return asked === 0 ? 0 : found.done;
    case MODE.RELEASE:
      return -found.done;
    case MODE.HOLD:
    case MODE.CONSUME: {
      const { kind, soft, cap } = limit.hot;
      const isPast = soft && kind > KIND.GAUGE && kind !== KIND.SLOTS && found.used + amount > Number(cap);
      return isPast ? 0 : asked;
    }
    case MODE.FORCE:
    case MODE.COUNT_ANYHOW:
      return asked;
    default:
      return mode satisfies never;
  }
}

/** Whether a count is of a period or a gauge: given by Postgres. */
export function isCounter({ kind }: HotLimit): boolean {
  return kind === KIND.PERIOD || kind === KIND.GAUGE;
}

const NONE: readonly never[] = [];
