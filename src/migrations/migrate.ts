import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { OperatorError } from "../platform/operator-error.ts";
import { openPostgres, PLATFORM_SCOPE, postgresProblem, type Sql, writeAs } from "../platform/postgres.ts";

/** Brings a database up to this release; returns how many migrations it applied. Several nodes may call it at once. */
export async function migrate(options: { url: string }): Promise<{ applied: number }> {
  const sql = openPostgres(options.url, { poolSize: 2, name: "tenantplane migrate" });
  try {
    const connection = await sql.reserve().catch((error: unknown) => {
      throw postgresProblem(error, options.url);
    });
    try {
      await connection`select pg_advisory_lock(${MIGRATION_LOCK})`;
      return { applied: await applyMissing(sql) };
    } finally {
      await connection`select pg_advisory_unlock(${MIGRATION_LOCK})`;
      connection.release();
    }
  } catch (error) {
    throw error instanceof OperatorError ? error : postgresProblem(error, options.url);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The migrations of this release, oldest first. */
export function readMigrations(): Migration[] {
  const folder = new URL("./", import.meta.url);
  return readdirSync(folder)
    .filter((file) => /^\d{4}_.*\.sql$/.test(file))
    .sort()
    .map((file) => {
      const text = readFileSync(new URL(file, folder), "utf8");
      return {
        version: Number(file.slice(0, 4)),
        file,
        text,
        checksum: createHash("sha256").update(text).digest("hex"),
      };
    });
}

export interface Migration {
  readonly version: number;
  readonly file: string;
  readonly text: string;
  readonly checksum: string;
}

/** One migrator at a time per database. */
const MIGRATION_LOCK = 7_315_001;
/** Long enough to build an index on a large table. */
const MIGRATION_TIMEOUT_MS = 600_000;

/**
 * The migrations that a database still lacks; all of them when it is new.
 * Throws OperatorError when it has one that this release does not have, or has otherwise.
 */
export async function findMissing(sql: Sql): Promise<Migration[]> {
  const known = readMigrations();
  const [table] = await sql<{ exists: boolean }[]>`select to_regclass('public.schema_migration') is not null as exists`;
  if (!table?.exists) return known;
  const done = await sql<{ version: number; file: string; checksum: string }[]>`
    select version, file, checksum from schema_migration order by version`;
  for (const row of done) {
    const migration = known.find((candidate) => candidate.version === row.version);
    if (!migration) {
      throw new OperatorError(
        `The database was migrated by a newer release (${row.file}): start that release or a newer one.`,
      );
    }
    if (migration.checksum !== row.checksum) {
      throw new OperatorError(`Migration ${row.file} differs from the one that was applied: restore its text.`);
    }
  }
  return known.filter((migration) => !done.some((row) => row.version === migration.version));
}

async function applyMissing(sql: Sql): Promise<number> {
  await sql`create table if not exists schema_migration (
    version int primary key, file text not null, checksum text not null, applied_at timestamptz not null default now())`;
  const missing = await findMissing(sql);
  for (const migration of missing) {
    await writeAs(sql, PLATFORM_SCOPE, MIGRATION_TIMEOUT_MS, async (tx) => {
      await tx.unsafe(migration.text);
      await tx`insert into schema_migration (version, file, checksum)
        values (${migration.version}, ${migration.file}, ${migration.checksum})`;
    });
  }
  await writeAs(sql, PLATFORM_SCOPE, MIGRATION_TIMEOUT_MS, async (tx) => {
    for (const name of ["database-id", "page-token-key"]) {
      await tx`insert into node_secret (name, value) values (${name}, ${randomBytes(32)}) on conflict do nothing`;
    }
  });
  return missing.length;
}
