import {
  type FlagChanges,
  type FlagDefinition,
  type GroupDefinition,
  type Parsing,
  parseFlag,
  parseGroup,
  parseOverride,
  parseSegment,
  type References,
  type RegexCompiler,
  referencesOfFlag,
  referencesOfSegment,
  type SegmentDefinition,
  startParsing,
  type TenantOverride,
} from "@tenantplane/sdk/evaluate";
import { type FieldViolation, invalidField, invalidFields } from "../errors.ts";
import type { Queryable } from "../platform/postgres.ts";
import { type Draft, requireSound, requireStorable } from "./check.ts";
import { violation } from "./field-path.ts";
import { selectOverriddenVariants } from "./override-store.ts";
import { type Keys, selectNeighbours } from "./reference-store.ts";
import { segmentsOf } from "./serve.ts";

/** An unchecked document, and the field of the request that brought it. */
export interface Unchecked {
  readonly field: string;
  readonly definition: unknown;
}

/** Documents that are right by themselves and among the others. */
export interface Checked {
  readonly flags: readonly FlagDefinition[];
  readonly segments: readonly SegmentDefinition[];
  /** All that has a say in whether they are right, as it is. */
  readonly neighbours: Definitions;
}

/** Definitions, by kind. */
export interface Definitions {
  readonly flags: readonly FlagDefinition[];
  readonly segments: readonly SegmentDefinition[];
  readonly groups: readonly GroupDefinition[];
}

/**
 * Checks flags and segments as they shall be, together, within a write that holds the flags' root. Throws INVALID_FIELDS
 * with all that is wrong with them, and HAS_DEPENDENTS with what would break elsewhere.
 */
export async function checkDocuments(
  tx: Queryable,
  regex: RegexCompiler,
  documents: { readonly flags: readonly Unchecked[]; readonly segments: readonly Unchecked[] },
): Promise<Checked> {
  for (const { field, definition } of documents.flags) requireStorable(field, definition, FLAG_MAX_DEPTH);
  for (const { field, definition } of documents.segments) requireStorable(field, definition, FLAG_MAX_DEPTH);
  const flags = parseAll(regex, documents.flags, parseFlag);
  for (const [index, { variants }] of flags.entries()) {
    requireStorable(`${documents.flags[index]?.field}.variants`, variants, VARIANT_MAX_DEPTH + 1);
  }
  const segments = parseAll(regex, documents.segments, parseSegment);
  const changed = { flags: flags.map(({ key }) => key), segments: segments.map(({ key }) => key), groups: [] };
  const references = [...flags.map(referencesOfFlag), ...segments.map(referencesOfSegment)];
  const drafts = [
    ...flags.map(({ key }, index) => draft("flags", key, documents.flags[index])),
    ...segments.map(({ key }, index) => draft("segments", key, documents.segments[index])),
  ];
  const change = { flags: { put: flags }, segments: { put: segments } };
  const neighbours = await neighboursOf(tx, changed, keysOf(references));
  requireSound(regex, changesOf(neighbours), change, drafts);
  await requireOverridesServed(tx, flags, documents.flags);
  return { flags, segments, neighbours };
}

/** Checks an override as it shall be, within a write that holds the flags' root. Throws INVALID_FIELDS. */
export async function checkOverride(
  tx: Queryable,
  regex: RegexCompiler,
  unchecked: Unchecked,
): Promise<TenantOverride> {
  requireStorable(unchecked.field, unchecked.definition, FLAG_MAX_DEPTH);
  const override = only(parseAll(regex, [unchecked], parseOverride));
  const { tenant, flag, serve } = override;
  const wanted = segmentsOf(serve);
  const neighbours = await neighboursOf(tx, NO_KEYS, { flags: [flag], segments: wanted, groups: [] });
  requireSound(regex, changesOf(neighbours), { overrides: { put: [override] } }, [
    draft("overrides", `${tenant}/${flag}`, unchecked),
  ]);
  const missing = wanted.find((segment) => !neighbours.segments.some(({ key }) => key === segment));
  if (missing !== undefined) throw invalidField(`${unchecked.field}.serve.logic`, `there is no segment "${missing}"`);
  return override;
}

/** Checks a group by itself: it refers to nothing. Throws INVALID_FIELDS. */
export function checkGroup(regex: RegexCompiler, unchecked: Unchecked): GroupDefinition {
  requireStorable(unchecked.field, unchecked.definition, FLAG_MAX_DEPTH);
  return only(parseAll(regex, [unchecked], parseGroup));
}

/** As deep as the evaluator's bound on logic, and the few levels around it. */
const FLAG_MAX_DEPTH = 250;
/** Messages nest at most a hundred levels, of which one of JSON takes three. */
const VARIANT_MAX_DEPTH = 25;
const NO_KEYS: Keys = { flags: [], segments: [], groups: [] };
type Parser<T> = (parsing: Parsing, path: string, value: unknown) => T | undefined;

function parseAll<T>(regex: RegexCompiler, documents: readonly Unchecked[], parse: Parser<T>): T[] {
  const violations: FieldViolation[] = [];
  const parsed = documents.flatMap(({ field, definition }) => {
    const parsing = startParsing({ regex });
    const document = parse(parsing, "", definition);
    violations.push(...parsing.problems.map((problem) => violation(field, problem.field, problem.description)));
    return document === undefined ? [] : [document];
  });
  if (violations.length > 0) throw invalidFields(violations);
  return parsed;
}

/** The one of a list of one, which parsing has not shortened. */
export function only<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error("a document that was checked is gone");
  return item;
}

async function neighboursOf(tx: Queryable, changed: Keys, wanted: Keys): Promise<Definitions> {
  const { flags, segments, groups } = await selectNeighbours(tx, changed, wanted);
  return {
    flags: flags.map(({ definition }) => definition),
    segments: segments.map(({ definition }) => definition),
    groups: groups.map(({ definition }) => definition),
  };
}

function changesOf({ flags, segments, groups }: Definitions): FlagChanges {
  return { flags: { put: flags }, segments: { put: segments }, groups: { put: groups } };
}

// Thousands of tenants may override a flag: they are looked at in the database, by what they serve.
async function requireOverridesServed(tx: Queryable, flags: readonly FlagDefinition[], from: readonly Unchecked[]) {
  const byKey = new Map(flags.map((flag, index) => [flag.key, { flag, field: from[index]?.field ?? "" }]));
  const served = await selectOverriddenVariants(tx, [...byKey.keys()]);
  const violations = served.flatMap(({ flagKey, variant, tenantId }) => {
    const { flag, field } = byKey.get(flagKey) ?? {};
    if (!flag || Object.hasOwn(flag.variants, variant)) return [];
    return [{ field: `${field}.variants`, description: `tenants/${tenantId} is served "${variant}" by an override` }];
  });
  if (violations.length > 0) throw invalidFields(violations);
}

function keysOf(references: readonly References[]): Keys {
  return {
    flags: [...new Set(references.flatMap(({ flags }) => flags))],
    segments: [...new Set(references.flatMap(({ segments }) => segments))],
    groups: [...new Set(references.flatMap(({ groups }) => groups))],
  };
}

function draft(kind: Draft["kind"], key: string, from: Unchecked | undefined): Draft {
  return { kind, key, field: from?.field ?? "" };
}
