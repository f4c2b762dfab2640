import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SettingSchema } from "@tenantplane/sdk";
import { type Command, InvalidArgumentError } from "commander";
import { OperatorError } from "../platform/operator-error.ts";

/** A setting as requests take it. */
export type SettingInit = MessageInitShape<typeof SettingSchema>;

/** "acme" as "tenants/acme"; whole names stay as they are. */
export function nameOf(collection: string, id: string): string {
  return id.startsWith(`${collection}/`) ? id : `${collection}/${id}`;
}

/** A parser of whole numbers from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text) || number < min || number > max) {
      throw new InvalidArgumentError(`Must be a whole number from ${min} to ${max}.`);
    }
    return number;
  };
}

/** A whole amount of 63 bits. */
export function wholeAmount(text: string): bigint {
  if (!/^\d{1,19}$/.test(text) || BigInt(text) > 2n ** 63n - 1n) {
    throw new InvalidArgumentError("Must be a whole number below 2^63.");
  }
  return BigInt(text);
}

/** How many rows a list prints: a number, or "all". */
export function rowLimit(text: string): number {
  return text === "all" ? Number.POSITIVE_INFINITY : wholeNumber(1, Number.MAX_SAFE_INTEGER)(text);
}

/** Collects "key=value" of an option that may be given several times; the later value of a key wins. */
export function pairs(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [key, value] = splitPair(text);
  return Object.fromEntries([...Object.entries(before), [key, value]]);
}

/** Collects "key[:type]=value" of an option that may be given several times. */
export function settings(text: string, before: Readonly<Record<string, SettingInit>> = {}) {
  const [head, value] = splitPair(text);
  const [key = "", type = "string"] = head.split(":");
  const setting = parseSetting(type, value);
  if (typeof setting === "string") throw new InvalidArgumentError(`${key} ${setting}.`);
  return Object.fromEntries([...Object.entries(before), [key, setting]]);
}

/** Collects the values of an option that may be given several times. */
export function several(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

function splitPair(text: string): [string, string] {
  const at = text.indexOf("=");
  if (at <= 0) throw new InvalidArgumentError("Must be of the form key=value.");
  return [text.slice(0, at), text.slice(at + 1)];
}

/** A typed setting out of its text, or what is wrong with it. */
export function parseSetting(type: string, text: string): SettingInit | string {
  switch (type) {
    case "string":
      return { value: { case: "stringValue", value: text } };
    case "bool":
      if (!/^(true|false)$/i.test(text)) return "must be true or false";
      return { value: { case: "boolValue", value: text.toLowerCase() === "true" } };
    case "int":
      if (!/^-?\d{1,19}$/.test(text) || BigInt.asIntN(64, BigInt(text)) !== BigInt(text)) {
        return "must be a whole number of 64 bits";
      }
      return { value: { case: "intValue", value: BigInt(text) } };
    case "double":
      if (!/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) || !Number.isFinite(Number(text))) return "must be a number";
      return { value: { case: "doubleValue", value: Number(text) } };
    default:
      return "must be of the type string, bool, int or double";
  }
}

/** "30d" or "90s" as a duration. */
export function duration(text: string): { seconds: bigint; nanos: number } {
  const [, amount = "", unit = ""] = /^(\d{1,9})(s|m|h|d)$/.exec(text) ?? [];
  const seconds = UNIT_SECONDS[unit];
  if (seconds === undefined) throw new InvalidArgumentError("Must be a number with s, m, h or d, such as 30d.");
  return { seconds: BigInt(Number(amount) * seconds), nanos: 0 };
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** An instant, such as 2030-01-31T12:00:00Z. */
export function instant(text: string): { seconds: bigint; nanos: number } {
  const at = /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError("Must be a time such as 2030-01-31T12:00:00Z.");
  return { seconds: BigInt(Math.floor(at / 1_000)), nanos: (at % 1_000) * 1_000_000 };
}

/** A map with entries set and removed; undefined when neither is asked for. */
export function merged<V>(
  before: Readonly<Record<string, V>> = {},
  set?: Readonly<Record<string, V>>,
  remove?: readonly string[],
): Record<string, V> | undefined {
  if (!set && !remove) return undefined;
  const kept = Object.entries(before).filter(([key]) => !remove?.includes(key));
  return Object.fromEntries([...kept, ...Object.entries(set ?? {})]);
}

/** The mask of an update that writes these fields. Throws OperatorError when there are none. */
export function maskOf(changes: object): { paths: string[] } {
  const keys = Object.keys(changes);
  if (keys.length === 0) throw new OperatorError("Nothing to change: name at least one field.");
  return { paths: keys.map((key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)) };
}

/** Adds the option that tries a write without writing. */
export function withDryRun(command: Command): Command {
  return command.option("--dry-run", "check everything, write nothing", false);
}

/** Adds the option that guards against lost updates. */
export function withEtag(command: Command): Command {
  return command.option("--etag <etag>", "write only if this still is the resource's etag", "");
}

/** What `withDryRun` adds. */
export interface DryRunOption {
  readonly dryRun: boolean;
}

/** What `withEtag` adds. */
export interface EtagOption {
  readonly etag: string;
}

/** Adds the option of a deletion that may be repeated. */
export function withAllowMissing(command: Command): Command {
  return command.option("--allow-missing", "succeed when it is gone already", false);
}

/** What a deletion takes. */
export interface DeleteOptions extends DryRunOption, EtagOption {
  readonly allowMissing: boolean;
}
