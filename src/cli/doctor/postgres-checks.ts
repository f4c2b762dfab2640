import { findMissing } from "../../migrations/migrate.ts";
import { OperatorError } from "../../platform/operator-error.ts";
import { postgresProblem, type Sql } from "../../platform/postgres.ts";
import { readPostgresFacts, withPostgres } from "../../platform/postgres-facts.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";
import { judgePostgres } from "./judge-postgres.ts";

/** Checks a database that a node uses or shall use. */
export async function checkPostgres(url: string, poolSize: number): Promise<Finding[]> {
  const facts = { role: "tenantplane_app", appendOnly: ["audit_entry"] };
  try {
    return await withPostgres(url, async (sql) => [
      ...judgePostgres(await readPostgresFacts(sql, facts), { place: new URL(url).host, poolSize, role: facts.role }),
      await checkMigrations(sql, url),
    ]);
  } catch (error) {
    if (error instanceof OperatorError) return [fail("postgres", error.message)];
    throw error;
  }
}

async function checkMigrations(sql: Sql, url: string): Promise<Finding> {
  try {
    const missing = await findMissing(sql);
    if (missing.length === 0) return ok("migrations", "the database is of this release");
    const files = missing.map(({ file }) => file).join(", ");
    return warn("migrations", `not applied yet: ${files}`, "start a node, or run `tenantplane migrate`");
  } catch (error) {
    return fail("migrations", (error instanceof OperatorError ? error : postgresProblem(error, url)).message);
  }
}
