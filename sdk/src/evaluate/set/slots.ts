import type { CompiledFlag } from "../compile/flag.ts";
import type { CompiledGroup, CompiledSegment } from "../compile/segment.ts";
import type { FlagDefinition, GroupDefinition, SegmentDefinition, TenantOverride } from "../definition.ts";
import { type References, referencesOfFlag, referencesOfSegment } from "./references.ts";

/** A flag's place. It stays the same while definitions come and go, so that others can hold on to it. */
export interface FlagSlot {
  readonly kind: "flag";
  readonly key: string;
  definition: FlagDefinition | undefined;
  compiled: CompiledFlag | undefined;
  references: References;
  overrides: Map<string, TenantOverride>;
  readonly users: Set<FlagSlot | SegmentSlot>;
}

/** A segment's place. */
export interface SegmentSlot {
  readonly kind: "segment";
  readonly key: string;
  definition: SegmentDefinition | undefined;
  compiled: CompiledSegment | undefined;
  references: References;
  members: { readonly included: Set<string>; readonly excluded: Set<string> } | undefined;
  readonly users: Set<FlagSlot | SegmentSlot>;
}

/** A group's place. */
export interface GroupSlot {
  readonly kind: "group";
  readonly key: string;
  definition: GroupDefinition | undefined;
  compiled: CompiledGroup | undefined;
  readonly users: Set<FlagSlot | SegmentSlot>;
}

export type AnySlot = FlagSlot | SegmentSlot | GroupSlot;

/** All places by key. */
export interface Slots {
  readonly flags: Map<string, FlagSlot>;
  readonly segments: Map<string, SegmentSlot>;
  readonly groups: Map<string, GroupSlot>;
}

export const NO_REFERENCES: References = { flags: [], segments: [], groups: [], steps: 0 };

/** No places yet. */
export function createSlots(): Slots {
  return { flags: new Map(), segments: new Map(), groups: new Map() };
}

/** The flag's place, made when there is none. */
export function flagSlot(slots: Slots, key: string): FlagSlot {
  return slotIn(slots.flags, key, () => ({
    kind: "flag",
    key,
    definition: undefined,
    compiled: undefined,
    references: NO_REFERENCES,
    overrides: new Map(),
    users: new Set(),
  }));
}

/** The segment's place, made when there is none. */
export function segmentSlot(slots: Slots, key: string): SegmentSlot {
  return slotIn(slots.segments, key, () => ({
    kind: "segment",
    key,
    definition: undefined,
    compiled: undefined,
    references: NO_REFERENCES,
    members: undefined,
    users: new Set(),
  }));
}

/** The group's place, made when there is none. */
export function groupSlot(slots: Slots, key: string): GroupSlot {
  return slotIn(slots.groups, key, () => ({
    kind: "group",
    key,
    definition: undefined,
    compiled: undefined,
    users: new Set(),
  }));
}

/** Gives a place another definition, and keeps the account of who refers to whom. */
export function define(
  slots: Slots,
  slot: FlagSlot | SegmentSlot,
  definition: FlagSlot["definition"] | SegmentSlot["definition"],
): void {
  for (const used of usedBy(slots, slot)) used.users.delete(slot);
  if (slot.kind === "flag") {
    slot.definition = definition as FlagDefinition | undefined;
    slot.references = slot.definition === undefined ? NO_REFERENCES : referencesOfFlag(slot.definition);
  } else {
    slot.definition = definition as SegmentDefinition | undefined;
    slot.references = slot.definition === undefined ? NO_REFERENCES : referencesOfSegment(slot.definition);
  }
  for (const used of usedBy(slots, slot)) used.users.add(slot);
}

/** Those that refer to one of these. */
export function usersOf(slots: Iterable<AnySlot>): (FlagSlot | SegmentSlot)[] {
  return [...slots].flatMap((slot) => [...slot.users]);
}

/** These and all whose evaluation may come to ask them. */
export function reachedFrom(changed: Iterable<AnySlot>): Set<AnySlot> {
  const reached = new Set(changed);
  // A set's iteration goes on to what is added to it meanwhile.
  for (const slot of reached) for (const user of slot.users) reached.add(user);
  return reached;
}

/** Forgets places that a refused change has made: those without anything in them, and nobody who refers to them. */
export function dropVacant(slots: Slots, { key, references }: FlagSlot | SegmentSlot): void {
  for (const name of [...references.flags, key]) {
    const slot = slots.flags.get(name);
    if (slot !== undefined && isVacant(slot) && slot.overrides.size === 0) slots.flags.delete(name);
  }
  for (const name of [...references.segments, key]) {
    const slot = slots.segments.get(name);
    if (slot !== undefined && isVacant(slot) && slot.members === undefined) slots.segments.delete(name);
  }
  for (const name of references.groups) {
    const slot = slots.groups.get(name);
    if (slot !== undefined && isVacant(slot)) slots.groups.delete(name);
  }
}

function isVacant(slot: AnySlot): boolean {
  return slot.definition === undefined && slot.compiled === undefined && slot.users.size === 0;
}

function usedBy(slots: Slots, { references }: FlagSlot | SegmentSlot): AnySlot[] {
  return [
    ...references.flags.map((key) => flagSlot(slots, key)),
    ...references.segments.map((key) => segmentSlot(slots, key)),
    ...references.groups.map((key) => groupSlot(slots, key)),
  ];
}

function slotIn<Slot>(map: Map<string, Slot>, key: string, make: () => Slot): Slot {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
