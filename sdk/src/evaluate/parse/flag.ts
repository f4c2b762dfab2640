import type {
  EntitlementGate,
  FlagDefinition,
  FlagKind,
  FlagValue,
  GroupRange,
  Metadata,
  Prerequisite,
  Rule,
} from "../definition.ts";
import { SHARES } from "../definition.ts";
import {
  DESCRIPTION_MAX_CHARS,
  METADATA_MAX,
  NAME_MAX_CHARS,
  PREREQUISITES_MAX,
  RULES_MAX,
  VALUE_MAX_DEPTH,
  VARIANTS_MAX,
} from "./bounds.ts";
import { parseMatch, parsePath } from "./match.ts";
import {
  addProblem,
  at,
  atKey,
  isObject,
  type Parsing,
  parseBoolean,
  parseFields,
  parseJson,
  parseList,
  parseText,
  parseWhole,
  parseWord,
} from "./parsing.ts";
import { parseServe, parseVariant, type Variants } from "./serve.ts";

const FIELDS = [
  "key",
  "kind",
  "state",
  "killed",
  "variants",
  "offVariant",
  "defaultServe",
  "prerequisites",
  "entitlement",
  "group",
  "rules",
  "salt",
  "bucketing",
  "bucketBy",
  "clientVisible",
  "metadata",
] as const;
const KINDS = ["boolean", "string", "number", "object"] as const;
const STATES = ["ENABLED", "DISABLED"] as const;

/** Takes a value for a flag. What it refers to outside of itself is not looked at. Undefined, with problems, when it isn't one. */
export function parseFlag(parsing: Parsing, path: string, value: unknown): FlagDefinition | undefined {
  const before = parsing.problems.length;
  const fields = parseFields(parsing, path, value, FIELDS);
  if (fields === undefined) return undefined;
  const key = parseText(parsing, at(path, "key"), fields.key);
  const kind = parseWord(parsing, at(path, "kind"), fields.kind, KINDS);
  const state = parseWord(parsing, at(path, "state"), fields.state, STATES);
  const variants = parseVariants(parsing, at(path, "variants"), fields.variants, kind);
  const names = variants === undefined ? undefined : new Set(Object.keys(variants));
  const salt = parseText(parsing, at(path, "salt"), fields.salt);
  if (fields.bucketing !== 1) addProblem(parsing, at(path, "bucketing"), "must be 1, the only version there is");
  const optional = defined({
    killed: parseBoolean(parsing, at(path, "killed"), fields.killed),
    offVariant: ifGiven(fields.offVariant, (given) => parseVariant(parsing, at(path, "offVariant"), given, names)),
    defaultServe: ifGiven(fields.defaultServe, (given) => parseServe(parsing, at(path, "defaultServe"), given, names)),
    prerequisites: parsePrerequisites(parsing, at(path, "prerequisites"), fields.prerequisites),
    entitlement: ifGiven(fields.entitlement, (given) =>
      parseEntitlement(parsing, at(path, "entitlement"), given, names),
    ),
    group: ifGiven(fields.group, (given) => parseRange(parsing, at(path, "group"), given)),
    rules: parseRules(parsing, at(path, "rules"), fields.rules, names),
    bucketBy: ifGiven(fields.bucketBy, (given) => parsePath(parsing, at(path, "bucketBy"), given)),
    clientVisible: parseBoolean(parsing, at(path, "clientVisible"), fields.clientVisible),
    metadata: parseMetadata(parsing, at(path, "metadata"), fields.metadata),
  });
  if (parsing.problems.length > before) return undefined;
  if (key === undefined || kind === undefined || state === undefined || variants === undefined || salt === undefined) {
    return undefined;
  }
  return { key, kind, state, variants, salt, bucketing: 1, ...optional };
}

/** Takes a value, if there is one, for facts that telemetry carries. */
export function parseMetadata(parsing: Parsing, path: string, value: unknown): Metadata | undefined {
  if (value === undefined) return undefined;
  if (!isObject(value)) return addProblem(parsing, path, "must be an object");
  const names = Object.keys(value);
  if (names.length > METADATA_MAX) return addProblem(parsing, path, `must have at most ${METADATA_MAX} entries`);
  const entries = names.map((name) => {
    const fact = value[name];
    const where = atKey(path, name);
    parseText(parsing, where, name);
    if (typeof fact === "string")
      return [name, fact === "" ? "" : parseText(parsing, where, fact, DESCRIPTION_MAX_CHARS)];
    if (typeof fact === "boolean" || (typeof fact === "number" && Number.isFinite(fact))) return [name, fact];
    return [name, addProblem(parsing, where, "must be a string, a number or a boolean")];
  });
  return Object.fromEntries(entries) as Metadata;
}

/** The fields that are there. */
export function defined<T extends object>(fields: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: Exclude<T[Name], undefined>;
  };
}

/** What `parse` makes of a value, if there is one. */
export function ifGiven<T>(value: unknown, parse: (given: unknown) => T | undefined): T | undefined {
  return value === undefined ? undefined : parse(value);
}

function parseVariants(
  parsing: Parsing,
  path: string,
  value: unknown,
  kind: FlagKind | undefined,
): Readonly<Record<string, FlagValue>> | undefined {
  if (!isObject(value)) return addProblem(parsing, path, "must be an object");
  const names = Object.keys(value);
  if (names.length < 1 || names.length > VARIANTS_MAX) {
    return addProblem(parsing, path, `must have 1 to ${VARIANTS_MAX} entries`);
  }
  const entries = names.map((name) => {
    const where = atKey(path, name);
    if (name === "" || name.length > NAME_MAX_CHARS) {
      addProblem(parsing, where, `the name must have 1 to ${NAME_MAX_CHARS} characters`);
    }
    const json = parseJson(parsing, where, value[name], VALUE_MAX_DEPTH);
    const fits = kind === "object" ? isObject(json) : kind === undefined || typeof json === kind;
    if (!fits)
      addProblem(parsing, where, `must be ${kind === "object" ? "an object" : `a ${kind}`}, as the flag's kind says`);
    return [name, json];
  });
  return Object.fromEntries(entries) as Record<string, FlagValue>;
}

function parsePrerequisites(parsing: Parsing, path: string, value: unknown): Prerequisite[] | undefined {
  return parseList(parsing, path, value, {
    max: PREREQUISITES_MAX,
    parse: (where, item) => {
      const fields = parseFields(parsing, where, item, ["flag", "variants"]);
      if (fields === undefined) return undefined;
      const flag = parseText(parsing, at(where, "flag"), fields.flag);
      const variants = parseList(parsing, at(where, "variants"), fields.variants, {
        max: VARIANTS_MAX,
        parse: (place, variant) => parseText(parsing, place, variant),
      });
      if (variants === undefined || variants.length === 0) {
        return addProblem(parsing, at(where, "variants"), "must name at least one variant");
      }
      return flag === undefined ? undefined : { flag, variants };
    },
  });
}

function parseEntitlement(
  parsing: Parsing,
  path: string,
  value: unknown,
  variants: Variants,
): EntitlementGate | undefined {
  const fields = parseFields(parsing, path, value, ["feature", "otherwise"]);
  if (fields === undefined) return undefined;
  const feature = parseText(parsing, at(path, "feature"), fields.feature);
  const otherwise = ifGiven(fields.otherwise, (given) => parseVariant(parsing, at(path, "otherwise"), given, variants));
  return feature === undefined ? undefined : { feature, ...defined({ otherwise }) };
}

function parseRange(parsing: Parsing, path: string, value: unknown): GroupRange | undefined {
  const fields = parseFields(parsing, path, value, ["group", "from", "to"]);
  if (fields === undefined) return undefined;
  const group = parseText(parsing, at(path, "group"), fields.group);
  const from = parseWhole(parsing, at(path, "from"), fields.from, { min: 0, max: SHARES });
  const to = parseWhole(parsing, at(path, "to"), fields.to, { min: 0, max: SHARES });
  if (from !== undefined && to !== undefined && from >= to) addProblem(parsing, at(path, "to"), "must be above `from`");
  return group === undefined || from === undefined || to === undefined ? undefined : { group, from, to };
}

function parseRules(parsing: Parsing, path: string, value: unknown, variants: Variants): Rule[] | undefined {
  const ids = new Set<string>();
  return parseList(parsing, path, value, {
    max: RULES_MAX,
    parse: (where, item) => {
      const fields = parseFields(parsing, where, item, ["id", "description", "match", "serve"]);
      if (fields === undefined) return undefined;
      const id = parseText(parsing, at(where, "id"), fields.id);
      if (id !== undefined && ids.has(id)) addProblem(parsing, at(where, "id"), "is the id of an earlier rule");
      ids.add(id ?? "");
      const description = ifGiven(fields.description, (given) =>
        given === "" ? undefined : parseText(parsing, at(where, "description"), given, DESCRIPTION_MAX_CHARS),
      );
      const match = ifGiven(fields.match, (given) => parseMatch(parsing, at(where, "match"), given));
      const serve = parseServe(parsing, at(where, "serve"), fields.serve, variants);
      if (id === undefined || serve === undefined) return undefined;
      return { id, serve, ...defined({ description, match }) };
    },
  });
}
