import type { Filter } from "./filter.ts";

/** Answers whether an object matches; the same as the SQL of the filter answers for its row. */
export function matchFilter(filter: Filter, object: Readonly<Record<string, unknown>>): boolean {
  switch (filter.kind) {
    case "and":
      return filter.parts.every((part) => matchFilter(part, object));
    case "or":
      return filter.parts.some((part) => matchFilter(part, object));
    case "not":
      return !matchFilter(filter.part, object);
    case "compare":
      return compare(filter, object[filter.path]);
    default:
      return filter satisfies never;
  }
}

function compare(filter: Extract<Filter, { kind: "compare" }>, found: unknown): boolean {
  const { field, key, comparator, value, wildcard } = filter;
  const map = field.type === "map" ? ((found ?? {}) as Record<string, unknown>) : undefined;
  if (map && key === undefined) return Object.hasOwn(map, String(value));
  const actual = map && key !== undefined ? (Object.hasOwn(map, key) ? map[key] : undefined) : found;
  if (actual === undefined || actual === null) return comparator === "!=";
  if (wildcard) return like(String(actual), String(value)) === (comparator !== "!=");
  const order = compareValues(actual, value);
  switch (comparator) {
    case "=":
    case ":":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
    default:
      return comparator satisfies never;
  }
}

function compareValues(actual: unknown, value: string | number | boolean): number {
  if (typeof value === "number") return Number(actual) - value;
  if (typeof value === "boolean") return Number(actual) - Number(value);
  return compareText(String(actual), value);
}

// Code point order, as the database's C collation has it.
function compareText(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let i = 0; i < Math.min(left.length, right.length); i += 1) {
    const difference = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

// Pieces between stars must follow one another: the leftmost fit of each is enough, so no backtracking.
function like(text: string, pattern: string): boolean {
  const pieces = pattern.split("*");
  const first = pieces[0] ?? "";
  const last = pieces[pieces.length - 1] ?? "";
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
