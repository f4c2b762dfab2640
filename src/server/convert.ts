import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type { Setting } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import type { Problems } from "../errors.ts";
import type { SettingValue } from "../setting-value.ts";

/** An instant in epoch milliseconds as a Timestamp. */
export function toTimestamp(at: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(at / 1_000);
  return { seconds: BigInt(seconds), nanos: (at - seconds * 1_000) * 1_000_000 };
}

/** A field that is absent when there is no instant. */
export function optionalTimestamp<K extends string>(
  key: K,
  at: number | null,
): { [P in K]?: ReturnType<typeof toTimestamp> } {
  return (at === null ? {} : { [key]: toTimestamp(at) }) as { [P in K]?: ReturnType<typeof toTimestamp> };
}

/** A Timestamp in epoch milliseconds. */
export function fromTimestamp(timestamp: Timestamp): number {
  return Number(timestamp.seconds) * 1_000 + Math.floor(timestamp.nanos / 1_000_000);
}

/** Milliseconds as a Duration. */
export function toDuration(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1_000_000) };
}

/** An instant that a caller sets, null when unset; a problem on `field` outside of the years 1970 to 9999. */
export function parseInstant(problems: Problems, field: string, timestamp: Timestamp | undefined): number | null {
  if (!timestamp) return null;
  const at = fromTimestamp(timestamp);
  if (at >= 0 && at < INSTANT_END) return at;
  problems.add(field, "must be of the years 1970 to 9999");
  return null;
}

/** Timestamps end with the year 9999. */
const INSTANT_END = Date.UTC(10_000, 0, 1);

/** A Duration in milliseconds, or `fallback` when unset; a problem on `field` when out of range. */
export function durationMs(
  problems: Problems,
  field: string,
  duration: Duration | undefined,
  range: { fallback: number; min: number; max: number },
): number {
  if (!duration) return range.fallback;
  const ms = Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
  if (ms < range.min || ms > range.max)
    problems.add(field, `must be from ${range.min / 1_000} s to ${range.max / 1_000} s`);
  return ms;
}

/** Settings from proto: at most 100, texts of at most 1,024 characters. */
export function fromSettings(
  problems: Problems,
  field: string,
  settings: Record<string, Setting>,
): Record<string, SettingValue> {
  const entries = Object.entries(settings);
  if (entries.length > SETTINGS_MAX) problems.add(field, `must have at most ${SETTINGS_MAX} entries`);
  return Object.fromEntries(
    entries.slice(0, SETTINGS_MAX).map(([key, setting]): [string, SettingValue] => {
      if (!/^[a-z][a-z0-9_.]{0,62}$/.test(key))
        problems.add(field, "keys must be 1 to 63 of [a-z0-9_.], first a letter");
      const { case: kind, value } = setting.value;
      if (kind === "boolValue") return [key, { type: "bool", value }];
      if (kind === "intValue") return [key, { type: "int", value: String(value) }];
      if (kind === "doubleValue") return [key, { type: "double", value }];
      if (kind === undefined) problems.add(`${field}.${key}`, "must have a value");
      if ((value ?? "").length > 1_024) problems.add(`${field}.${key}`, "must have at most 1024 characters");
      return [key, { type: "string", value: value ?? "" }];
    }),
  );
}

/** More than a settings page could show. */
const SETTINGS_MAX = 100;

/** Settings as proto has them. */
export function toSettings(settings: Readonly<Record<string, SettingValue>>) {
  return Object.fromEntries(Object.entries(settings).map(([key, setting]) => [key, { value: toSetting(setting) }]));
}

function toSetting(setting: SettingValue) {
  switch (setting.type) {
    case "bool":
      return { case: "boolValue" as const, value: setting.value };
    case "int":
      return { case: "intValue" as const, value: BigInt(setting.value) };
    case "double":
      return { case: "doubleValue" as const, value: setting.value };
    case "string":
      return { case: "stringValue" as const, value: setting.value };
    default:
      return setting satisfies never;
  }
}
