import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createWindows, type PeriodRule, periodProblem, windowAt } from "../../src/quota/period.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

const at = (text: string) => Temporal.Instant.from(text).epochMilliseconds;
const rule = (duration: string, anchor: PeriodRule["anchor"] = "CALENDAR"): PeriodRule => ({ duration, anchor });

/** A period as the local clock of its zone shows it. */
function shown(periodRule: PeriodRule, timeZone: string, instant: string, created = "2020-01-01T00:00Z") {
  const { id, startAt, endAt } = windowAt(periodRule, { createdAt: at(created), timeZone }, at(instant));
  const local = (ms: number) => {
    const zoned = Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(timeZone);
    return zoned.toString({ smallestUnit: "minute", timeZoneName: "never" });
  };
  return [id, local(startAt), local(endAt)];
}

describe("a period of the calendar", () => {
  // The ends that Gubernator's calendar intervals have, whatever the second within them: ours is the instant after its last.
  it.each([
    ["PT1M", "2019-11-11T00:00:00Z", "2019-11-11T00:01Z"],
    ["PT1M", "2019-11-11T00:00:30.0000001Z", "2019-11-11T00:01Z"],
    ["PT1H", "2019-11-11T00:00:00Z", "2019-11-11T01:00Z"],
    ["PT1H", "2019-11-11T00:20:01Z", "2019-11-11T01:00Z"],
    ["P1D", "2019-11-11T00:00:00Z", "2019-11-12T00:00Z"],
    ["P1D", "2019-11-11T12:10:09Z", "2019-11-12T00:00Z"],
    ["P1M", "2019-11-01T00:00:00Z", "2019-12-01T00:00Z"],
    ["P1M", "2019-11-11T22:02:23Z", "2019-12-01T00:00Z"],
    ["P1M", "2019-01-01T00:00:00Z", "2019-02-01T00:00Z"],
    ["P1Y", "2019-01-01T00:00:00Z", "2020-01-01T00:00Z"],
    ["P1Y", "2019-03-01T20:50:31Z", "2020-01-01T00:00Z"],
  ])("%s that holds %s ends at %s", (duration, instant, end) => {
    expect(windowAt(rule(duration), { createdAt: 0, timeZone: "UTC" }, at(instant)).endAt).toBe(at(end));
  });

  it.each([
    [
      "PT15M",
      "UTC",
      "2026-09-10T14:29:59Z",
      "PT15M:2026-09-10T14:15",
      "2026-09-10T14:15+00:00",
      "2026-09-10T14:30+00:00",
    ],
    [
      "PT1H",
      "Asia/Kathmandu",
      "2026-09-10T14:29Z",
      "PT60M:2026-09-10T20:00",
      "2026-09-10T20:00+05:45",
      "2026-09-10T21:00+05:45",
    ],
    [
      "PT6H",
      "Asia/Kolkata",
      "2026-09-10T14:29Z",
      "PT360M:2026-09-10T18",
      "2026-09-10T18:00+05:30",
      "2026-09-11T00:00+05:30",
    ],
    [
      "PT24H",
      "Asia/Kolkata",
      "2026-09-10T14:29Z",
      "PT1440M:2026-09-10T00",
      "2026-09-10T00:00+05:30",
      "2026-09-11T00:00+05:30",
    ],
    [
      "P1D",
      "America/New_York",
      "2026-09-10T03:00Z",
      "P1D:2026-09-09",
      "2026-09-09T00:00-04:00",
      "2026-09-10T00:00-04:00",
    ],
    ["P1W", "Europe/Berlin", "2026-09-13T21:59Z", "P7D:2026-09-07", "2026-09-07T00:00+02:00", "2026-09-14T00:00+02:00"],
    ["P7D", "Europe/Berlin", "2026-09-13T22:00Z", "P7D:2026-09-14", "2026-09-14T00:00+02:00", "2026-09-21T00:00+02:00"],
    ["P1M", "Europe/Berlin", "2026-02-28T22:59Z", "P1M:2026-02", "2026-02-01T00:00+01:00", "2026-03-01T00:00+01:00"],
    ["P3M", "Europe/Berlin", "2026-09-10T00:00Z", "P3M:2026-07", "2026-07-01T00:00+02:00", "2026-10-01T00:00+02:00"],
    ["P6M", "UTC", "2026-12-31T23:59Z", "P6M:2026-07", "2026-07-01T00:00+00:00", "2027-01-01T00:00+00:00"],
    ["P12M", "UTC", "2024-02-29T12:00Z", "P12M:2024-01", "2024-01-01T00:00+00:00", "2025-01-01T00:00+00:00"],
  ])("%s in %s at %s is %s", (duration, timeZone, instant, ...period) => {
    expect(shown(rule(duration), timeZone, instant)).toEqual(period);
  });

  it.each([
    // 29 March 2026, 02:00 to 03:00, is left out in Berlin; 25 October, 02:00 to 03:00, comes twice.
    ["P1D", "Europe/Berlin", "2026-03-29T12:00Z", "P1D:2026-03-29", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"],
    [
      "PT2H",
      "Europe/Berlin",
      "2026-03-29T01:30Z",
      "PT120M:2026-03-29T02",
      "2026-03-29T03:00+02:00",
      "2026-03-29T04:00+02:00",
    ],
    [
      "PT6H",
      "Europe/Berlin",
      "2026-10-25T03:30Z",
      "PT360M:2026-10-25T00",
      "2026-10-25T00:00+02:00",
      "2026-10-25T06:00+01:00",
    ],
    [
      "PT1H",
      "Europe/Berlin",
      "2026-03-29T00:59Z",
      "PT60M:2026-03-29T01:00",
      "2026-03-29T01:00+01:00",
      "2026-03-29T03:00+02:00",
    ],
    [
      "PT1H",
      "Europe/Berlin",
      "2026-10-25T00:30Z",
      "PT60M:2026-10-25T02:00",
      "2026-10-25T02:00+02:00",
      "2026-10-25T02:00+01:00",
    ],
    [
      "PT1H",
      "Europe/Berlin",
      "2026-10-25T01:30Z",
      "PT60M:2026-10-25T02:00+",
      "2026-10-25T02:00+01:00",
      "2026-10-25T03:00+01:00",
    ],
    [
      "PT1M",
      "Europe/Berlin",
      "2026-10-25T01:59Z",
      "PT1M:2026-10-25T02:59+",
      "2026-10-25T02:59+01:00",
      "2026-10-25T03:00+01:00",
    ],
    // Lord Howe sets its clock by half an hour.
    [
      "PT1H",
      "Australia/Lord_Howe",
      "2026-10-03T15:45Z",
      "PT60M:2026-10-04T02:30",
      "2026-10-04T02:30+11:00",
      "2026-10-04T03:00+11:00",
    ],
    // Havana has its midnight twice, Beirut's clock jumps over it, and Apia once left out a whole day.
    [
      "P1D",
      "America/Havana",
      "2025-11-02T05:30Z",
      "P1D:2025-11-02",
      "2025-11-02T00:00-04:00",
      "2025-11-03T00:00-05:00",
    ],
    ["P1D", "Asia/Beirut", "2026-03-28T22:30Z", "P1D:2026-03-29", "2026-03-29T01:00+03:00", "2026-03-30T00:00+03:00"],
    ["P1D", "Pacific/Apia", "2011-12-30T09:59Z", "P1D:2011-12-29", "2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00"],
    // St John's once set its clock back over midnight, at 00:01.
    [
      "P1D",
      "America/St_Johns",
      "2010-11-07T03:00Z",
      "P1D:2010-11-07",
      "2010-11-07T00:00-02:30",
      "2010-11-08T00:00-03:30",
    ],
    [
      "PT15M",
      "America/St_Johns",
      "2010-11-07T02:30Z",
      "PT15M:2010-11-07T00:00",
      "2010-11-07T00:00-02:30",
      "2010-11-06T23:01-03:30",
    ],
    [
      "PT15M",
      "America/St_Johns",
      "2010-11-07T02:31Z",
      "PT15M:2010-11-06T23:01+",
      "2010-11-06T23:01-03:30",
      "2010-11-06T23:15-03:30",
    ],
  ])("%s in %s keeps with the clock at %s", (duration, timeZone, instant, ...period) => {
    expect(shown(rule(duration), timeZone, instant)).toEqual(period);
  });
});

describe("a period of an anniversary", () => {
  it("begins on the day of the month of the creation, or on the last one of a shorter month", () => {
    const starts = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2027-02-28", "2028-02-29"].map((day) => {
      const instant = `${day}T23:00Z`;
      return shown(rule("P1M", "ANNIVERSARY"), "Europe/Berlin", instant, "2026-01-31T09:30Z")[1];
    });
    expect(starts).toEqual([
      "2026-01-31T10:30+01:00",
      "2026-02-28T10:30+01:00",
      "2026-03-31T10:30+02:00",
      "2026-04-30T10:30+02:00",
      "2027-02-28T10:30+01:00",
      "2028-02-29T10:30+01:00",
    ]);
  });

  it.each([
    ["P1Y", "2024-02-29T00:00Z", "2025-03-01T00:00Z", "P12M#1", "2025-02-28T00:00+00:00", "2026-02-28T00:00+00:00"],
    ["P1Y", "2024-02-29T00:00Z", "2028-02-29T00:00Z", "P12M#4", "2028-02-29T00:00+00:00", "2029-02-28T00:00+00:00"],
    ["P2W", "2026-01-01T08:00Z", "2026-01-15T07:59Z", "P14D#0", "2026-01-01T08:00+00:00", "2026-01-15T08:00+00:00"],
    ["P3M", "2025-11-30T00:00Z", "2026-03-01T00:00Z", "P3M#1", "2026-02-28T00:00+00:00", "2026-05-30T00:00+00:00"],
    ["P1Y6M", "2024-08-31T00:00Z", "2026-03-01T00:00Z", "P18M#1", "2026-02-28T00:00+00:00", "2027-08-31T00:00+00:00"],
    ["PT90M", "2026-01-01T00:10Z", "2026-01-01T03:10Z", "PT90M#2", "2026-01-01T03:10+00:00", "2026-01-01T04:40+00:00"],
    ["P10Y", "2020-06-01T00:00Z", "2030-06-01T00:00Z", "P120M#1", "2030-06-01T00:00+00:00", "2040-06-01T00:00+00:00"],
  ])("%s from %s at %s is %s", (duration, created, instant, ...period) => {
    expect(shown(rule(duration, "ANNIVERSARY"), "UTC", instant, created)).toEqual(period);
  });

  it("of days keeps the hour of the local clock, one of hours does not", () => {
    const origin = ["Europe/Berlin", "2026-03-29T12:00Z", "2026-03-27T09:00Z"] as const;
    expect([shown(rule("P1D", "ANNIVERSARY"), ...origin), shown(rule("PT24H", "ANNIVERSARY"), ...origin)]).toEqual([
      ["P1D#2", "2026-03-29T10:00+02:00", "2026-03-30T10:00+02:00"],
      ["PT1440M#2", "2026-03-29T11:00+02:00", "2026-03-30T11:00+02:00"],
    ]);
  });
});

const zones = Intl.supportedValuesOf("timeZone");
const calendarDurations = [
  "PT1M",
  "PT15M",
  "PT20M",
  "PT1H",
  "PT2H",
  "PT3H",
  "PT12H",
  "P1D",
  "P1W",
  "P1M",
  "P4M",
  "P1Y",
];
const anniversaryDurations = ["PT7M", "PT50H", "P1D", "P10D", "P1M", "P5M", "P1Y", "P10Y"];
const rules = fc.oneof(
  fc.constantFrom(...calendarDurations).map((duration) => rule(duration)),
  fc.constantFrom(...anniversaryDurations).map((duration) => rule(duration, "ANNIVERSARY")),
);
const instants = fc.integer({ min: at("1990-01-01T00:00Z"), max: at("2040-01-01T00:00Z") });

describe("the periods of any rule in any zone", () => {
  it("tile time: each holds its instant, the next begins where it ends, and no two share an id", () => {
    fc.assert(
      fc.property(rules, fc.constantFrom(...zones), instants, instants, (periodRule, timeZone, createdAt, start) => {
        const origin = { createdAt, timeZone };
        const ids = new Set<string>();
        let instant = start;
        for (let i = 0; i < 8; i += 1) {
          const window = windowAt(periodRule, origin, instant);
          expect(window.startAt).toBeLessThanOrEqual(instant);
          expect(window.endAt).toBeGreaterThan(instant);
          expect(windowAt(periodRule, origin, window.startAt)).toEqual(window);
          expect(windowAt(periodRule, origin, window.endAt - 1)).toEqual(window);
          ids.add(window.id);
          instant = window.endAt;
        }
        expect(ids.size).toBe(8);
      }),
      { numRuns: 300, ...SEED },
    );
  });

  it("tile time where the clocks are set, too", () => {
    fc.assert(
      fc.property(rules, fc.constantFrom(...zones), instants, (periodRule, timeZone, near) => {
        const local = Temporal.Instant.fromEpochMilliseconds(near).toZonedDateTimeISO(timeZone);
        const set = local.getTimeZoneTransition("previous")?.epochMilliseconds ?? near;
        const origin = { createdAt: at("1985-05-31T10:10Z"), timeZone };
        for (const instant of [set - 3_600_001, set - 1, set, set + 1, set + 1_799_999, set + 3_600_000]) {
          const window = windowAt(periodRule, origin, instant);
          expect(window.startAt).toBeLessThanOrEqual(instant);
          expect(window.endAt).toBeGreaterThan(instant);
          expect(windowAt(periodRule, origin, window.endAt).startAt).toBe(window.endAt);
          expect(windowAt(periodRule, origin, window.startAt)).toEqual(window);
        }
      }),
      { numRuns: 500, ...SEED },
    );
  });
});

it("remembered windows are the same", () => {
  const remembered = createWindows();
  fc.assert(
    fc.property(rules, fc.constantFrom(...zones.slice(0, 20)), instants, (periodRule, timeZone, instant) => {
      const origin = { createdAt: at("1985-05-31T10:10Z"), timeZone };
      expect(remembered(periodRule, origin, instant)).toEqual(windowAt(periodRule, origin, instant));
      expect(remembered(periodRule, origin, instant + 60_000)).toEqual(windowAt(periodRule, origin, instant + 60_000));
    }),
    SEED,
  );
});

describe("a duration", () => {
  it.each([
    ["PT1M", "CALENDAR", undefined],
    ["PT30M", "CALENDAR", undefined],
    ["P12M", "CALENDAR", undefined],
    ["P10Y", "ANNIVERSARY", undefined],
    ["P3653D", "ANNIVERSARY", undefined],
    ["", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["P", "ANNIVERSARY", "must be at least PT1M"],
    ["P0D", "ANNIVERSARY", "must be at least PT1M"],
    ["PT", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["P1MT", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["PT30S", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["PT1M30S", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["P1.5M", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["-P1M", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["p1m", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["P1M ", "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["P1D1M", "ANNIVERSARY", "must be an ISO 8601 duration"],
    [`P${"9".repeat(400)}D`, "ANNIVERSARY", "must be an ISO 8601 duration"],
    ["P121M", "ANNIVERSARY", "must be at most P10Y"],
    ["P3654D", "ANNIVERSARY", "must be at most P10Y"],
    ["P999999999Y", "ANNIVERSARY", "must be at most P10Y"],
    ["P1M15D", "ANNIVERSARY", "must be of years and months"],
    ["P1DT12H", "ANNIVERSARY", "must be of years and months"],
    ["PT7M", "CALENDAR", "must divide"],
    ["PT90M", "CALENDAR", "must divide"],
    ["PT5H", "CALENDAR", "must divide"],
    ["PT48H", "CALENDAR", "must divide"],
    ["P2D", "CALENDAR", "must divide"],
    ["P2W", "CALENDAR", "must divide"],
    ["P5M", "CALENDAR", "must divide"],
    ["P2Y", "CALENDAR", "must divide"],
  ] as const)("%s on the %s: %s", (duration, anchor, problem) => {
    expect(periodProblem({ duration, anchor })?.slice(0, problem?.length)).toBe(problem);
  });
});
