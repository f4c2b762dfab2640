import type { Clause, Match } from "../clause.ts";
import type { FlagDefinition, SegmentDefinition, Serve } from "../definition.ts";
import type { JsonValue } from "../json.ts";
import { REGEX_STEPS } from "../parse/bounds.ts";
import { isObject } from "../parse/parsing.ts";

/** What a document refers to, with each mention, and the steps that it takes by itself. */
export interface References {
  readonly flags: readonly string[];
  readonly segments: readonly string[];
  readonly groups: readonly string[];
  readonly steps: number;
}

interface Found {
  readonly segments: string[];
  steps: number;
}

/** What a flag refers to. */
export function referencesOfFlag(flag: FlagDefinition): References {
  const found: Found = { segments: [], steps: 1 };
  for (const rule of flag.rules ?? []) {
    if (rule.match !== undefined) addMatch(found, rule.match);
    addServe(found, rule.serve);
  }
  if (flag.defaultServe !== undefined) addServe(found, flag.defaultServe);
  const flags = (flag.prerequisites ?? []).map((prerequisite) => prerequisite.flag);
  const groups = flag.group === undefined ? [] : [flag.group.group];
  return lean({ flags, groups, segments: found.segments, steps: found.steps });
}

/** What a segment refers to. */
export function referencesOfSegment(segment: SegmentDefinition): References {
  const found: Found = { segments: [], steps: 1 };
  for (const match of segment.matches ?? []) addMatch(found, match);
  return lean({ flags: [], groups: [], segments: found.segments, steps: found.steps });
}

const NONE: readonly string[] = [];

/** Most documents refer to nothing, and there are many: all of them share one empty list. */
function lean({ flags, segments, groups, steps }: References): References {
  const shared = (keys: readonly string[]) => (keys.length === 0 ? NONE : keys);
  return { flags: shared(flags), segments: shared(segments), groups: shared(groups), steps };
}

/** The variants that serving may give, as far as they are written down. */
export function variantsOf(serve: Serve): readonly string[] {
  if ("variant" in serve) return [serve.variant];
  if ("split" in serve) return serve.split.map(({ variant }) => variant);
  if ("ramp" in serve)
    return [serve.ramp.variant, ...(serve.ramp.otherwise === undefined ? [] : [serve.ramp.otherwise])];
  return [];
}

function addServe(found: Found, serve: Serve): void {
  found.steps += 1;
  if ("logic" in serve) addLogic(found, serve.logic);
}

function addMatch(found: Found, match: Match): void {
  if ("logic" in match) addLogic(found, match.logic);
  else for (const clause of match.clauses) addClause(found, clause);
}

function addClause(found: Found, clause: Clause): void {
  const values = clause.values ?? [];
  found.steps += 1;
  if (clause.operator === "SEGMENT") found.segments.push(...values.map(String));
  // A set finds one of any number of values in one step.
  else if (clause.operator !== "IN") found.steps += values.length * (clause.operator === "MATCHES" ? REGEX_STEPS : 1);
}

function addLogic(found: Found, logic: JsonValue): void {
  found.steps += 1;
  if (Array.isArray(logic)) for (const item of logic) addLogic(found, item);
  else if (isObject(logic)) {
    for (const [name, inner] of Object.entries(logic as Readonly<Record<string, JsonValue>>)) {
      if (name === "$ref") found.segments.push(String(inner));
      else addLogic(found, inner);
    }
  }
}
