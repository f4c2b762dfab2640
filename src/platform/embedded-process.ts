import { existsSync, linkSync, readFileSync, realpathSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "./clock.ts";
import { OperatorError } from "./operator-error.ts";

/**
 * Makes a folder ours until the returned function is called or our process ends. The claim is a file with our pid and
 * start time, linked into place so that of two starters only one wins; a claim of a process that is gone is void.
 * Throws OperatorError when a live process holds it.
 */
export function claimFolder(folder: string): () => void {
  const lock = join(folder, "owner");
  const mine = `${process.pid} ${startTimeOf(process.pid)}`;
  const draft = `${lock}.${process.pid}`;
  writeFileSync(draft, mine);
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        linkSync(draft, lock);
        return () => {
          if (existsSync(lock) && readFileSync(lock, "utf8") === mine) unlinkSync(lock);
        };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const [pid = "", startedAt] = readFileSync(lock, "utf8").split(" ");
      if (isAlive(Number(pid)) && startTimeOf(Number(pid)) === startedAt) {
        throw new OperatorError(
          `Another Tenantplane (pid ${pid}) is using ${folder}: stop it, or set DATA_FOLDER or DATABASE_URL.`,
        );
      }
      rmSync(lock, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  throw new OperatorError(`Others are starting on ${folder} at the same time: start again.`);
}

/** The process that a data folder's postmaster.pid names. */
export function readPostmasterPid(data: string): number | undefined {
  const file = join(data, "postmaster.pid");
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, "utf8").split("\n")[0]);
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

/** True when the process is alive and is a Postgres of this data folder, as far as the system tells. */
export function isOurPostgres(pid: number, data: string): boolean {
  if (!isAlive(pid)) return false;
  const commandLine = `/proc/${pid}/cmdline`;
  if (!existsSync(commandLine)) return true;
  const words = readFileSync(commandLine, "utf8").split("\0");
  return words.includes(data) || words.includes(realpathSync(data));
}

/** Waits until a process is gone; false when it still is there after `timeoutMs`. */
export async function waitForExit(pid: number, timeoutMs: number): Promise<boolean> {
  for (let waitedMs = 0; isAlive(pid); waitedMs += 25) {
    if (waitedMs >= timeoutMs) return false;
    await sleep(25);
  }
  return true;
}

// A zombie is gone for all purposes but its parent's.
function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 1) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  return !/^\d+ \(.*\) Z/s.test(statOf(pid));
}

// Tells a process from a later one of the same pid.
function startTimeOf(pid: number): string {
  return statOf(pid).split(") ").at(-1)?.split(" ")[19] ?? "0";
}

function statOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return "";
  }
}
