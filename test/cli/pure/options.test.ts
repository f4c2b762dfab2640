import { describe, expect, it } from "vitest";
import {
  duration,
  instant,
  merged,
  nameOf,
  pairs,
  parseSetting,
  rowLimit,
  settings,
} from "../../../src/cli/options.ts";
import { printable, tableText } from "../../../src/cli/output.ts";

describe("options", () => {
  it("take ids and whole names alike", () => {
    expect([nameOf("tenants", "acme"), nameOf("tenants", "tenants/acme")]).toEqual(["tenants/acme", "tenants/acme"]);
  });

  it("collect pairs, the later of a key wins, and a key may be any word", () => {
    const collected = ["a=1", "b=x=y", "a=2", "__proto__=p", "constructor=c", "e="].reduce<Record<string, string>>(
      (before, text) => pairs(text, before),
      {},
    );
    expect(Object.entries(collected)).toEqual([
      ["a", "2"],
      ["b", "x=y"],
      ["__proto__", "p"],
      ["constructor", "c"],
      ["e", ""],
    ]);
    expect(() => pairs("=x")).toThrow("key=value");
  });

  it("read typed settings", () => {
    const cases: [string, string, unknown][] = [
      ["string", "5", { value: { case: "stringValue", value: "5" } }],
      ["bool", "TRUE", { value: { case: "boolValue", value: true } }],
      ["int", "-9223372036854775808", { value: { case: "intValue", value: -(2n ** 63n) } }],
      ["double", "-1.5e3", { value: { case: "doubleValue", value: -1500 } }],
      ["bool", "1", "must be true or false"],
      ["int", "9223372036854775808", "must be a whole number of 64 bits"],
      ["int", "1.0", "must be a whole number of 64 bits"],
      ["double", "1e999", "must be a number"],
      ["double", "Infinity", "must be a number"],
      ["double", "0x10", "must be a number"],
      ["date", "x", "must be of the type string, bool, int or double"],
    ];
    for (const [type, text, expected] of cases) expect(parseSetting(type, text)).toEqual(expected);
    expect(settings("seats:int=5")).toEqual({ seats: { value: { case: "intValue", value: 5n } } });
    expect(() => settings("seats:int=x")).toThrow("seats must be a whole number");
  });

  it("read limits, durations and times", () => {
    expect([rowLimit("7"), rowLimit("all")]).toEqual([7, Number.POSITIVE_INFINITY]);
    expect([duration("90s").seconds, duration("30d").seconds]).toEqual([90n, 2_592_000n]);
    expect([instant("2030-01-31").seconds, instant("2030-01-31T01:00:00.5+01:00")]).toEqual([
      1_896_048_000n,
      { seconds: 1_896_048_000n, nanos: 500_000_000 },
    ]);
    for (const text of ["", "0", "-1", "1.5", "1e3", "ALL"]) expect(() => rowLimit(text)).toThrow();
    for (const text of ["", "5", "5w", "-5s", "99999999999s"]) expect(() => duration(text)).toThrow();
    for (const text of ["", "5", "tomorrow", "2030-13-01", "Jan 1 2030"]) expect(() => instant(text)).toThrow();
  });

  it("merge what is set and removed into what is there", () => {
    expect(merged({ a: 1, b: 2 }, { b: 3, c: 4 }, ["a"])).toEqual({ b: 3, c: 4 });
    expect(merged({ a: 1 })).toBeUndefined();
    expect(merged({ a: 1 }, undefined, ["a"])).toEqual({});
  });
});

describe("output", () => {
  it("shows characters that steer a terminal as escapes, and all others as they are", () => {
    expect(printable("a\u001b[2J\n\u0000\u009b1\u202e\u2028é漢😀👩\u200d💻")).toBe(
      "a\\u001b[2J\\u000a\\u0000\\u009b1\\u202e\\u2028é漢😀👩\u200d💻",
    );
  });

  it("aligns columns, wide characters too, without trailing spaces", () => {
    expect(
      tableText([
        ["name", "x", ""],
        ["漢字", "é", "end"],
      ]),
    ).toBe("name  x\n漢字  é  end\n");
  });
});
