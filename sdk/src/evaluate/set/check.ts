import type { FlagDefinition, TenantOverride } from "../definition.ts";
import { MEMBERS_MAX } from "../parse/bounds.ts";
import { addProblem, at, atKey, type Parsing, type Problem, startParsing } from "../parse/parsing.ts";
import type { ParsedChanges } from "./changes.ts";
import { variantsOf } from "./references.ts";
import { type FlagSlot, type GroupSlot, reachedFrom, type SegmentSlot, type Slots, usersOf } from "./slots.ts";
import type { Staged } from "./stage.ts";
import { createStepCounter } from "./steps.ts";

/** What is wrong with staged definitions among others. */
export interface Checked {
  readonly problems: readonly Problem[];
  /** Those that can't be evaluated, with the reason. */
  readonly endless: ReadonlyMap<FlagSlot | SegmentSlot, string>;
}

/** Checks what the staged definitions refer to, and those that refer to them. */
export function checkStaged(slots: Slots, staged: Staged, parsed: ParsedChanges): Checked {
  const problems: Problem[] = [];
  const check = (into: (parsing: Parsing) => void) => {
    const parsing = startParsing({});
    into(parsing);
    problems.push(...parsing.problems);
  };
  const near = new Set([
    ...staged.flags,
    ...staged.segments,
    ...usersOf(staged.flags),
    ...usersOf(staged.segments),
    ...usersOf(staged.groups),
  ]);
  for (const slot of near) {
    if (slot.kind === "flag") check((parsing) => checkFlag(parsing, slots, slot));
    else check((parsing) => checkSegments(parsing, slots, pathOf("segments", slot.key), slot.references.segments));
  }
  const overrides = new Set([
    ...parsed.overrides,
    ...[...staged.flags].flatMap((slot) => [...slot.overrides.values()]),
  ]);
  for (const override of overrides) check((parsing) => checkOverride(parsing, slots, override));
  check((parsing) => checkMemberships(parsing, slots, parsed));
  const endless = new Map<FlagSlot | SegmentSlot, string>();
  const count = createStepCounter(slots);
  for (const slot of reachedFrom([...staged.flags, ...staged.segments])) {
    const wrong = slot.kind === "group" ? undefined : count(slot);
    if (wrong === undefined) continue;
    endless.set(slot as FlagSlot | SegmentSlot, wrong);
    check((parsing) => addProblem(parsing, pathOf(slot.kind === "flag" ? "flags" : "segments", slot.key), wrong));
  }
  return { problems, endless };
}

/** Where problems of a flag, a segment, or whatever else has a key, are listed. */
export function pathOf(kind: "flags" | "segments" | "groups" | "memberships" | "overrides", key: string): string {
  return atKey(kind, key);
}

/** Adds what is wrong with a flag's references: what isn't there, and what doesn't have the wanted variants. */
function checkFlag(parsing: Parsing, slots: Slots, slot: FlagSlot): void {
  const { key, definition, references } = slot;
  if (definition === undefined) return;
  const path = pathOf("flags", key);
  for (const [index, { flag, variants }] of (definition.prerequisites ?? []).entries()) {
    const where = `${at(path, "prerequisites")}[${index}]`;
    const other = slots.flags.get(flag)?.definition;
    if (other === undefined) addProblem(parsing, at(where, "flag"), `there is no flag ${JSON.stringify(flag)}`);
    else checkVariants(parsing, at(where, "variants"), variants, other);
  }
  checkSegments(parsing, slots, path, references.segments);
  checkGroup(parsing, slots, path, definition);
}

/** Adds what is wrong with an override's references. */
function checkOverride(parsing: Parsing, slots: Slots, { tenant, flag, serve }: TenantOverride): void {
  const path = pathOf("overrides", `${tenant}/${flag}`);
  const definition = slots.flags.get(flag)?.definition;
  if (definition === undefined) addProblem(parsing, at(path, "flag"), `there is no flag ${JSON.stringify(flag)}`);
  else checkVariants(parsing, at(path, "serve"), variantsOf(serve), definition);
}

/** Adds the memberships that have no segment, or would become too large. */
function checkMemberships(parsing: Parsing, slots: Slots, parsed: ParsedChanges): void {
  for (const { segment } of [...parsed.memberships, ...parsed.patches]) {
    if (slots.segments.get(segment)?.definition === undefined) {
      addProblem(parsing, pathOf("memberships", segment), "there is no such segment");
    }
  }
  for (const { segment, include = [], exclude = [] } of parsed.patches) {
    const { included, excluded } = slots.segments.get(segment)?.members ?? {};
    const path = pathOf("memberships", segment);
    if ((included?.size ?? 0) + include.filter((member) => !included?.has(member)).length > MEMBERS_MAX) {
      addProblem(parsing, at(path, "include"), `the segment would have more than ${MEMBERS_MAX} members by name`);
    }
    if ((excluded?.size ?? 0) + exclude.filter((member) => !excluded?.has(member)).length > MEMBERS_MAX) {
      addProblem(parsing, at(path, "exclude"), `the segment would exclude more than ${MEMBERS_MAX} by name`);
    }
  }
}

/** Adds the flags of a group whose ranges overlap. */
function checkGroup(parsing: Parsing, slots: Slots, path: string, flag: FlagDefinition): void {
  const range = flag.group;
  if (range === undefined) return;
  const slot: GroupSlot | undefined = slots.groups.get(range.group);
  const where = at(path, "group");
  if (slot?.definition === undefined) {
    addProblem(parsing, at(where, "group"), `there is no group ${JSON.stringify(range.group)}`);
  }
  for (const user of slot?.users ?? []) {
    const other = user.kind === "flag" && user.key !== flag.key ? user.definition?.group : undefined;
    if (other !== undefined && other.from < range.to && range.from < other.to) {
      addProblem(parsing, where, `the range overlaps that of the flag ${JSON.stringify(user.key)}`);
    }
  }
}

function checkSegments(parsing: Parsing, slots: Slots, path: string, keys: readonly string[]): void {
  for (const key of new Set(keys)) {
    if (slots.segments.get(key)?.definition === undefined) {
      addProblem(parsing, path, `there is no segment ${JSON.stringify(key)}`);
    }
  }
}

function checkVariants(parsing: Parsing, path: string, variants: readonly string[], flag: FlagDefinition): void {
  for (const variant of variants) {
    if (!Object.hasOwn(flag.variants, variant)) {
      addProblem(parsing, path, `the flag ${JSON.stringify(flag.key)} has no variant ${JSON.stringify(variant)}`);
    }
  }
}
