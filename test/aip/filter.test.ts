import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type FilterSchema, parseFilter } from "../../src/aip/filter.ts";
import { matchFilter } from "../../src/aip/filter-match.ts";
import { filterToSql } from "../../src/aip/filter-sql.ts";
import { DomainError } from "../../src/errors.ts";

const SCHEMA: FilterSchema = {
  name: { type: "string", column: "name" },
  state: { type: "enum", column: "state", values: ["ON", "OFF"] },
  labels: { type: "map", column: "labels" },
  create_time: { type: "time", column: "created_at" },
};
const OBJECT = { name: "acme-corp", state: "ON", labels: { team: "red" }, create_time: Date.UTC(2026, 0, 2) };

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
  ] as const;
  for (const [text, why] of bad) {
    it(`refuses ${text}`, () => {
      expect(() => parseFilter(text, SCHEMA)).toThrow(why);
    });
  }

  it("puts nothing but columns and parameters into SQL", () => {
    const filter = parseFilter('name = "x\' or 1=1 --*" AND labels.team = "a%b"', SCHEMA);
    expect(filter && filterToSql(filter, 3)).toEqual({
      text: "(coalesce(name like $3::text, false) and coalesce((labels ->> $4::text) = $5::text, false))",
      params: ["x' or 1=1 --%", "team", "a%b"],
    });
  });

  it("answers any text with a filter or a DomainError, however hostile", () => {
    const piece = fc.constantFrom(
      "(",
      ")",
      "NOT ",
      "-",
      "name",
      "=",
      " ",
      "x",
      '"',
      "\\",
      "OR ",
      "AND ",
      "labels.",
      ":",
      "*",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 300 }), (pieces) => {
        try {
          parseFilter(pieces.join(""), SCHEMA);
          return true;
        } catch (error) {
          return error instanceof DomainError;
        }
      }),
    );
    for (const text of ["(".repeat(2_000), "NOT ".repeat(500), `${"-".repeat(2_000)}name = x`, "x".repeat(5_000)]) {
      expect(() => parseFilter(text, SCHEMA)).toThrow(DomainError);
    }
  });
});
