import type { EventSource } from "../meter/meter.ts";

/** A meter that counts events. */
export interface CountingMeter {
  readonly meterId: string;
  readonly eventSource: EventSource;
}

/** What an event adds to a meter. */
export interface Measure {
  readonly meterId: string;
  /** A decimal number as text; of UNIQUE_COUNT the value itself. */
  readonly value: string;
  /** The dimensions as JSON, keys in order; a text for those of the event that lack one. */
  readonly groupKey: string;
}

/** A dimension's value in a label: long ones are cut. */
const DIMENSION_MAX_CHARACTERS = 200;
/** What a group is called that came after a meter had as many as it may. */
export const OTHER = "(other)";
/** The group of a meter without dimensions. */
export const NO_GROUP = "{}";

/**
 * What an event adds to the meters that count events of its type. A meter whose value it lacks, or has in a form that is no
 * number, gets nothing of it.
 */
export function measure(
  meters: readonly CountingMeter[],
  event: { readonly type: string; readonly data: unknown },
): Measure[] {
  return meters.flatMap(({ meterId, eventSource }) => {
    if (eventSource.eventType !== event.type) return [];
    const value = valueIn(eventSource, event.data);
    if (value === undefined) return [];
    return [{ meterId, value, groupKey: groupOf(eventSource, event.data) }];
  });
}

/** The group of dimensions that all are "(other)". */
export function otherGroup(source: EventSource): string {
  return groupKey(source, () => OTHER);
}

/** The value at a dotted path; undefined where there is none. What objects inherit is no value. */
export function valueAt(data: unknown, path: string): unknown {
  let value = data;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

/** A number as Postgres' numeric takes it, of bounded size; undefined for anything else. */
export function decimalOf(value: unknown): string | undefined {
  const text = typeof value === "number" ? plainNumber(value) : typeof value === "string" ? value : "";
  return /^-?\d{1,30}(\.\d{1,18})?$/.test(text) ? text : undefined;
}

function valueIn({ aggregation, valueProperty }: EventSource, data: unknown): string | undefined {
  if (aggregation === "COUNT") return "1";
  const value = valueAt(data, valueProperty);
  if (aggregation !== "UNIQUE_COUNT") return decimalOf(value);
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

// The shortest text that is the number, without an exponent: 1e21 and 1e-7 are numbers like others.
function plainNumber(value: number): string {
  const [, sign = "", whole = "", part = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
  const digits = whole + part;
  const point = whole.length + Number(exponent);
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  if (point >= digits.length) return `${sign}${digits.padEnd(point, "0")}`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

function groupOf(source: EventSource, data: unknown): string {
  return groupKey(source, (path) => {
    const value = valueAt(data, path);
    if (typeof value === "string") return value.slice(0, DIMENSION_MAX_CHARACTERS).toWellFormed().replaceAll("\0", "");
    return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
  });
}

function groupKey({ dimensions }: EventSource, valueIn: (path: string) => string): string {
  const names = Object.keys(dimensions).sort();
  return JSON.stringify(Object.fromEntries(names.map((name) => [name, valueIn(dimensions[name] ?? "")])));
}
