import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FilterSchema, parseFilter } from "../../src/aip/filter.ts";
import { matchFilter } from "../../src/aip/filter-match.ts";
import { filterToSql } from "../../src/aip/filter-sql.ts";
import { DomainError } from "../../src/errors.ts";
import { caught } from "./caught.ts";

const SCHEMA: FilterSchema = {
  name: { type: "string", column: "name" },
  state: { type: "enum", column: "state", values: ["ON", "OFF"] },
  labels: { type: "map", column: "labels" },
  create_time: { type: "time", column: "created_at" },
  seats: { type: "number", column: "seats" },
  paid: { type: "boolean", column: "paid" },
  "owner.email": { type: "string", column: "owner_email" },
};
const OBJECT = {
  name: "acme-corp",
  state: "ON",
  labels: { team: "red", "cost.centre": "-7" },
  create_time: Date.UTC(2026, 0, 2),
  seats: -5,
  paid: true,
  "owner.email": null,
};

const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

describe("a filter", () => {
  const cases: [string, boolean][] = [
    ["name = acme-corp", true],
    ['name = "acme*"', true],
    ['name = "*corp"', true],
    ['name = "a*p"', true],
    ['name = "a*x*p"', false],
    ['name != "acme*"', false],
    ["state = ON", true],
    ["NOT state = ON", false],
    ["-state = OFF", true],
    ["labels.team = red", true],
    ["labels:team", true],
    ["labels:size", false],
    ["labels.size != big", true],
    ["create_time > 2026-01-01T00:00:00Z", true],
    ["create_time <= 2026-01-01T00:00:00+00:00", false],
    ["name = x OR state = ON AND labels.team = red", true],
    ["state = ON AND name = x OR labels.team = blue", false],
    ["state = ON name = acme-corp", true],
    ["(state = OFF OR state = ON) AND NOT (labels:size)", true],
    ["labels.cost.centre = -7", true],
    ["labels.constructor = x", false],
    ["labels:constructor", false],
    ["labels.team:*", true],
    ["labels.size:*", false],
    ["name > acme", true],
    ['name < "acme-corp"', false],
    ["name <= acme-corp", true],
    ["name >= b", false],
    ["create_time = 2026-01-02T01:00:00.000000+01:00", true],
    ['create_time >= "2026-01-02T00:00:00.001Z"', false],
    ["seats = -5", true],
    ["seats<-4.5 seats>=-5", true],
    ["seats > -5", false],
    ["paid = true AND -paid = false", true],
    ["paid != true", false],
    ["owner.email = x", false],
    ["owner.email != x", true],
    ["NOT owner.email = x", true],
    ["NOT owner.email > x", true],
    ["NOT NOT --name = acme-corp", true],
    ['name = "\\"" OR name = "acme\\-corp"', true],
    ["name = 'acme-corp'", true],
    ["name = '**a*c*corp**'", true],
    ["name = acme*acme-corp", false],
  ];
  for (const [text, expected] of cases) {
    it(`${text} is ${expected}`, () => {
      const filter = parseFilter(text, SCHEMA);
      expect(filter && matchFilter(filter, OBJECT)).toBe(expected);
    });
  }

  const bad = [
    ["colour = red", 'unknown field "colour" at 0'],
    ["state = BLUE", "none of ON, OFF at 8"],
    ["create_time > soon", "no RFC 3339 time"],
    ["name =", "ends too early"],
    ["(name = x", "ends too early"],
    ['name = "x', "not closed"],
    ["labels = x", "name a key"],
    ["constructor = x", 'unknown field "constructor" at 0'],
    ["toString.x = y", 'unknown field "toString.x" at 0'],
    ["name.first = x", 'unknown field "name.first" at 0'],
    [`${"x".repeat(2_000)} = y`, `unknown field "${"x".repeat(64)}" at 0; known are name, state`],
    ['(name = x ")"', 'unexpected ")" at 10'],
    ['"-" name = x', 'unexpected "-" at 0'],
    ["name = x )", 'unexpected ")" at 9'],
    ["()", 'unexpected ")" at 1'],
    ["name = AND state = ON", 'unexpected "AND" at 7'],
    ["name = x AND", "ends too early"],
    ["name = x OR OR state = ON", 'unknown field "OR" at 12'],
    ["name", "ends too early"],
    ["name ! x", 'unexpected "!" at 5'],
    ["name = ='x'", 'unexpected "=" at 7'],
    ['name = "a\0b"', "without NUL"],
    ["name = \ud800", "Unicode text"],
    ["state < ON", "an enum can only be = or !="],
    ["create_time:2026-01-01T00:00:00Z", "a time has no ':'"],
    ["create_time > 2026-01-01", "no RFC 3339 time"],
    ['create_time > "2026-01-01 (note)"', "no RFC 3339 time"],
    ["create_time > 2026-02-30T00:00:00Z", "no RFC 3339 time"],
    ["create_time > 2026-01-01T24:00:00Z", "no RFC 3339 time"],
    ["create_time > 2026-01-01T00:00:00.0001Z", "no RFC 3339 time of milliseconds"],
    ["create_time > 0000-12-31T23:59:59Z", "no RFC 3339 time"],
    ["create_time > 9999-12-31T23:59:59-01:00", "no RFC 3339 time"],
    ["seats = many", '"many" is no number at 8'],
    ["seats = 1e3", "is no number"],
    ["seats = 1234567890123456", "is no number"],
    ["seats:1", "a number has no ':'"],
    ["paid = yes", '"yes" is neither true nor false at 7'],
    ["paid > false", "a boolean can only be = or !="],
    [Array(65).fill("name = x").join(" "), "at most 64 terms"],
    [`${"(".repeat(17)}name = x${")".repeat(17)}`, "nest at most 16 levels"],
    [`${"NOT ".repeat(18)}name = x`, "nest at most 16 levels"],
    [`name = ${"x".repeat(2_048)}`, "at most 2048 characters"],
  ] as const;
  for (const [text, why] of bad) {
    it(`refuses ${text}`, () => {
      expect(() => parseFilter(text, SCHEMA)).toThrow(why);
    });
  }

  it("is undefined for a text without terms", () => {
    expect(parseFilter("", SCHEMA)).toBeUndefined();
    expect(parseFilter(" \t\n", SCHEMA)).toBeUndefined();
  });

  it("takes as much as its bounds say", () => {
    expect(parseFilter(Array(64).fill("name = x").join(" "), SCHEMA)).toMatchObject({ kind: "and" });
    expect(parseFilter(`${"(".repeat(16)}name = x${")".repeat(16)}`, SCHEMA)).toMatchObject({ kind: "compare" });
    expect(parseFilter(`name = ${"x".repeat(2_041)}`, SCHEMA)).toMatchObject({ kind: "compare" });
  });

  it('answers a bad filter on the field "filter", in a message that fits into headers', () => {
    const error = caught(() => parseFilter(`${"\u00e4".repeat(2_000)} = y`, SCHEMA));
    expect(error.details.violations?.map(({ field }) => field)).toEqual(["filter"]);
    expect(error.message.length).toBeLessThan(300);
  });

  it("puts nothing but columns and parameters into SQL", () => {
    const filter = parseFilter('name = "x\' or 1=1 --*" AND labels.team = "a%b"', SCHEMA);
    expect(filter && filterToSql(filter, 3)).toEqual({
      text: "(coalesce(name like $3::text, false) and coalesce((labels ->> $4::text) = $5::text, false))",
      params: ["x' or 1=1 --%", "team", "a%b"],
    });
  });

  it("answers any text with a filter or a DomainError, however hostile", () => {
    const words = ["(", ")", "NOT ", "-", "name", "=", " ", "x", '"', "\\", "OR ", "AND ", "labels.", ":", "*", "<"];
    const piece = fc.oneof(
      fc.constantFrom(...words, "seats", "create_time", "2026-01-01T00:00:00Z", "\0"),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 300 }), (pieces) => {
        try {
          parseFilter(pieces.join(""), SCHEMA);
          return true;
        } catch (error) {
          return error instanceof DomainError && error.reason === "INVALID_FIELDS";
        }
      }),
      { numRuns: 500, ...SEED },
    );
    for (const text of ["(".repeat(2_000), "NOT ".repeat(500), `${"-".repeat(2_000)}name = x`, "x".repeat(5_000)]) {
      expect(() => parseFilter(text, SCHEMA)).toThrow(DomainError);
    }
  });
});
