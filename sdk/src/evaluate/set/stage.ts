import type { TenantOverride } from "../definition.ts";
import type { FlagChanges, ParsedChanges } from "./changes.ts";
import {
  define,
  dropVacant,
  type FlagSlot,
  flagSlot,
  type GroupSlot,
  groupSlot,
  override,
  type SegmentSlot,
  type Slots,
  segmentSlot,
} from "./slots.ts";
import type { FlagState } from "./state.ts";

/** Definitions that have changed while what is compiled of them has not yet. */
export interface Staged {
  readonly flags: Set<FlagSlot>;
  readonly segments: Set<SegmentSlot>;
  readonly groups: Set<GroupSlot>;
  /** Flags whose overrides have changed; those that got their first or lost their last are in `flags` too. */
  readonly overridden: Set<FlagSlot>;
  /** Puts everything back. */
  undo(): void;
}

/** Writes the changed definitions into their places. */
export function stage(state: FlagState, changes: FlagChanges, parsed: ParsedChanges): Staged {
  const { slots } = state;
  const undo: (() => void)[] = [];
  const staged: Staged = {
    flags: new Set(),
    segments: new Set(),
    groups: new Set(),
    overridden: new Set(),
    undo: () => {
      for (const step of undo.reverse()) step();
    },
  };
  const put = <Slot extends FlagSlot | SegmentSlot>(set: Set<Slot>, slot: Slot, definition: Slot["definition"]) => {
    const { definition: old } = slot;
    define(slots, slot, definition);
    const { references } = slot;
    undo.push(() => {
      define(slots, slot, old);
      dropVacant(slots, { ...slot, references });
    });
    set.add(slot);
  };
  for (const key of goingKeys(slots.flags, changes.reset, changes.flags?.delete, parsed.brokenFlags)) {
    put(staged.flags, flagSlot(slots, key), undefined);
  }
  for (const key of goingKeys(slots.segments, changes.reset, changes.segments?.delete, parsed.brokenSegments)) {
    put(staged.segments, segmentSlot(slots, key), undefined);
  }
  for (const [key, flag] of parsed.flags) put(staged.flags, flagSlot(slots, key), flag);
  for (const [key, segment] of parsed.segments) put(staged.segments, segmentSlot(slots, key), segment);
  if (changes.metadata !== undefined || changes.reset) {
    for (const slot of slots.flags.values()) if (slot.definition !== undefined) staged.flags.add(slot);
  }
  stageGroups(slots, changes, parsed, staged, undo);
  stageOverrides(slots, changes, parsed, staged, undo);
  return staged;
}

/** The keys that go: all in a snapshot (what is put comes back), those that are deleted, and those that can't be read any more. */
function goingKeys(
  slots: ReadonlyMap<string, unknown>,
  reset: boolean | undefined,
  deleted: readonly string[] | undefined,
  broken: ReadonlySet<string> | ReadonlyMap<string, unknown>,
): readonly string[] {
  return reset ? [...slots.keys(), ...broken.keys()] : [...(deleted ?? []), ...broken.keys()];
}

function stageGroups(
  slots: Slots,
  changes: FlagChanges,
  parsed: ParsedChanges,
  staged: Staged,
  undo: (() => void)[],
): void {
  const put = (slot: GroupSlot, definition: GroupSlot["definition"]) => {
    const { definition: old } = slot;
    undo.push(() => {
      slot.definition = old;
      if (old === undefined && slot.users.size === 0) slots.groups.delete(slot.key);
    });
    slot.definition = definition;
    staged.groups.add(slot);
  };
  const going = changes.reset ? [...slots.groups.keys()] : (changes.groups?.delete ?? []);
  for (const key of going) put(groupSlot(slots, key), undefined);
  for (const group of parsed.groups) put(groupSlot(slots, group.key), group);
}

function stageOverrides(
  slots: Slots,
  changes: FlagChanges,
  parsed: ParsedChanges,
  staged: Staged,
  undo: (() => void)[],
): void {
  const put = (flag: string, tenant: string, definition: TenantOverride | undefined) => {
    const slot = flagSlot(slots, flag);
    const old = slot.overrides.get(tenant);
    const had = slot.overrides.size > 0;
    undo.push(() => {
      override(slot, tenant, old);
      dropVacant(slots, slot);
    });
    override(slot, tenant, definition);
    staged.overridden.add(slot);
    if (had !== slot.overrides.size > 0 && slot.definition !== undefined) staged.flags.add(slot);
  };
  for (const slot of changes.reset ? slots.flags.values() : staged.flags) {
    const isGone = changes.reset || slot.definition === undefined;
    if (isGone) for (const tenant of [...slot.overrides.keys()]) put(slot.key, tenant, undefined);
  }
  for (const { flag, tenant } of changes.overrides?.delete ?? []) put(flag, tenant, undefined);
  for (const definition of parsed.overrides) put(definition.flag, definition.tenant, definition);
}
