import { invalidField } from "../errors.ts";
import { type Token, tokenize } from "./filter-lexer.ts";

/** A field that a filter may name: its type and the SQL expression behind it. */
export interface FilterField {
  readonly type: "string" | "enum" | "time" | "map";
  readonly column: string;
  /** The values of an enum. */
  readonly values?: readonly string[];
}
export type FilterSchema = Readonly<Record<string, FilterField>>;

export type Comparator = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":";

/** A parsed filter: a tree over comparisons whose fields and values are known to fit. */
export type Filter =
  | { readonly kind: "and" | "or"; readonly parts: readonly Filter[] }
  | { readonly kind: "not"; readonly part: Filter }
  | {
      readonly kind: "compare";
      readonly path: string;
      readonly field: FilterField;
      /** The key within a map. */
      readonly key: string | undefined;
      readonly comparator: Comparator;
      /** A text, or an instant in epoch milliseconds. */
      readonly value: string | number;
      /** True for a text in which `*` stands for any characters. */
      readonly wildcard: boolean;
    };

/**
 * Parses the subset of AIP-160 that lists and watches take: comparisons, NOT or -, OR (which binds tighter than AND),
 * AND or mere sequence, parentheses, `labels.key` and `labels:key`. Empty text gives undefined.
 * Throws INVALID_FIELDS on "filter" for anything else, with the position.
 */
export function parseFilter(text: string, schema: FilterSchema): Filter | undefined {
  if (text.length > MAX_LENGTH) throw invalidField("filter", `must be at most ${MAX_LENGTH} characters`);
  const parser: Parser = { tokens: tokenize(text), at: 0, nodes: 0, schema };
  if (parser.tokens.length === 0) return undefined;
  const filter = sequence(parser, 0);
  const rest = parser.tokens[parser.at];
  if (rest) throw unexpected(rest);
  return filter;
}

/** A filter is typed by people or built from a form; this is far beyond either. */
const MAX_LENGTH = 2_048;
/** Bounds what one filter can cost the database. */
const MAX_NODES = 64;
/** Bounds recursion. */
const MAX_DEPTH = 16;

interface Parser {
  readonly tokens: readonly Token[];
  at: number;
  nodes: number;
  readonly schema: FilterSchema;
}

function sequence(parser: Parser, depth: number): Filter {
  if (depth > MAX_DEPTH) throw invalidField("filter", `must nest at most ${MAX_DEPTH} levels`);
  const parts = [alternatives(parser, depth)];
  for (let token = parser.tokens[parser.at]; token && token.text !== ")"; token = parser.tokens[parser.at]) {
    if (token.kind === "word" && token.text === "AND") parser.at += 1;
    parts.push(alternatives(parser, depth));
  }
  return combine("and", parts);
}

function alternatives(parser: Parser, depth: number): Filter {
  const parts = [factor(parser, depth)];
  while (isWord(parser.tokens[parser.at], "OR")) {
    parser.at += 1;
    parts.push(factor(parser, depth));
  }
  return combine("or", parts);
}

function factor(parser: Parser, depth: number): Filter {
  const token = next(parser);
  parser.nodes += 1;
  if (parser.nodes > MAX_NODES) throw invalidField("filter", `must have at most ${MAX_NODES} terms`);
  if (isWord(token, "NOT") || token.text === "-") {
    if (depth > MAX_DEPTH) throw invalidField("filter", `must nest at most ${MAX_DEPTH} levels`);
    return { kind: "not", part: factor(parser, depth + 1) };
  }
  if (token.kind === "symbol" && token.text === "(") {
    const inner = sequence(parser, depth + 1);
    if (next(parser).text !== ")") throw invalidField("filter", "a parenthesis is not closed");
    return inner;
  }
  if (token.kind !== "word") throw unexpected(token);
  return comparison(parser, token);
}

function comparison(parser: Parser, name: Token): Filter {
  const [head = "", ...tail] = name.text.split(".");
  const exact = parser.schema[name.text];
  const field = exact ?? parser.schema[head];
  if (!field || (!exact && field.type !== "map")) {
    const known = Object.keys(parser.schema).join(", ");
    throw invalidField("filter", `unknown field "${name.text}" at ${name.at}; known are ${known}`);
  }
  const key = field.type === "map" && tail.length > 0 ? tail.join(".") : undefined;
  const operator = next(parser);
  if (operator.kind !== "comparator") throw unexpected(operator);
  const comparator = operator.text as Comparator;
  const value = next(parser);
  if (value.kind !== "word" && value.kind !== "string") throw unexpected(value);
  const path = exact ? name.text : head;
  return { kind: "compare", path, field, key, ...typed(field, key, comparator, value), comparator };
}

function typed(field: FilterField, key: string | undefined, comparator: Comparator, token: Token) {
  const refuse = (why: string) => invalidField("filter", `${why} at ${token.at}`);
  if (field.type === "time") {
    const value = Date.parse(token.text);
    if (!/^\d{4}-\d\d-\d\d/.test(token.text) || Number.isNaN(value))
      throw refuse(`"${token.text}" is no RFC 3339 time`);
    if (comparator === ":") throw refuse("a time has no ':'");
    return { value, wildcard: false };
  }
  if (field.type === "enum") {
    if (comparator !== "=" && comparator !== "!=") throw refuse("an enum can only be = or !=");
    if (!field.values?.includes(token.text)) throw refuse(`"${token.text}" is none of ${field.values?.join(", ")}`);
    return { value: token.text, wildcard: false };
  }
  if (field.type === "map" && key === undefined && comparator !== ":") throw refuse("name a key, or ask with ':'");
  const equality = comparator === "=" || comparator === "!=" || comparator === ":";
  return { value: token.text, wildcard: equality && token.text.includes("*") };
}

function combine(kind: "and" | "or", parts: readonly Filter[]): Filter {
  const [only] = parts;
  return parts.length === 1 && only ? only : { kind, parts };
}

function next(parser: Parser): Token {
  const token = parser.tokens[parser.at];
  if (!token) throw invalidField("filter", "ends too early");
  parser.at += 1;
  return token;
}

function isWord(token: Token | undefined, text: string): boolean {
  return token?.kind === "word" && token.text === text;
}

function unexpected(token: Token): Error {
  return invalidField("filter", `unexpected "${token.text}" at ${token.at}`);
}
