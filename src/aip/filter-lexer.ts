import { invalidField } from "../errors.ts";
import { echo } from "./echo.ts";
import { TIME_SOURCE } from "./filter-value.ts";

/** A piece of a filter, with where it starts. */
export interface Token {
  readonly kind: "word" | "string" | "comparator" | "symbol";
  readonly text: string;
  readonly at: number;
}

/** Cuts a filter into tokens, in one pass. Throws INVALID_FIELDS on "filter" for a string that is not closed. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text.charAt(at);
    if (char.trim() === "") {
      at += 1;
      continue;
    }
    const isValue = tokens.at(-1)?.kind === "comparator";
    const token = char === '"' || char === "'" ? quoted(text, at) : plain(text, at, isValue);
    tokens.push(token.token);
    at = token.end;
  }
  return tokens;
}

function quoted(text: string, start: number): { token: Token; end: number } {
  const quote = text.charAt(start);
  const chars: string[] = [];
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === quote) return { token: { kind: "string", text: chars.join(""), at: start }, end: at + 1 };
    if (char === "\\") at += 1;
    chars.push(text.charAt(at));
  }
  throw invalidField("filter", `the string at ${start} is not closed`);
}

// After a comparator a minus begins a value, else it negates what follows.
function plain(text: string, start: number, isValue: boolean): { token: Token; end: number } {
  const two = text.slice(start, start + 2);
  if (two === "<=" || two === ">=" || two === "!=") {
    return { token: { kind: "comparator", text: two, at: start }, end: start + 2 };
  }
  const char = text.charAt(start);
  if ("=<>:".includes(char)) return { token: { kind: "comparator", text: char, at: start }, end: start + 1 };
  if ("()".includes(char) || (char === "-" && !isValue))
    return { token: { kind: "symbol", text: char, at: start }, end: start + 1 };
  let end = start;
  while (end < text.length && !BREAKS.test(text.charAt(end))) end += 1;
  if (end === start) throw invalidField("filter", `unexpected ${echo(char)} at ${start}`);
  // A time is a word although it holds colons.
  const time = TIME.exec(text.slice(start, start + TIME_MAX_CHARACTERS));
  if (time) end = start + time[0].length;
  return { token: { kind: "word", text: text.slice(start, end), at: start }, end };
}

const BREAKS = /[\s()=<>:!"']/;
const TIME = new RegExp(`^${TIME_SOURCE}`);
/** The longest RFC 3339 time with nanoseconds and offset. */
const TIME_MAX_CHARACTERS = 40;
