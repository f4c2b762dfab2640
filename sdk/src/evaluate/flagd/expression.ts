import type { JsonValue } from "../json.ts";

/*
 * Small pieces of JsonLogic. They mean the same to flagd's evaluators, compiled or interpreted: operators that fail on some types
 * are asked only behind an `and`, and flagd's own operators not within loops, where its JavaScript fails.
 */

/** What stands at a path of the context. */
export function variable(path: string): JsonValue {
  return { var: path };
}

/** Within a loop, the element. */
export const ELEMENT: JsonValue = { var: "" };

export const TIMESTAMP: JsonValue = { var: "$flagd.timestamp" };

/** Holds when all do; those that are known beforehand are left out. */
export function and(parts: readonly JsonValue[]): JsonValue {
  if (parts.includes(false)) return false;
  return joined(
    "and",
    parts.filter((part) => part !== true),
    true,
  );
}

/** Holds when one does; those that are known beforehand are left out. */
export function or(parts: readonly JsonValue[]): JsonValue {
  if (parts.includes(true)) return true;
  return joined(
    "or",
    parts.filter((part) => part !== false),
    false,
  );
}

export function not(part: JsonValue): JsonValue {
  return typeof part === "boolean" ? !part : { "!": [part] };
}

function joined(operator: "and" | "or", parts: readonly JsonValue[], ofNone: boolean): JsonValue {
  const [first, second] = parts;
  if (first === undefined) return ofNone;
  return second === undefined ? first : { [operator]: parts };
}

/** Only text is the same as its text. */
export function isText(value: JsonValue): JsonValue {
  return and([{ "!==": [value, null] }, { "===": [{ cat: [value] }, value] }]);
}

export function isNumber(value: JsonValue): JsonValue {
  const text = { cat: [value] };
  return and([
    not({ in: [value, [null, true, false]] }),
    // What is no list is in the list of one that `merge` makes of it.
    { in: [value, { merge: [value] }] },
    { "!==": [text, "[object Object]"] },
    { "!==": [text, value] },
  ]);
}

export function isTextOrNumber(value: JsonValue): JsonValue {
  return or([isText(value), isNumber(value)]);
}

/** Holds for the value, or for one of its elements if it is a list. */
export function some(value: JsonValue, test: JsonValue): JsonValue {
  return { some: [{ merge: [value] }, test] };
}
