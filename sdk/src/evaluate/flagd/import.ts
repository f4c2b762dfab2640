import type { FlagDefinition, FlagKind, Metadata, SegmentDefinition } from "../definition.ts";
import type { JsonValue } from "../json.ts";
import { checkLogic } from "../logic/schema.ts";
import { LOGIC_MAX_DEPTH, NAME_MAX_CHARS } from "../parse/bounds.ts";
import { defined, parseMetadata } from "../parse/flag.ts";
import {
  addProblem,
  at,
  atKey,
  isObject,
  type ParseOptions,
  type Parsing,
  type Problem,
  parseJson,
  startParsing,
} from "../parse/parsing.ts";

/** A document of flagd's, as definitions: what `Evaluator.apply` puts. Paths of problems are those of the document. */
export interface Imported {
  readonly flags: readonly Partial<FlagDefinition>[];
  readonly segments: readonly SegmentDefinition[];
  readonly metadata: Metadata | undefined;
  readonly problems: readonly Problem[];
}

/** "provider": the form that providers take. "daemon": the form that the flagd daemon takes, where flags may be a list as well. */
export type FlagdForm = "provider" | "daemon";

/** The id of the rule that carries a flag's targeting. */
export const TARGETING_RULE = "targeting";

/**
 * Reads flagd's JSON (the parsed document). Everything that flagd evaluates comes along: targeting as logic, shared evaluators as segments,
 * and the flag's key as its salt. What is wrong is in `problems`, by flagd's schema, or leniently only as far as it can't be evaluated; a flag
 * with problems is among the flags nevertheless, for a lenient set to answer PARSE_ERROR for.
 */
export function importFlagd(document: unknown, form: FlagdForm, options: ParseOptions = {}): Imported {
  const parsing = startParsing(options);
  if (!isObject(document)) {
    addProblem(parsing, "", "must be an object");
    return { flags: [], segments: [], metadata: undefined, problems: parsing.problems };
  }
  const problems: Problem[] = [];
  const each = <T>(path: string, parse: (parsing: Parsing, path: string) => T): T => {
    const own = startParsing(options);
    const parsed = parse(own, path);
    problems.push(...own.problems);
    return parsed;
  };
  const flags = entriesOf(parsing, document.flags, form).map(({ key, path, value }) =>
    each(path, (own) => importFlag(own, path, key, value)),
  );
  const segments = evaluatorsOf(parsing, document.$evaluators).map(([key, value]) =>
    each(atKey("$evaluators", key), (own, path): SegmentDefinition => {
      return { key, matches: [{ logic: importLogic(own, path, value) }] };
    }),
  );
  const metadata = parseMetadata(parsing, "metadata", document.metadata);
  checkSetMetadata(parsing, document.metadata);
  return { flags, segments, metadata, problems: [...parsing.problems, ...problems] };
}

interface Entry {
  readonly key: string;
  readonly path: string;
  readonly value: unknown;
}

function entriesOf(parsing: Parsing, flags: unknown, form: FlagdForm): Entry[] {
  if (isObject(flags)) {
    const keys = Object.keys(flags);
    if (keys.includes("")) addProblem(parsing, "flags", "must have no empty key");
    return keys.map((key) => ({ key, path: atKey("flags", key), value: flags[key] }));
  }
  if (!Array.isArray(flags) || form === "provider") {
    addProblem(parsing, "flags", form === "provider" ? "must be an object" : "must be an object or a list");
    return [];
  }
  return flags.map((value: unknown, index) => {
    const path = `flags[${index}]`;
    const key = isObject(value) && typeof value.key === "string" ? value.key : "";
    if (key === "") addProblem(parsing, at(path, "key"), "must be a string, and not empty");
    return { key, path, value };
  });
}

function evaluatorsOf(parsing: Parsing, evaluators: unknown): [string, unknown][] {
  if (evaluators === undefined) return [];
  if (isObject(evaluators)) return Object.entries(evaluators);
  addProblem(parsing, "$evaluators", "must be an object");
  return [];
}

function importFlag(parsing: Parsing, path: string, key: string, value: unknown): Partial<FlagDefinition> {
  const base = { key, salt: key, bucketing: 1 } as const;
  if (!isObject(value)) {
    addProblem(parsing, path, "must be an object");
    return base;
  }
  if (key.length > NAME_MAX_CHARS) addProblem(parsing, path, `the key must have at most ${NAME_MAX_CHARS} characters`);
  const state = value.state === "ENABLED" || value.state === "DISABLED" ? value.state : undefined;
  if (state === undefined) addProblem(parsing, at(path, "state"), "must be ENABLED or DISABLED");
  const variants = isObject(value.variants) ? (value.variants as FlagDefinition["variants"]) : undefined;
  const kind = kindOf(parsing, at(path, "variants"), variants);
  const variant = importDefault(parsing, at(path, "defaultVariant"), value.defaultVariant, variants);
  const targeting = importTargeting(parsing, at(path, "targeting"), value.targeting);
  return {
    ...base,
    ...defined({
      state,
      kind,
      variants,
      defaultServe: variant === undefined ? undefined : { variant },
      rules: targeting === undefined ? undefined : [{ id: TARGETING_RULE, serve: { logic: targeting } }],
      metadata: parseMetadata(parsing, at(path, "metadata"), value.metadata),
    }),
  };
}

const KINDS: readonly string[] = ["boolean", "string", "number", "object"];

/** The one type of all variants. */
function kindOf(
  parsing: Parsing,
  path: string,
  variants: FlagDefinition["variants"] | undefined,
): FlagKind | undefined {
  const types = new Set(Object.values(variants ?? {}).map(typeOf));
  const [type] = types;
  if (type === undefined) return addProblem(parsing, path, "must be an object with at least one variant");
  if (types.size > 1 || !KINDS.includes(type)) {
    return addProblem(parsing, path, `must all be of one type, one of ${KINDS.join(", ")}`);
  }
  return type as FlagKind;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "list" : typeof value;
}

/** JavaScript's flagd takes an empty name for none. */
function importDefault(
  parsing: Parsing,
  path: string,
  name: unknown,
  variants: FlagDefinition["variants"] | undefined,
): string | undefined {
  if (name === undefined || name === null || name === "") return undefined;
  if (typeof name !== "string") return addProblem(parsing, path, "must be a string or null");
  // One such flag makes providers refuse the whole document.
  if (variants !== undefined && !Object.hasOwn(variants, name))
    addProblem(parsing, path, "must be one of the variants");
  return name;
}

function importTargeting(parsing: Parsing, path: string, targeting: unknown): JsonValue | undefined {
  if (targeting === undefined || (isObject(targeting) && Object.keys(targeting).length === 0)) return undefined;
  return importLogic(parsing, path, targeting);
}

function importLogic(parsing: Parsing, path: string, value: unknown): JsonValue {
  if (!isObject(value)) addProblem(parsing, path, "must be an object");
  const logic = parseJson(parsing, path, value, LOGIC_MAX_DEPTH) ?? null;
  checkLogic(parsing, path, logic);
  return logic;
}

/** The two names that the schema gives a type. */
function checkSetMetadata(parsing: Parsing, metadata: unknown): void {
  if (!isObject(metadata)) return;
  for (const name of ["flagSetId", "version"]) {
    const value = metadata[name];
    if (value !== undefined && typeof value !== "string")
      addProblem(parsing, atKey("metadata", name), "must be a string");
  }
}
