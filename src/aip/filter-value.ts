import { invalidField } from "../errors.ts";
import { echo } from "./echo.ts";
import type { Comparator, FilterField } from "./filter.ts";
import type { Token } from "./filter-lexer.ts";

/** A value that fits its field; `wildcard` is true for a text in which `*` stands for any characters. */
export interface FilterValue {
  readonly value: string | number | boolean;
  readonly wildcard: boolean;
}

/** Reads the value of a comparison as its field's type. Throws INVALID_FIELDS on "filter" when it does not fit. */
export function parseValue(field: FilterField, hasKey: boolean, comparator: Comparator, token: Token): FilterValue {
  const { text } = token;
  const refuse = (why: string) => invalidField("filter", `${why} at ${token.at}`);
  const equality = comparator === "=" || comparator === "!=";
  switch (field.type) {
    case "time": {
      const at = parseInstant(text);
      if (comparator === ":") throw refuse("a time has no ':'");
      if (at === undefined) throw refuse(`${echo(text)} is no RFC 3339 time of milliseconds`);
      return exact(at);
    }
    case "number":
      if (comparator === ":") throw refuse("a number has no ':'");
      if (!NUMBER.test(text)) throw refuse(`${echo(text)} is no number`);
      return exact(Number(text));
    case "boolean":
      if (!equality) throw refuse("a boolean can only be = or !=");
      if (text !== "true" && text !== "false") throw refuse(`${echo(text)} is neither true nor false`);
      return exact(text === "true");
    case "enum":
      if (!equality) throw refuse("an enum can only be = or !=");
      if (!field.values?.includes(text)) throw refuse(`${echo(text)} is none of ${field.values?.join(", ")}`);
      return exact(text);
    case "map":
      if (!hasKey && comparator !== ":") throw refuse("name a key, or ask with ':'");
      return hasKey ? wild(text, comparator) : exact(text);
    case "string":
      return wild(text, comparator);
    default:
      return field.type satisfies never;
  }
}

/** How a time begins a text: the lexer takes it as one word although it holds colons. */
export const TIME_SOURCE = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)`;

const TIME = /^(\d{4}-\d\d-\d\d)T(?:[01]\d|2[0-3])(?::[0-5]\d){2}(\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
/** The years 1 to 9999, as in google.protobuf.Timestamp: all that both JavaScript and Postgres write the same way. */
const TIME_MIN = Date.parse("0001-01-01T00:00:00Z");
const TIME_MAX = Date.parse("9999-12-31T23:59:59.999Z");
/** Integers of this length are exact in a double. */
const NUMBER = /^-?\d{1,15}(\.\d{1,9})?$/;

// Date.parse takes much more than RFC 3339, and 30 February for 2 March.
function parseInstant(text: string): number | undefined {
  const [, day = "", fraction = ""] = TIME.exec(text) ?? [];
  const midnight = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(day)) return undefined;
  // Stored instants have milliseconds: a finer one would be cut, and >= would answer wrongly.
  if (/[1-9]/.test(fraction.slice(4))) return undefined;
  const at = Date.parse(text.replace(fraction, fraction.slice(0, 4)));
  return at >= TIME_MIN && at <= TIME_MAX ? at : undefined;
}

function exact(value: string | number | boolean): FilterValue {
  return { value, wildcard: false };
}

function wild(value: string, comparator: Comparator): FilterValue {
  return { value, wildcard: (comparator === "=" || comparator === "!=" || comparator === ":") && value.includes("*") };
}
