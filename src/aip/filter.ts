import { invalidField } from "../errors.ts";
import { echo } from "./echo.ts";
import { type Token, tokenize } from "./filter-lexer.ts";
import { type FilterValue, parseValue } from "./filter-value.ts";

/** A field that a filter may name: its type and the SQL expression behind it. */
export interface FilterField {
  readonly type: "string" | "enum" | "time" | "number" | "boolean" | "map";
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
  | (FilterValue & {
      readonly kind: "compare";
      readonly path: string;
      readonly field: FilterField;
      /** The key within a map. */
      readonly key: string | undefined;
      readonly comparator: Comparator;
    });

/**
 * Parses the subset of AIP-160 that lists and watches take: comparisons, NOT or -, OR (which binds tighter than AND),
 * AND or mere sequence, parentheses, `labels.key` and `labels:key`. Empty text gives undefined.
 * Throws INVALID_FIELDS on "filter" for anything else, with the position.
 */
export function parseFilter(text: string, schema: FilterSchema): Filter | undefined {
  if (text.length > MAX_LENGTH) throw invalidField("filter", `must be at most ${MAX_LENGTH} characters`);
  // No text in the database holds these, and Postgres refuses to be asked.
  if (text.includes("\0") || !text.isWellFormed()) throw invalidField("filter", "must be Unicode text without NUL");
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
  for (let token = parser.tokens[parser.at]; token && !isSymbol(token, ")"); token = parser.tokens[parser.at]) {
    if (isWord(token, "AND")) parser.at += 1;
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
  if (isWord(token, "NOT") || isSymbol(token, "-")) {
    if (depth > MAX_DEPTH) throw invalidField("filter", `must nest at most ${MAX_DEPTH} levels`);
    return { kind: "not", part: factor(parser, depth + 1) };
  }
  if (isSymbol(token, "(")) {
    const inner = sequence(parser, depth + 1);
    // A sequence ends at a closing parenthesis or at the end of the text.
    next(parser);
    return inner;
  }
  if (token.kind !== "word") throw unexpected(token);
  return comparison(parser, token);
}

function comparison(parser: Parser, name: Token): Filter {
  const [head = "", ...tail] = name.text.split(".");
  const exact = fieldOf(parser, name.text);
  const field = exact ?? fieldOf(parser, head);
  if (!field || (!exact && field.type !== "map")) {
    const known = Object.keys(parser.schema).join(", ");
    throw invalidField("filter", `unknown field ${echo(name.text)} at ${name.at}; known are ${known}`);
  }
  const key = field.type === "map" && tail.length > 0 ? tail.join(".") : undefined;
  const operator = next(parser);
  if (operator.kind !== "comparator") throw unexpected(operator);
  const comparator = operator.text as Comparator;
  const value = next(parser);
  if (value.kind !== "string" && (value.kind !== "word" || KEYWORDS.has(value.text))) throw unexpected(value);
  const path = exact ? name.text : head;
  return { kind: "compare", path, field, key, comparator, ...parseValue(field, key !== undefined, comparator, value) };
}

/** As values they must be quoted: unquoted, a value was forgotten. */
const KEYWORDS: ReadonlySet<string> = new Set(["AND", "OR", "NOT"]);

function fieldOf(parser: Parser, path: string): FilterField | undefined {
  return Object.hasOwn(parser.schema, path) ? parser.schema[path] : undefined;
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

function isSymbol(token: Token, text: string): boolean {
  return token.kind === "symbol" && token.text === text;
}

function unexpected(token: Token): Error {
  return invalidField("filter", `unexpected ${echo(token.text)} at ${token.at}`);
}
