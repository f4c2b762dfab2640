import { EVALUATION_STEPS_MAX, REFERENCES_MAX_DEPTH } from "../parse/bounds.ts";
import type { FlagSlot, SegmentSlot, Slots } from "./slots.ts";

/**
 * Counts the steps of evaluations, and finds the circles that have no count: gives what is wrong with a slot, if anything. It
 * remembers what it has counted, so it is good until the next change.
 */
export type StepCounter = (slot: FlagSlot | SegmentSlot) => string | undefined;

/** Makes a counter. */
export function createStepCounter(slots: Slots): StepCounter {
  const counted = new Map<FlagSlot | SegmentSlot, Count>();
  const open: (FlagSlot | SegmentSlot)[] = [];
  const count = (slot: FlagSlot | SegmentSlot): Count => {
    const known = counted.get(slot);
    if (known !== undefined) return known;
    if (open.includes(slot)) return { steps: 0, depth: 0, wrong: circle(open, slot) };
    if (open.length > COUNT_MAX_DEPTH) return { steps: 0, depth: COUNT_MAX_DEPTH, wrong: TOO_DEEP };
    open.push(slot);
    const total: Count = { steps: slot.references.steps, depth: 0, wrong: undefined };
    for (const used of usedSlots(slots, slot)) {
      const { steps, depth, wrong } = count(used);
      total.steps += steps;
      total.depth = Math.max(total.depth, depth + 1);
      total.wrong ??= wrong;
    }
    if (total.depth > REFERENCES_MAX_DEPTH) total.wrong ??= TOO_DEEP;
    if (total.steps > EVALUATION_STEPS_MAX) total.wrong ??= TOO_MANY_STEPS;
    open.pop();
    counted.set(slot, total);
    return total;
  };
  return (slot) => count(slot).wrong;
}

interface Count {
  steps: number;
  depth: number;
  wrong: string | undefined;
}

function circle(open: readonly { readonly key: string }[], slot: { readonly key: string }): string {
  const keys = [...open.slice(open.indexOf(slot)), slot].map(({ key }) => key);
  return `its references go round in a circle: ${keys.join(" → ")}`;
}

/** Where counting itself gives up, before the stack does. */
const COUNT_MAX_DEPTH = 500;
const TOO_DEEP = `more than ${REFERENCES_MAX_DEPTH} references follow each other`;
const TOO_MANY_STEPS = `an evaluation would take more than ${EVALUATION_STEPS_MAX} steps, with all that it refers to`;

function usedSlots(slots: Slots, { references }: FlagSlot | SegmentSlot): (FlagSlot | SegmentSlot)[] {
  const flags = references.flags.map((key) => slots.flags.get(key));
  const segments = references.segments.map((key) => slots.segments.get(key));
  return [...flags, ...segments].filter((slot) => slot !== undefined);
}
