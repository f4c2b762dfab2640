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
  /** By tenant. */
  overrides: ReadonlyMap<string, TenantOverride>;
  users: ReadonlySet<FlagSlot | SegmentSlot>;
}

/** A segment's place. */
export interface SegmentSlot {
  readonly kind: "segment";
  readonly key: string;
  definition: SegmentDefinition | undefined;
  compiled: CompiledSegment | undefined;
  references: References;
  members: { readonly included: Set<string>; readonly excluded: Set<string> } | undefined;
  users: ReadonlySet<FlagSlot | SegmentSlot>;
}

/** A group's place. */
export interface GroupSlot {
  readonly kind: "group";
  readonly key: string;
  definition: GroupDefinition | undefined;
  compiled: CompiledGroup | undefined;
  users: ReadonlySet<FlagSlot | SegmentSlot>;
}

export type AnySlot = FlagSlot | SegmentSlot | GroupSlot;

/** All places by key. */
export interface Slots {
  readonly flags: Map<string, FlagSlot>;
  readonly segments: Map<string, SegmentSlot>;
  readonly groups: Map<string, GroupSlot>;
}

export const NO_REFERENCES: References = { flags: [], segments: [], groups: [], steps: 0 };

// Most flags have neither: an empty map and an empty set for each of them would be a good part of all memory.
const NO_OVERRIDES: ReadonlyMap<string, TenantOverride> = new Map();
const NO_USERS: ReadonlySet<FlagSlot | SegmentSlot> = new Set();

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
    overrides: NO_OVERRIDES,
    users: NO_USERS,
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
    users: NO_USERS,
  }));
}

/** The group's place, made when there is none. */
export function groupSlot(slots: Slots, key: string): GroupSlot {
  return slotIn(slots.groups, key, () => ({
    kind: "group",
    key,
    definition: undefined,
    compiled: undefined,
    users: NO_USERS,
  }));
}

/** Gives a place another definition, and keeps the account of who refers to whom. */
export function define(
  slots: Slots,
  slot: FlagSlot | SegmentSlot,
  definition: FlagSlot["definition"] | SegmentSlot["definition"],
): void {
  for (const used of usedBy(slots, slot)) (used.users as Set<FlagSlot | SegmentSlot>).delete(slot);
  if (slot.kind === "flag") {
    slot.definition = definition as FlagDefinition | undefined;
    slot.references = slot.definition === undefined ? NO_REFERENCES : referencesOfFlag(slot.definition);
  } else {
    slot.definition = definition as SegmentDefinition | undefined;
    slot.references = slot.definition === undefined ? NO_REFERENCES : referencesOfSegment(slot.definition);
  }
  for (const used of usedBy(slots, slot)) {
    if (used.users === NO_USERS) used.users = new Set();
    (used.users as Set<FlagSlot | SegmentSlot>).add(slot);
  }
}

/** Gives a flag another override for a tenant, or takes its one away. */
export function override(slot: FlagSlot, tenant: string, definition: TenantOverride | undefined): void {
  if (slot.overrides === NO_OVERRIDES) slot.overrides = new Map();
  const overrides = slot.overrides as Map<string, TenantOverride>;
  if (definition === undefined) overrides.delete(tenant);
  else overrides.set(tenant, definition);
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
