import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decimalOf, measure, valueAt } from "../../src/usage/measure.ts";
import { addUp, differences } from "../../src/usage/recount.ts";
import { grainFor } from "../../src/usage/window.ts";

describe("a value", () => {
  it.each([
    [1, "1"],
    [-0.5, "-0.5"],
    [0.1, "0.1"],
    [1e21, "1000000000000000000000"],
    [1e-7, "0.0000001"],
    [1.5e-9, "0.0000000015"],
    [123456.789e3, "123456789"],
    ["42", "42"],
    ["9223372036854775807", "9223372036854775807"],
    ["-1.25", "-1.25"],
  ])("%j is the decimal %s", (value, text) => {
    expect(decimalOf(value)).toBe(text);
  });

  it.each([
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1e300,
    1e-300,
    "",
    "1e5",
    "0x10",
    " 1",
    "1.",
    ".5",
    "--1",
    "1".repeat(31),
    null,
    true,
    {},
    [1],
  ])("%j is none", (value) => {
    expect(decimalOf(value)).toBeUndefined();
  });

  it("of any number means that number", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, min: -1e15, max: 1e15 }), (value) => {
        const text = decimalOf(value);
        return text === undefined || Number(text) === value;
      }),
    );
  });

  it("is found by its path, and what objects inherit is none", () => {
    expect(valueAt({ a: { b: [10, 20] } }, "a.b.1")).toBe(20);
    for (const path of ["constructor", "a.__proto__", "a.b.length.x", "toString.name"]) {
      expect(valueAt({ a: { b: 1 } }, path)).toBeUndefined();
    }
  });
});

describe("a measure", () => {
  const meter = (aggregation: "SUM" | "UNIQUE_COUNT", dimensions = {}) => ({
    meterId: "m",
    eventSource: { eventType: "t", aggregation, valueProperty: "v", dimensions },
  });

  it("has its dimensions in the order of their names, with nothing for those that the event lacks", () => {
    const [found] = measure([meter("SUM", { zone: "z", area: "deep.a" })], {
      type: "t",
      data: { v: 1, deep: { a: true } },
    });
    expect(found?.groupKey).toBe('{"area":"true","zone":""}');
  });

  it("of another type, or of what is no number, adds nothing", () => {
    expect(measure([meter("SUM")], { type: "u", data: { v: 1 } })).toEqual([]);
    expect(measure([meter("SUM")], { type: "t", data: { v: "many" } })).toEqual([]);
    expect(measure([meter("UNIQUE_COUNT")], { type: "t", data: { v: "many" } })).toHaveLength(1);
  });
});

describe("counting anew", () => {
  it("adds up exactly, where doubles would not", () => {
    const measures = ["0.1", "0.2", "9007199254740993", "-0.3"].map((value) => ({ at: 61_000, groupKey: "{}", value }));
    expect(addUp("SUM", measures)).toEqual([{ startAt: 60_000, groupKey: "{}", value: "9007199254740993" }]);
    expect(addUp("MAX", measures)[0]?.value).toBe("9007199254740993");
    expect(addUp("LATEST", measures)[0]?.value).toBe("-0.3");
    expect(addUp("COUNT", measures)[0]?.value).toBe("4");
  });

  it("names what is missing on either side, and what is not equal", () => {
    const row = (startAt: number, sum: string) => ({ startAt, groupKey: "{}", sum, count: 1, max: sum, latest: sum });
    const count = (startAt: number, value: string) => ({ startAt, groupKey: "{}", value });
    const found = differences(
      "SUM",
      [row(1, "1.50"), row(2, "2"), row(3, "3")],
      [count(1, "1.5"), count(2, "4"), count(4, "5")],
    );
    expect(found.map(({ startAt, rolledUp, counted }) => [startAt, rolledUp, counted])).toEqual([
      [2, "2", "4"],
      [3, "3", "0"],
      [4, "0", "5"],
    ]);
  });
});

describe("the grain that answers a question", () => {
  const HOUR = 3_600_000;
  const day = { startAt: 0, endAt: 48 * HOUR };
  it.each([
    ["day", day, [0], "day"],
    [undefined, day, [], "day"],
    ["day", day, [2 * HOUR], "hour"],
    ["month", day, [5.75 * HOUR], "minute"],
    ["hour", day, [0], "hour"],
    ["minute", day, [0], "minute"],
    [undefined, { startAt: HOUR, endAt: 48 * HOUR }, [0], "hour"],
    ["day", { startAt: 60_000, endAt: 48 * HOUR }, [0], "minute"],
  ] as const)("%s windows of %j at %j: %s", (window, range, offsets, grain) => {
    expect(grainFor(window, range, offsets)).toBe(grain);
  });
});
