import type { MembershipPatch } from "@tenantplane/sdk/evaluate";
import type { DocumentId } from "@tenantplane/sdk/replica";
import { comparePositions } from "../change/hub.ts";
import type { Position } from "../change/store.ts";

/** What changed with a batch of the change log: which documents, and what of the lists of segments. */
export interface Step {
  /** After the batch. */
  readonly position: Position;
  readonly ids: readonly ChangedId[];
  readonly patches: readonly MembershipPatch[];
}

/** A document that changed; `gone` if it was taken away, even when it is there again. */
export interface ChangedId extends DocumentId {
  readonly gone: boolean;
}

/** What changed lately. It holds no contents: whoever missed something gets it as it is now. */
export interface Journal {
  add(step: Step): void;
  /** The steps after a position, oldest first; undefined when some of them are forgotten. */
  after(position: Position): readonly Step[] | undefined;
}

/** An hour of a change a second; more than this is sent as a whole anyway. */
const STEPS_MAX = 4_096;

/** Makes a journal of what comes after a position. */
export function createJournal(start: Position, stepsMax: number = STEPS_MAX): Journal {
  let floor = start;
  const steps: Step[] = [];
  return {
    add(step) {
      steps.push(step);
      if (steps.length > 2 * stepsMax) floor = steps.splice(0, steps.length - stepsMax).at(-1)?.position ?? floor;
    },
    after(position) {
      if (comparePositions(position, floor) < 0) return undefined;
      let first = steps.length;
      // Nearly everybody misses the last step or the last few.
      while (first > 0 && comparePositions(steps[first - 1]?.position ?? floor, position) > 0) first -= 1;
      return steps.slice(first);
    },
  };
}
