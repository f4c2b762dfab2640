import type { Aggregation } from "../meter/meter.ts";
import { minuteOf } from "./window.ts";

/** A minute of a group whose roll-up is not what its events come to. */
export interface Difference {
  readonly startAt: number;
  readonly groupKey: string;
  readonly rolledUp: string;
  readonly counted: string;
}

/** What a minute's events of a group come to. */
export interface Counted {
  readonly startAt: number;
  readonly groupKey: string;
  readonly value: string;
}

/** A roll-up of a minute, as it is stored. */
export interface RolledUp {
  readonly startAt: number;
  readonly groupKey: string;
  readonly sum: string;
  readonly count: number;
  readonly max: string | null;
  readonly latest: string;
}

/** As many as a person goes through. */
const DIFFERENCES_MAX = 1_000;

/** Adds up measures by minute and group, in the order of their time, exactly. */
export function addUp(
  aggregation: Aggregation,
  measures: readonly { readonly at: number; readonly groupKey: string; readonly value: string }[],
): Counted[] {
  const minutes = new Map<string, Counted>();
  for (const { at, groupKey, value } of measures) {
    const startAt = minuteOf(at);
    const name = `${startAt} ${groupKey}`;
    const before = minutes.get(name)?.value;
    const own = aggregation === "COUNT" || aggregation === "UNIQUE_COUNT" ? "1" : value;
    minutes.set(name, { startAt, groupKey, value: before === undefined ? plain(own) : join(aggregation, before, own) });
  }
  return [...minutes.values()];
}

/** Where roll-ups and counts differ, a missing one of either side as "0". */
export function differences(
  aggregation: Aggregation,
  rolledUp: readonly RolledUp[],
  counted: readonly Counted[],
): Difference[] {
  const right = new Map(counted.map((count) => [`${count.startAt} ${count.groupKey}`, count]));
  const found: Difference[] = [];
  const compare = (startAt: number, groupKey: string, a: string, b: string) => {
    if (a !== b && found.length < DIFFERENCES_MAX) found.push({ startAt, groupKey, rolledUp: a, counted: b });
  };
  for (const row of rolledUp) {
    const name = `${row.startAt} ${row.groupKey}`;
    compare(row.startAt, row.groupKey, plain(valueIn(aggregation, row)), right.get(name)?.value ?? "0");
    right.delete(name);
  }
  for (const { startAt, groupKey, value } of right.values()) compare(startAt, groupKey, "0", value);
  return found;
}

function valueIn(aggregation: Aggregation, row: RolledUp): string {
  if (aggregation === "SUM") return row.sum;
  if (aggregation === "MAX") return row.max ?? "0";
  return aggregation === "LATEST" ? row.latest : String(row.count);
}

function join(aggregation: Aggregation, a: string, b: string): string {
  if (aggregation === "MAX") return scaled(a) >= scaled(b) ? a : plain(b);
  if (aggregation === "LATEST") return plain(b);
  return unscaled(scaled(a) + scaled(b));
}

/** Digits after the point that a value may have. */
const SCALE = 18;

// Decimals as whole numbers of their last possible digit: exact, where doubles are not.
function scaled(text: string): bigint {
  const [whole = "0", part = ""] = text.replace("-", "").split(".");
  const value = BigInt(whole + part.padEnd(SCALE, "0"));
  return text.startsWith("-") ? -value : value;
}

function unscaled(value: bigint): string {
  const digits = String(value < 0n ? -value : value).padStart(SCALE + 1, "0");
  const part = digits.slice(-SCALE).replace(/0+$/, "");
  const text = digits.slice(0, -SCALE) + (part === "" ? "" : `.${part}`);
  return value < 0n ? `-${text}` : text;
}

function plain(text: string): string {
  return unscaled(scaled(text));
}
