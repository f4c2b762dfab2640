import postgres from "postgres";
import { afterAll, beforeAll, it } from "vitest";
import { migrate } from "../src/migrations/migrate.ts";
import { createDatabase } from "./support/app.ts";
import { golden } from "./support/golden.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let sql: postgres.Sql;

beforeAll(async () => {
  database = await createDatabase();
  await migrate(database);
  sql = postgres(database.url, { max: 1, onnotice: () => {} });
});
afterAll(async () => {
  await sql.end();
  await database.drop();
});

async function lines(statement: string): Promise<string[]> {
  const rows = await sql.unsafe<{ line: string }[]>(statement);
  return rows.map(({ line }) => line);
}

const OURS = "relnamespace = 'public'::regnamespace";

/** All that the migrations have made, as the catalogue tells it, in an order that does not depend on theirs. */
async function dump(): Promise<string> {
  const tables = await sql.unsafe<{ name: string }[]>(
    `select relname as name from pg_class where relkind in ('r', 'p') and not relispartition and ${OURS} order by relname`,
  );
  const parts = await Promise.all(tables.map(({ name }) => dumpTable(name)));
  const functions = await lines(`
    select pg_get_function_identity_arguments(oid) as arguments,
      'function ' || proname || '(' || pg_get_function_identity_arguments(oid) || ') returns '
        || pg_get_function_result(oid) as line
    from pg_proc where pronamespace = 'public'::regnamespace order by proname`);
  return `${parts.join("\n")}\n${functions.join("\n")}\n`;
}

async function dumpTable(table: string): Promise<string> {
  const is = `'${table}'::regclass`;
  const [head, columns, constraints, indexes, policies, grants, triggers] = await Promise.all([
    lines(`select 'table ' || relname || case when relrowsecurity and relforcerowsecurity then ': row security forced'
        else ': NO row security' end as line from pg_class where oid = ${is}`),
    lines(`select attname || ' ' || format_type(atttypid, atttypmod)
        || case when attcollation <> 0 and attcollation <> 'pg_catalog."default"'::regcollation
           then ' collate ' || attcollation::regcollation else '' end
        || case when attnotnull then ' not null' else '' end
        || case attidentity when 'a' then ' always identity' when 'd' then ' identity' else '' end
        || coalesce(' default ' || pg_get_expr(adbin, adrelid), '') as line
      from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
      where attrelid = ${is} and attnum > 0 and not attisdropped order by attnum`),
    lines(`select conname || ': ' || pg_get_constraintdef(oid) as line
      from pg_constraint where conrelid = ${is} and contype <> 'n' order by conname`),
    lines(`select pg_get_indexdef(indexrelid) as line from pg_index where indrelid = ${is}
        and not exists (select from pg_constraint where conindid = indexrelid and conrelid = ${is}) order by 1`),
    lines(`select 'policy ' || polname || ' for ' || case polcmd when '*' then 'all' when 'r' then 'select' else polcmd::text end
        || coalesce(' using ' || regexp_replace(pg_get_expr(polqual, polrelid), '\\s+', ' ', 'g'), '')
        || coalesce(' with check ' || regexp_replace(pg_get_expr(polwithcheck, polrelid), '\\s+', ' ', 'g'), '') as line
      from pg_policy where polrelid = ${is} order by polname`),
    lines(`select 'grant ' || string_agg(lower(privilege_type), ', ' order by privilege_type) || ' to ' || grantee::regrole as line
      from pg_class, aclexplode(relacl) where pg_class.oid = ${is} and grantee <> relowner group by grantee order by grantee`),
    lines(
      `select pg_get_triggerdef(oid) as line from pg_trigger where tgrelid = ${is} and not tgisinternal order by 1`,
    ),
  ]);
  return [
    ...head,
    ...[...columns, ...constraints, ...indexes, ...policies, ...grants, ...triggers].map((l) => `  ${l}`),
    "",
  ].join("\n");
}

it("the schema is the one that was reviewed", async () => {
  golden("schema.txt", await dump());
});
