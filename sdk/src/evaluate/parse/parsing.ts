import type { JsonObject, JsonValue } from "../json.ts";
import type { RegexCompiler } from "../operator/regex.ts";
import { DOCUMENT_MAX_CHARS, NAME_MAX_CHARS, PROBLEMS_MAX } from "./bounds.ts";

/** What is wrong with a document, and where: a path such as `rules[2].match.clauses[0].values`. */
export interface Problem {
  readonly field: string;
  readonly description: string;
}

/** One document on its way from unknown data to a definition. Every parser adds what it finds wrong, and goes on. */
export interface Parsing {
  readonly problems: Problem[];
  readonly regex: RegexCompiler | undefined;
  /** "strict" refuses what flagd's schema refuses; "lenient" only what can't be compiled. */
  readonly logic: "strict" | "lenient";
  /** What is left of the document's `DOCUMENT_MAX_CHARS`. */
  charsLeft: number;
}

/** What parsers need to know besides the data. */
export interface ParseOptions {
  /** Without it, regular expressions are refused. */
  readonly regex?: RegexCompiler | undefined;
  /** "strict" by default. */
  readonly logic?: "strict" | "lenient" | undefined;
}

/** Starts the parsing of one document. */
export function startParsing(options: ParseOptions): Parsing {
  return { problems: [], regex: options.regex, logic: options.logic ?? "strict", charsLeft: DOCUMENT_MAX_CHARS };
}

/** Notes what is wrong with a field; further ones than `PROBLEMS_MAX` are dropped. */
export function addProblem(parsing: Parsing, field: string, description: string): undefined {
  if (parsing.problems.length < PROBLEMS_MAX) parsing.problems.push({ field: field === "" ? "." : field, description });
  return undefined;
}

/** The path of a field of an object. */
export function at(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** The path of an entry of a map. */
export function atKey(path: string, key: string): string {
  return `${path}[${JSON.stringify(key.length > NAME_MAX_CHARS ? `${key.slice(0, NAME_MAX_CHARS)}…` : key)}]`;
}

/** The fields of an object, each of them known; undefined when the value is no object. */
export type Fields<Name extends string> = { readonly [N in Name]?: unknown };

/** Takes a value for an object with some of the named fields. A field that this evaluator doesn't know may mean anything, so it is refused. */
export function parseFields<Name extends string>(
  parsing: Parsing,
  path: string,
  value: unknown,
  names: readonly Name[],
): Fields<Name> | undefined {
  if (!isObject(value)) return addProblem(parsing, path, "must be an object");
  for (const name of Object.keys(value)) {
    if (!(names as readonly string[]).includes(name)) addProblem(parsing, at(path, name), "is not known");
  }
  return Object.fromEntries(
    names.filter((name) => Object.hasOwn(value, name)).map((name) => [name, value[name]]),
  ) as Fields<Name>;
}

/** Takes a value for text of 1 to `maxChars` characters. */
export function parseText(
  parsing: Parsing,
  path: string,
  value: unknown,
  maxChars = NAME_MAX_CHARS,
): string | undefined {
  if (typeof value !== "string") return addProblem(parsing, path, "must be a string");
  if (value === "") return addProblem(parsing, path, "must not be empty");
  if (value.length > maxChars) return addProblem(parsing, path, `must have at most ${maxChars} characters`);
  return spend(parsing, path, value.length) ? value : undefined;
}

/** Takes a value, if there is one, for a boolean. */
export function parseBoolean(parsing: Parsing, path: string, value: unknown): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  return addProblem(parsing, path, "must be a boolean");
}

/** Takes a value for a whole number within a range. */
export function parseWhole(
  parsing: Parsing,
  path: string,
  value: unknown,
  range: { readonly min: number; readonly max: number },
): number | undefined {
  if (typeof value === "number" && Number.isInteger(value) && value >= range.min && value <= range.max) return value;
  return addProblem(parsing, path, `must be a whole number from ${range.min} to ${range.max}`);
}

/** Takes a value for one of a few words. */
export function parseWord<Word extends string>(
  parsing: Parsing,
  path: string,
  value: unknown,
  words: readonly Word[],
): Word | undefined {
  const word = words.find((candidate) => candidate === value);
  return word ?? addProblem(parsing, path, `must be one of ${words.join(", ")}`);
}

/** Takes a value, if there is one, for a list, and its entries for what `parse` makes of them; those that it can't read are left out. */
export function parseList<Item>(
  parsing: Parsing,
  path: string,
  value: unknown,
  list: { readonly max: number; readonly parse: (path: string, item: unknown) => Item | undefined },
): Item[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) return addProblem(parsing, path, "must be a list");
  if (value.length > list.max) return addProblem(parsing, path, `must have at most ${list.max} entries`);
  const items = value.map((item: unknown, index) => list.parse(`${path}[${index}]`, item));
  // A filtered list has room for more, and there are many lists.
  return items.includes(undefined) ? items.filter((item) => item !== undefined) : (items as Item[]);
}

/** Takes a value for JSON: a frozen copy of it, which nothing can change later. */
export function parseJson(parsing: Parsing, path: string, value: unknown, maxDepth: number): JsonValue | undefined {
  if (maxDepth < 0) return addProblem(parsing, path, "is nested too deeply");
  if (!spend(parsing, path, typeof value === "string" ? value.length + 1 : 1)) return undefined;
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (Array.isArray(value)) {
    if (!spend(parsing, path, value.length)) return undefined;
    const items = value.map(
      (item: unknown, index) => parseJson(parsing, `${path}[${index}]`, item, maxDepth - 1) ?? null,
    );
    return Object.freeze(items);
  }
  if (isObject(value)) return parseJsonObject(parsing, path, value, maxDepth);
  return addProblem(parsing, path, "must be a JSON value");
}

function parseJsonObject(
  parsing: Parsing,
  path: string,
  value: Readonly<Record<string, unknown>>,
  maxDepth: number,
): JsonObject | undefined {
  const names = Object.keys(value);
  if (!spend(parsing, path, names.length)) return undefined;
  const entries = names.map((name) => {
    const item = value[name];
    spend(parsing, path, name.length);
    return [name, parseJson(parsing, at(path, name), item, maxDepth - 1) ?? null] as const;
  });
  // fromEntries defines own properties, so that a name such as "__proto__" is one like any other.
  return Object.freeze(Object.fromEntries(entries));
}

/** Whether a value is an object and neither null nor a list. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function spend(parsing: Parsing, path: string, chars: number): boolean {
  if (parsing.charsLeft < 0) return false;
  parsing.charsLeft -= chars;
  if (parsing.charsLeft < 0)
    addProblem(parsing, path, `the whole document must have at most ${DOCUMENT_MAX_CHARS} characters`);
  return parsing.charsLeft >= 0;
}
