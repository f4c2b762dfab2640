import { brokenFlag, type CompiledFlag, compileFlag } from "../compile/flag.ts";
import { type CompiledSegment, compileGroup, compileSegment } from "../compile/segment.ts";
import type { Metadata } from "../definition.ts";
import { type Problem, startParsing } from "../parse/parsing.ts";
import { type FlagChanges, type ParsedChanges, parseChanges } from "./changes.ts";
import { type Checked, checkStaged, pathOf } from "./check.ts";
import { type AnySlot, type FlagSlot, reachedFrom, type SegmentSlot, segmentSlot } from "./slots.ts";
import { type Staged, stage } from "./stage.ts";
import { type FlagState, toolsOf } from "./state.ts";

/** How a set takes changes that are not right in everything: see `Evaluator.apply`. */
export type ApplyMode = "strict" | "lenient";

/** What became of a change. */
export interface Applied {
  /** Whether the set has changed: always, leniently; strictly, if there are no problems. */
  readonly applied: boolean;
  readonly problems: readonly Problem[];
  /** The flags that may evaluate to something else now, in no order. */
  readonly changedFlags: readonly string[];
}

/** Changes a set. */
export function applyChanges(state: FlagState, changes: FlagChanges, mode: ApplyMode): Applied {
  const parsed = parseChanges(changes, { regex: state.regex, logic: mode });
  if (mode === "strict" && parsed.problems.length > 0) return refused(parsed.problems);
  const staged = stage(state, changes, parsed);
  const checked = checkStaged(state.slots, staged, parsed);
  const compiled = compileStaged(state, changes, parsed, staged, checked);
  const problems = [...parsed.problems, ...checked.problems, ...compiled.problems];
  if (mode === "strict" && problems.length > 0) {
    staged.undo();
    return refused(problems);
  }
  const changed = new Set<AnySlot>([...staged.flags, ...staged.segments, ...staged.groups, ...staged.overridden]);
  commit(state, compiled, staged);
  for (const slot of changeMembers(state, changes, parsed)) changed.add(slot);
  const changedFlags = [...reachedFrom(changed)].filter(({ kind }) => kind === "flag").map(({ key }) => key);
  return { applied: true, problems, changedFlags };
}

function refused(problems: readonly Problem[]): Applied {
  return { applied: false, problems, changedFlags: [] };
}

/** What the places will hold; undefined where a document goes. */
interface Compiled {
  readonly metadata: Metadata;
  readonly flags: ReadonlyMap<FlagSlot, CompiledFlag | undefined>;
  readonly segments: ReadonlyMap<SegmentSlot, CompiledSegment | undefined>;
  readonly problems: readonly Problem[];
}

function compileStaged(
  state: FlagState,
  changes: FlagChanges,
  parsed: ParsedChanges,
  staged: Staged,
  checked: Checked,
): Compiled {
  const { problems } = startParsing({});
  const metadata = Object.freeze(parsed.metadata ?? (changes.reset ? {} : state.metadata));
  const tools = toolsOf(state);
  const attempt = <T>(path: string, compile: () => T, otherwise: (why: string) => T): T => {
    try {
      return compile();
    } catch (error) {
      const description = error instanceof Error ? error.message : "can't be compiled";
      problems.push({ field: path, description });
      return otherwise(description);
    }
  };
  const flags = new Map<FlagSlot, CompiledFlag | undefined>();
  for (const slot of staged.flags) {
    const { key, definition, overrides } = slot;
    const wrong = parsed.brokenFlags.get(key) ?? checked.endless.get(slot);
    const broken = (why: string) => brokenFlag(key, why, metadata);
    if (wrong !== undefined) flags.set(slot, broken(wrong));
    else if (definition === undefined) flags.set(slot, undefined);
    else {
      const compile = () => compileFlag(definition, { ...tools, overrides, metadata });
      flags.set(slot, attempt(pathOf("flags", key), compile, broken));
    }
  }
  const segments = new Map<SegmentSlot, CompiledSegment | undefined>();
  for (const slot of staged.segments) {
    const { key, definition } = slot;
    if (definition === undefined || checked.endless.has(slot)) segments.set(slot, undefined);
    else {
      const compile = () => compileSegment(definition, () => slot.members, tools);
      segments.set(
        slot,
        attempt(pathOf("segments", key), compile, () => undefined),
      );
    }
  }
  return { metadata, flags, segments, problems };
}

function commit(state: FlagState, compiled: Compiled, staged: Staged): void {
  state.metadata = compiled.metadata;
  for (const [slot, flag] of compiled.flags) {
    slot.compiled = flag;
    if (flag === undefined) state.compiled.delete(slot.key);
    else state.compiled.set(slot.key, flag);
    if (flag === undefined && slot.users.size === 0) state.slots.flags.delete(slot.key);
  }
  for (const [slot, segment] of compiled.segments) {
    slot.compiled = segment;
    if (slot.definition === undefined) slot.members = undefined;
    if (slot.definition === undefined && slot.users.size === 0) state.slots.segments.delete(slot.key);
  }
  for (const slot of staged.groups) {
    slot.compiled = slot.definition && compileGroup(slot.definition);
    if (slot.definition === undefined && slot.users.size === 0) state.slots.groups.delete(slot.key);
  }
}

/** Writes memberships into their places. Nothing can go wrong with them any more. */
function changeMembers(state: FlagState, changes: FlagChanges, parsed: ParsedChanges): Set<SegmentSlot> {
  const changed = new Set<SegmentSlot>();
  if (changes.reset) for (const slot of state.slots.segments.values()) slot.members = undefined;
  for (const { segment, included, excluded } of parsed.memberships) {
    const slot = segmentSlot(state.slots, segment);
    slot.members = { included: new Set(included), excluded: new Set(excluded) };
    changed.add(slot);
  }
  for (const { segment, include = [], exclude = [], remove = [] } of parsed.patches) {
    const slot = segmentSlot(state.slots, segment);
    slot.members ??= { included: new Set(), excluded: new Set() };
    const { included, excluded } = slot.members;
    for (const member of [...include, ...exclude, ...remove]) {
      included.delete(member);
      excluded.delete(member);
    }
    for (const member of include) included.add(member);
    for (const member of exclude) excluded.add(member);
    changed.add(slot);
  }
  return changed;
}
