import { compareVersions, parseVersion } from "../operator/semver.ts";
import { INVALID_ARGUMENTS, type Operation, TOO_MUCH_WORK } from "./expression.ts";

/** The longest text or list that logic may make; json-logic-engine's own limits. */
const TEXT_MAX_CHARS = 65_536;
const LIST_MAX_ITEMS = 32_768;

/** The operators on texts and lists that don't loop. */
export const TEXT: Readonly<Record<string, Operation>> = {
  cat: (args) => {
    let text = "";
    for (const arg of args) {
      if (arg !== null && arg !== undefined) text += String(arg);
      if (text.length > TEXT_MAX_CHARS) throw TOO_MUCH_WORK;
    }
    return text;
  },
  in: ([item, container]) => {
    // Nothing is in nothing, not even the empty text in itself.
    if (!container) return false;
    if (typeof container === "string") return container.includes(String(item));
    if (Array.isArray(container)) return container.includes(item);
    throw INVALID_ARGUMENTS;
  },
  substr: ([text, from, length]) => {
    if (typeof text !== "string") throw INVALID_ARGUMENTS;
    return substring(text, Number(from), length === undefined ? undefined : Number(length));
  },
  merge: (args) => {
    const merged = args.flat();
    if (merged.length > LIST_MAX_ITEMS) throw TOO_MUCH_WORK;
    return merged;
  },
  starts_with: (args) => compareTexts(args, (text, part) => text.startsWith(part)),
  ends_with: (args) => compareTexts(args, (text, part) => text.endsWith(part)),
  sem_ver: (args) => {
    const [first, comparison, second] = args;
    const a = args.length === 3 ? parseVersion(textual(first)) : undefined;
    const b = parseVersion(textual(second));
    if (a === undefined || b === undefined) return null;
    if (comparison === "^") return a.major === b.major;
    if (comparison === "~") return a.major === b.major && a.minor === b.minor;
    return holds(compareVersions(a, b), String(comparison));
  },
};

/** As `String.prototype.substr` does it, but a negative length counts from the end. */
function substring(text: string, from: number, length: number | undefined): string {
  const start = Math.trunc(from < 0 ? Math.max(0, text.length + from) : from || 0);
  const rest = text.slice(start);
  if (length === undefined) return rest;
  return length < 0
    ? rest.slice(0, Math.max(0, rest.length + Math.trunc(length)))
    : rest.slice(0, Math.trunc(length) || 0);
}

function compareTexts(args: readonly unknown[], compare: (text: string, part: string) => boolean): boolean | null {
  const [text, part] = args;
  return args.length === 2 && typeof text === "string" && typeof part === "string" ? compare(text, part) : null;
}

function textual(value: unknown): unknown {
  return typeof value === "number" ? value : String(value);
}

/** Undefined comparisons hold neither way: null. */
function holds(order: number, comparison: string): boolean | null {
  switch (comparison) {
    case "=":
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
      return null;
  }
}
