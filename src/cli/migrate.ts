import { readConfig } from "../config.ts";
import { migrate } from "../migrations/migrate.ts";
import { OperatorError } from "../platform/operator-error.ts";
import { note } from "./output.ts";

/** Brings the database of DATABASE_URL up to this release. */
export async function migrateCommand(): Promise<void> {
  const { DATABASE_URL: url } = readConfig();
  if (url === "") throw new OperatorError("Set DATABASE_URL: the embedded database is migrated by `serve`.");
  const { applied } = await migrate({ url });
  note(applied === 0 ? "The database is up to date." : `Applied ${applied} migrations.`);
}
