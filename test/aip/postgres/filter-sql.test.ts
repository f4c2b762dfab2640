import fc from "fast-check";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { type FilterSchema, parseFilter } from "../../../src/aip/filter.ts";
import { matchFilter } from "../../../src/aip/filter-match.ts";
import { filterToSql } from "../../../src/aip/filter-sql.ts";

/** Seen on failure by fast-check; SEED=<number> repeats a run. */
const SEED = process.env.SEED ? { seed: Number(process.env.SEED) } : {};

const SCHEMA: FilterSchema = {
  name: { type: "string", column: "name" },
  // Sorts by language, which must not show.
  "owner.name": { type: "string", column: "owner_name" },
  state: { type: "enum", column: "state", values: ["ON", "OFF"] },
  labels: { type: "map", column: "labels" },
  create_time: { type: "time", column: "created_at" },
  seats: { type: "number", column: "seats" },
  paid: { type: "boolean", column: "paid" },
};

interface Row {
  name: string | null;
  "owner.name": string | null;
  state: string | null;
  labels: Record<string, string> | null;
  create_time: number | null;
  seats: number | null;
  paid: boolean | null;
}

/** Few letters, so that random texts and patterns meet; those that SQL, LIKE and collations treat specially. */
const LETTERS = ["a", "A", "b", "B", "é", "_", "%", "\\", "'", '"', "$1", "-", " ", "😀", "\uffff", "*"];
const text = fc.array(fc.constantFrom(...LETTERS), { maxLength: 4 }).map((letters) => letters.join(""));
const key = fc.constantFrom("team", "a.b", "A", "constructor", "x");
const instant = fc.constantFrom(-62_135_596_800_000, -1, 0, 1, 1_767_225_600_123, 253_402_300_799_999);
const seats = fc.constantFrom(-2, -1.5, 0, 0.1, 1, 999_999_999_999_999);
const nullable = <T>(values: fc.Arbitrary<T>) => fc.option(values, { freq: 6, nil: null });
const rows = fc.record<Row>({
  name: nullable(text),
  "owner.name": nullable(text),
  state: nullable(fc.constantFrom("ON", "OFF")),
  labels: nullable(fc.dictionary(key, text, { maxKeys: 3, noNullPrototype: true })),
  create_time: nullable(instant),
  seats: nullable(seats),
  paid: nullable(fc.boolean()),
});

const quote = (value: string) => `"${value.replace(/["\\]/g, "\\$&")}"`;
const anyComparator = fc.constantFrom("=", "!=", "<", "<=", ">", ">=");
const equality = fc.constantFrom("=", "!=");
const say = (path: string, comparator: fc.Arbitrary<string>, value: fc.Arbitrary<string>) =>
  fc.tuple(comparator, value).map(([operator, operand]) => `${path} ${operator} ${operand}`);
const term = fc.oneof(
  say("name", fc.oneof(anyComparator, fc.constant(":")), text.map(quote)),
  say("owner.name", anyComparator, text.map(quote)),
  say("state", equality, fc.constantFrom("ON", "OFF")),
  say(
    "create_time",
    anyComparator,
    instant.map((at) => new Date(at).toISOString()),
  ),
  say("seats", anyComparator, seats.map(String)),
  say("paid", equality, fc.boolean().map(String)),
  key.map((name) => `labels:${name}`),
  fc.tuple(key, anyComparator, text).map(([name, operator, value]) => `labels.${name} ${operator} ${quote(value)}`),
);
const { filter: filters } = fc.letrec<{ filter: string }>((tie) => ({
  filter: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    term,
    tie("filter").map((inner) => `NOT (${inner})`),
    fc.tuple(tie("filter"), tie("filter")).map(([a, b]) => `(${a}) OR (${b})`),
    fc.tuple(tie("filter"), tie("filter")).map(([a, b]) => `(${a}) AND (${b})`),
  ),
}));

let sql: postgres.Sql;

beforeAll(async () => {
  // One connection: the table is the session's own.
  sql = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
  await sql`create temp table filtered (id int, name text collate "C", owner_name text collate "und-x-icu", state text,
    labels jsonb, created_at timestamptz, seats numeric, paid boolean)`;
});

afterAll(async () => {
  await sql.end();
});

describe("the SQL of a filter", () => {
  it("chooses exactly the rows that match in memory, and is never null", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(rows, { minLength: 1, maxLength: 20 }),
        fc.array(filters, { minLength: 1, maxLength: 10 }),
        async (objects, texts) => {
          await fill(objects);
          for (const filterText of texts) {
            const filter = parseFilter(filterText, SCHEMA);
            const condition = filter && filterToSql(filter, 2);
            const found = await sql.unsafe<{ matches: boolean | null }[]>(
              `select ${condition?.text} as matches from filtered where id >= $1 order by id`,
              [0, ...((condition?.params ?? []) as string[])],
            );
            const expected = objects.map((object) => filter && matchFilter(filter, { ...object }));
            expect({ filterText, found: found.map(({ matches }) => matches) }).toEqual({ filterText, found: expected });
          }
        },
      ),
      { numRuns: 150, ...SEED },
    );
  });
});

async function fill(objects: readonly Row[]): Promise<void> {
  await sql`truncate filtered`;
  const values = objects.map((row, id) => ({
    id,
    name: row.name,
    owner_name: row["owner.name"],
    state: row.state,
    labels: row.labels,
    created_at: row.create_time === null ? null : new Date(row.create_time).toISOString(),
    seats: row.seats,
    paid: row.paid,
  }));
  await sql`insert into filtered select id, name, owner_name, state, labels, created_at, seats, paid from jsonb_to_recordset(${sql.json(values)}) as t(id int, name text,
    owner_name text, state text, labels jsonb, created_at timestamptz, seats numeric, paid boolean)`;
}
