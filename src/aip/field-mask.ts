import { invalidField, invalidFields, type Problems } from "../errors.ts";
import { echo } from "./echo.ts";

/**
 * The fields an update writes. No mask means the populated ones, "*" all writable ones; output-only paths are ignored.
 * Throws INVALID_FIELDS on "update_mask" for a path that is unknown or fixed at creation.
 */
export function maskedFields(
  mask: readonly string[] | undefined,
  populated: readonly string[],
  known: Readonly<Record<string, "writable" | "output" | "immutable">>,
): ReadonlySet<string> {
  const writable = Object.keys(known).filter((path) => known[path] === "writable");
  if (!mask || mask.length === 0) return new Set(populated.filter((path) => writable.includes(path)));
  if (mask.length === 1 && mask[0] === "*") return new Set(writable);
  for (const path of mask) {
    const kind = Object.hasOwn(known, path) ? known[path] : undefined;
    if (!kind) {
      throw invalidField("update_mask", `unknown field ${echo(path)}; known are ${Object.keys(known).join(", ")}`);
    }
    if (kind === "immutable") throw invalidField("update_mask", `"${path}" is fixed at creation`);
  }
  return new Set(mask.filter((path) => writable.includes(path)));
}

/**
 * The fields that an update writes, once all of the resource was parsed: a bad field that it leaves alone does not matter.
 * Throws INVALID_FIELDS for no field at all and for the bad ones among them.
 */
export function checkedFields(fields: ReadonlySet<string>, problems: Problems): ReadonlySet<string> {
  if (fields.size === 0) throw invalidField("update_mask", "names no field to write");
  const relevant = problems.violations.filter(({ field }) => fields.has(/^[^.]*\.([^.[]*)/.exec(field)?.[1] ?? ""));
  if (relevant.length > 0) throw invalidFields(relevant);
  return fields;
}

/** A field's values before and after; null where there is none. */
export interface FieldDifference {
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

/**
 * Lists the fields in which two objects differ, nested ones by dotted path, in order of path; lists count as values.
 * The order of keys is no difference: jsonb has its own. Past the two hundredth, differences are left out.
 */
export function diffFields(before: object, after: object): FieldDifference[] {
  return differences("", before as Tree, after as Tree).slice(0, MAX_DIFFERENCES);
}

type Tree = Readonly<Record<string, unknown>>;

/** More changes in one write than a reader of the log could take in. */
const MAX_DIFFERENCES = 200;

function differences(prefix: string, before: Tree, after: Tree): FieldDifference[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return keys.flatMap((key) => {
    const [a, b] = [ownValue(before, key), ownValue(after, key)];
    if (same(a, b)) return [];
    if (isTree(a) && isTree(b)) return differences(`${prefix}${key}.`, a, b);
    return [{ field: `${prefix}${key}`, before: a, after: b }];
  });
}

// A label may be called "constructor": what objects inherit is no value.
function ownValue(tree: Tree, key: string): unknown {
  return Object.hasOwn(tree, key) ? (tree[key] ?? null) : null;
}

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => same(item, b[i]));
  if (!isTree(a) || !isTree(b)) return a === b;
  return [...Object.keys(a), ...Object.keys(b)].every((key) => same(ownValue(a, key), ownValue(b, key)));
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
