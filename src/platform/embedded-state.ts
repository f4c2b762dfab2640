import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { dataFoldersOf } from "./embedded-place.ts";
import { embeddedUrl, MAJOR, passwordFileOf } from "./embedded-postgres.ts";
import { isOurPostgres, readPostmasterPid } from "./embedded-process.ts";

/** How it stands with the embedded Postgres of a data folder. */
export type EmbeddedState =
  | { readonly kind: "absent" }
  | { readonly kind: "foreign"; readonly data: string; readonly version: string }
  | { readonly kind: "stopped"; readonly data: string; readonly version: string }
  | { readonly kind: "running"; readonly data: string; readonly url: string };

/** Looks at the embedded Postgres of a data folder without touching it. Throws the system's error for what it can't read. */
export function readEmbeddedState(dataFolder: string): EmbeddedState {
  const folder = resolve(dataFolder);
  const data = dataFoldersOf(folder).find((candidate) => {
    // Throws for a folder that may not be entered: that is not the same as none.
    return statSync(join(candidate, "PG_VERSION"), { throwIfNoEntry: false }) !== undefined;
  });
  if (data === undefined) return { kind: "absent" };
  const version = readFileSync(join(data, "PG_VERSION"), "utf8").trim();
  if (version !== MAJOR) return { kind: "foreign", data, version };
  const pid = readPostmasterPid(data);
  if (pid === undefined || !isOurPostgres(pid, data)) return { kind: "stopped", data, version };
  // The fourth line of the file is the port.
  const port = readFileSync(join(data, "postmaster.pid"), "utf8").split("\n")[3] ?? "";
  const password = readFileSync(passwordFileOf(folder), "utf8").trim();
  return { kind: "running", data, url: embeddedUrl(port, password) };
}
