import { describe, expect, it } from "vitest";
import { keysetSql, type OrderField, parseOrderBy } from "../../src/aip/order-by.ts";
import { caught } from "./caught.ts";

const FIELDS: Readonly<Record<string, OrderField>> = {
  name: { column: "tenant_id", cast: "text" },
  display_name: { column: "display_name", cast: "text" },
  create_time: { column: "created_at", cast: "timestamptz" },
  seats: { column: "seats", cast: "bigint" },
};

describe("an order", () => {
  const good: [string, string][] = [
    ["", "tenant_id asc"],
    ["  ", "tenant_id asc"],
    ["name desc", "tenant_id desc"],
    ["display_name", "display_name asc, tenant_id asc"],
    ["create_time desc", "created_at desc, tenant_id desc"],
    [" create_time   desc , display_name asc ", "created_at desc, display_name asc, tenant_id asc"],
    ["name, display_name", "tenant_id asc"],
  ];
  for (const [text, expected] of good) {
    it(`"${text}" is ${expected}`, () => {
      expect(keysetSql(parseOrderBy(text, FIELDS, "name"), undefined, 1)).toEqual({
        where: "true",
        orderBy: expected,
        params: [],
      });
    });
  }

  const bad: [string, string][] = [
    ["colour", 'unknown field "colour"; known are name, display_name, create_time, seats'],
    ["constructor desc", 'unknown field "constructor"'],
    ["name down", '"name down" is not a field with "asc" or "desc"'],
    ["name desc desc", "is not a field with"],
    ["name DESC", "is not a field with"],
    ["name,,seats", 'unknown field ""'],
    ["name,", 'unknown field ""'],
    ["seats, seats desc", "must name a field only once"],
    ["name,seats,create_time,display_name,name", "at most 4 fields"],
    ["name; drop table tenant", 'unknown field "name;"'],
    [",".repeat(1_000_000), "at most 256 characters"],
  ];
  for (const [text, why] of bad) {
    it(`refuses "${text.slice(0, 40)}"`, () => {
      const error = caught(() => parseOrderBy(text, FIELDS, "name"));
      expect(error.message).toContain(why);
      expect(error.details.violations).toMatchObject([{ field: "order_by" }]);
    });
  }

  it("goes on by one row comparison when all its terms go the same way", () => {
    const order = parseOrderBy("create_time desc", FIELDS, "name");
    expect(keysetSql(order, ["2026-01-01T00:00:00.000Z", "acme"], 3).where).toBe(
      "(created_at, tenant_id) < ($3::timestamptz, $4::text)",
    );
  });

  it("bounds the first column by itself when its terms go both ways, so that an index can start there", () => {
    const order = parseOrderBy("create_time desc, name", FIELDS, "name");
    expect(keysetSql(order, ["2026-01-01T00:00:00.000Z", "acme"], 3)).toEqual({
      where:
        "(created_at <= $3::timestamptz and ((created_at < $3::timestamptz) or " +
        "(created_at = $3::timestamptz and tenant_id > $4::text)))",
      orderBy: "created_at desc, tenant_id asc",
      params: ["2026-01-01T00:00:00.000Z", "acme"],
    });
  });
});
