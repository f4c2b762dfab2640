import type { LimitRule } from "../limit.ts";
import type { Window } from "./effective.ts";

/** The part of a PERIOD rule that says when its periods begin and end. */
export type PeriodRule = Pick<Extract<LimitRule, { kind: "PERIOD" }>, "duration" | "anchor">;

/** What periods are counted from: a holder's creation, and its local clock. */
export interface PeriodOrigin {
  readonly createdAt: number;
  readonly timeZone: string;
}

/** Why a rule's periods can't be told, in words for whoever writes it; undefined when they can. */
export function periodProblem({ duration, anchor }: PeriodRule): string | undefined {
  const span = parseSpan(duration);
  if (typeof span === "string") return span;
  if (anchor === "ANNIVERSARY" || dividesCalendar(span)) return undefined;
  return "must divide an hour, a day or a year evenly, or be P1D or P1W; others need ANCHOR_ANNIVERSARY";
}

/** True for durations of a day or longer; false also for what is no duration. */
export function lastsDays(duration: string): boolean {
  const span = parseSpan(duration);
  return typeof span !== "string" && (span.unit !== "minute" || span.count >= DAY_MINUTES);
}

/**
 * The period that holds an instant. Periods tile time: whatever a zone's clock does, each begins where the one before it
 * ends. The rule must be one without a problem.
 */
export function windowAt(rule: PeriodRule, origin: PeriodOrigin, at: number): Window {
  const span = parseSpan(rule.duration);
  if (typeof span === "string") throw new Error(`not a period: ${rule.duration}`);
  if (rule.anchor === "ANNIVERSARY") return anniversaryWindow(span, origin, at);
  const local = toLocal(at, origin.timeZone);
  if (span.unit === "minute" && span.count <= HOUR_MINUTES) return clockWindow(span, local);
  return calendarWindow(span, local);
}

/** True for the ids of this rule's windows: not for those of one that counts otherwise, whatever its amount. */
export function isWindowOf(rule: PeriodRule, windowId: string): boolean {
  const span = parseSpan(rule.duration);
  return typeof span !== "string" && windowId.startsWith(`${spanName(span)}${rule.anchor === "CALENDAR" ? ":" : "#"}`);
}

/** The windows of 500 zones at a dozen durations; more than these begin anew. */
const WINDOWS_MAX = 10_000;

/** Tells periods as `windowAt` does, and remembers the calendar's: all tenants of a zone share them. */
export function createWindows(): typeof windowAt {
  const known = new Map<string, Window>();
  return (rule, origin, at) => {
    if (rule.anchor === "ANNIVERSARY") return windowAt(rule, origin, at);
    const key = `${rule.duration} ${origin.timeZone}`;
    const last = known.get(key);
    if (last && last.startAt <= at && at < last.endAt) return last;
    if (known.size >= WINDOWS_MAX) known.clear();
    const window = windowAt(rule, origin, at);
    known.set(key, window);
    return window;
  };
}

interface Span {
  readonly unit: "month" | "day" | "minute";
  readonly count: number;
}

const HOUR_MINUTES = 60;
const DAY_MINUTES = 24 * 60;
const MINUTE_MS = 60_000;
/** P10Y in each unit: a longer period is no period. */
const COUNT_MAX = { month: 120, day: 3_653, minute: 3_653 * DAY_MINUTES } as const;
const DURATION = /^P(?:(\d{1,9})Y)?(?:(\d{1,9})M)?(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?)?$/;

function parseSpan(duration: string): Span | string {
  const match = duration.endsWith("T") ? null : DURATION.exec(duration);
  if (!match) return "must be an ISO 8601 duration of whole minutes, such as P1M or PT6H";
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0, minutes = 0] = match
    .slice(1)
    .map((n) => Number(n ?? 0));
  const spans: Span[] = [
    { unit: "month", count: 12 * years + months },
    { unit: "day", count: 7 * weeks + days },
    { unit: "minute", count: HOUR_MINUTES * hours + minutes },
  ];
  const [span, ...more] = spans.filter(({ count }) => count > 0);
  if (!span) return "must be at least PT1M";
  if (more.length > 0) return "must be of years and months, or of weeks and days, or of hours and minutes";
  return span.count > COUNT_MAX[span.unit] ? "must be at most P10Y" : span;
}

function dividesCalendar({ unit, count }: Span): boolean {
  if (unit === "month") return 12 % count === 0;
  if (unit === "day") return count === 1 || count === 7;
  return count <= HOUR_MINUTES ? HOUR_MINUTES % count === 0 : count % HOUR_MINUTES === 0 && DAY_MINUTES % count === 0;
}

/** The same for P1Y and P12M: two ways to write one period share its windows. */
function spanName({ unit, count }: Span): string {
  return { month: `P${count}M`, day: `P${count}D`, minute: `PT${count}M` }[unit];
}

function toLocal(at: number, timeZone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(timeZone);
}

// Each period is counted from the origin itself and not from the one before it, so that the 31st comes back after February.
function anniversaryWindow(span: Span, { createdAt, timeZone }: PeriodOrigin, at: number): Window {
  const origin = toLocal(createdAt, timeZone);
  const starts = (n: number) => origin.add({ [`${span.unit}s`]: n * span.count }).epochMilliseconds;
  const monthsMs = 30.436875 * DAY_MINUTES * MINUTE_MS;
  const unitMs = { month: monthsMs, day: DAY_MINUTES * MINUTE_MS, minute: MINUTE_MS }[span.unit];
  return settle(Math.floor((at - createdAt) / (unitMs * span.count)), starts, at, (n) => `${spanName(span)}#${n}`);
}

/*
 * A period longer than an hour begins when the local clock first reaches it. Where the clock is set back, the period in
 * which that happens is longer; where it is set forward, shorter.
 */
function calendarWindow(span: Span, local: Temporal.ZonedDateTime): Window {
  const { timeZoneId } = local;
  const wall = local.toPlainDateTime();
  const first = floorWall(span, wall);
  const wallOf = (n: number) => first.add({ [`${span.unit}s`]: n * span.count });
  const starts = (n: number) => firstReached(wallOf(n), timeZoneId);
  return settle(0, starts, local.epochMilliseconds, (n) => {
    const text = wallOf(n).toString({ smallestUnit: "minute" });
    return `${spanName(span)}:${text.slice(0, { month: 7, day: 10, minute: 13 }[span.unit])}`;
  });
}

function floorWall({ unit, count }: Span, wall: Temporal.PlainDateTime): Temporal.PlainDateTime {
  const date = wall.toPlainDate();
  if (unit === "minute") {
    const hours = count / HOUR_MINUTES;
    return date.toPlainDateTime({ hour: wall.hour - (wall.hour % hours) });
  }
  if (unit === "day") return date.subtract({ days: count === 7 ? wall.dayOfWeek - 1 : 0 }).toPlainDateTime();
  return date.with({ day: 1, month: wall.month - ((wall.month - 1) % count) }).toPlainDateTime();
}

// A time that the clock skips is reached at the moment of the skip.
function firstReached(wall: Temporal.PlainDateTime, timeZone: string): number {
  const earlier = wall.toZonedDateTime(timeZone, { disambiguation: "earlier" });
  if (earlier.toPlainDateTime().equals(wall)) return earlier.epochMilliseconds;
  return (earlier.getTimeZoneTransition("next") ?? earlier).epochMilliseconds;
}

// The guess is off by a little where months are short or the clock is set.
function settle(guess: number, starts: (n: number) => number, at: number, id: (n: number) => string): Window {
  let n = guess;
  let [startAt, endAt] = [starts(n), starts(n + 1)];
  while (startAt > at) {
    n -= 1;
    [startAt, endAt] = [starts(n), startAt];
  }
  while (endAt <= at) {
    n += 1;
    [startAt, endAt] = [endAt, starts(n + 1)];
  }
  return { id: id(n), startAt, endAt };
}

/*
 * A period of an hour or less follows the clock as it runs: an hour that is repeated counts again, with an id of its own, and
 * none is ever longer than it says. Only where the clock is set by less than the period is one cut short.
 */
function clockWindow(span: Span, local: Temporal.ZonedDateTime): Window {
  const lengthMs = span.count * MINUTE_MS;
  const at = local.epochMilliseconds;
  const clock = at + local.offsetNanoseconds / 1_000_000;
  const aligned = at - (((clock % lengthMs) + lengthMs) % lengthMs);
  const set = local.add({ nanoseconds: 1 }).getTimeZoneTransition("previous")?.epochMilliseconds ?? aligned;
  const nextSet = local.getTimeZoneTransition("next")?.epochMilliseconds ?? aligned + lengthMs;
  const startAt = Math.max(aligned, set);
  const wall = toLocal(startAt, local.timeZoneId).toPlainDateTime();
  const repeated = firstReached(wall, local.timeZoneId) === startAt ? "" : "+";
  return {
    id: `${spanName(span)}:${wall.toString({ smallestUnit: "minute" })}${repeated}`,
    startAt,
    endAt: Math.min(aligned + lengthMs, nextSet),
  };
}
