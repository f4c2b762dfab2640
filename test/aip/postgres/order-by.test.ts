import fc from "fast-check";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { keysetSql, type OrderField, parseOrderBy } from "../../../src/aip/order-by.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

const FIELDS: Readonly<Record<string, OrderField>> = {
  id: { column: "id", cast: "bigint" },
  title: { column: "title", cast: "text" },
  at: { column: "at", cast: "timestamptz" },
};

let sql: postgres.Sql;

beforeAll(async () => {
  // One connection: the table is the session's own.
  sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
  await sql`create temp table ordered (id bigint primary key, title text collate "C" not null, at timestamptz not null)`;
});

afterAll(async () => {
  await sql.end();
});

describe("pages by position", () => {
  const row = fc.record({ title: fc.constantFrom("", "a", "B", "é", "😀"), at: fc.integer({ min: 0, max: 3 }) });
  const direction = fc.constantFrom("", " asc", " desc");
  const orders = fc
    .tuple(fc.shuffledSubarray(Object.keys(FIELDS)), fc.array(direction, { minLength: 3, maxLength: 3 }))
    .map(([paths, directions]) => paths.map((path, index) => `${path}${directions[index]}`).join(","));

  it("are together the whole list in its order, each row once", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 25 }),
        orders,
        fc.integer({ min: 1, max: 7 }),
        async (rows, orderBy, size) => {
          await sql`truncate ordered`;
          const values = rows.map(({ title, at }, id) => ({ id, title, at: new Date(at).toISOString() }));
          await sql`insert into ordered select id, title, at
            from jsonb_to_recordset(${sql.json(values)}) as t(id bigint, title text, at timestamptz)`;
          const sorted = await page(orderBy, undefined, 1_000);
          const walked: Page = [];
          for (let next = await page(orderBy, undefined, size); next.length > 0; ) {
            walked.push(...next);
            next = await page(orderBy, next.at(-1), size);
          }
          expect(walked).toEqual(sorted);
          expect(walked).toHaveLength(rows.length);
        },
      ),
      { numRuns: 100, ...SEED },
    );
  });
});

type Page = Record<string, unknown>[];

async function page(orderBy: string, after: Page[number] | undefined, size: number): Promise<Page> {
  const order = parseOrderBy(orderBy, FIELDS, "id");
  const position = after && order.map(({ path }) => after[path]);
  const keyset = keysetSql(order, position, 2);
  const rows = await sql.unsafe<Page>(
    `select id::text as id, title, at::text as at from ordered where ${keyset.where} order by ${keyset.orderBy} limit $1`,
    [size, ...(keyset.params as string[])],
  );
  return [...rows];
}
