import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import postgres from "postgres";
import { sleep } from "./clock.ts";
import { findPlace, type Place, systemUser, type User } from "./embedded-place.ts";
import { claimFolder, isOurPostgres, readPostmasterPid, waitForExit } from "./embedded-process.ts";
import { OperatorError } from "./operator-error.ts";

/** A running Postgres of our own. */
export interface EmbeddedPostgres {
  readonly url: string;
  stop(): Promise<void>;
}

/** The major version that the npm package carries. */
export const MAJOR = "18";
/** Recovery after a crash takes longer than a clean start, yet not longer than this with our sizes. */
const START_TIMEOUT_MS = 60_000;

/**
 * Starts the Postgres of the npm package as a child process that listens on a free loopback port, and creates its data
 * at first. It ends with us, however we end: a watchdog sees our end of a pipe close. Throws OperatorError.
 */
export async function startEmbeddedPostgres(options: {
  dataFolder: string;
  settings?: Readonly<Record<string, string>>;
}): Promise<EmbeddedPostgres> {
  const folder = resolve(options.dataFolder);
  makeFolder(folder);
  const release = claimFolder(folder);
  try {
    const user = process.getuid?.() === 0 ? systemUser() : undefined;
    const place = await findPlace(folder, user);
    await stopOrphan(place.data);
    const password = readPassword(folder);
    initialise(place, password, user);
    const port = await freePort();
    const server = launch(place, port, options.settings ?? {}, user);
    const url = embeddedUrl(port, password);
    await waitUntilReady(url, server, place);
    return {
      url,
      async stop() {
        server.kill("SIGINT");
        if (!(await waitForExit(server.pid ?? 0, 10_000))) server.kill("SIGQUIT");
        await waitForExit(server.pid ?? 0, 5_000);
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** The URL of an embedded Postgres. */
export function embeddedUrl(port: number | string, password: string): string {
  return `postgres://tenantplane:${password}@127.0.0.1:${port}/postgres`;
}

/** Where the password of an embedded Postgres is kept. */
export function passwordFileOf(folder: string): string {
  return join(folder, "postgres-password");
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw new OperatorError(`The data folder ${folder} can't be used (${code}): make it yours, or set DATA_FOLDER.`);
  }
}

async function stopOrphan(data: string): Promise<void> {
  const pid = readPostmasterPid(data);
  if (pid === undefined || !isOurPostgres(pid, data)) return;
  process.kill(pid, "SIGINT");
  if (await waitForExit(pid, 10_000)) return;
  process.kill(pid, "SIGQUIT");
  if (await waitForExit(pid, 5_000)) return;
  throw new OperatorError(`An earlier Postgres (pid ${pid}) still uses ${data}: end it, then start again.`);
}

function readPassword(folder: string): string {
  const file = passwordFileOf(folder);
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString("hex"), { mode: 0o600 });
  return readFileSync(file, "utf8").trim();
}

function initialise(place: Place, password: string, user: User | undefined): void {
  const versionFile = join(place.data, "PG_VERSION");
  if (existsSync(versionFile)) {
    const version = readFileSync(versionFile, "utf8").trim();
    if (version === MAJOR) return;
    throw new OperatorError(
      `The data in ${place.data} is of Postgres ${version}, not ${MAJOR}: move it away, or set DATA_FOLDER.`,
    );
  }
  // A first start that was cut off leaves half a cluster, which nothing can use.
  rmSync(place.data, { recursive: true, force: true });
  const passwordFile = `${place.data}.password`;
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (user) chownSync(passwordFile, user.uid, user.gid);
  try {
    const flags = [
      "--encoding=UTF8",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--locale=C",
      "--auth=scram-sha-256",
    ];
    const args = [`--pgdata=${place.data}`, "--username=tenantplane", `--pwfile=${passwordFile}`, ...flags];
    execFileSync(join(place.bin, "initdb"), args, { ...identity(user), stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    const why = String((error as { stderr?: Buffer }).stderr ?? error)
      .trim()
      .split("\n")
      .at(-1);
    throw new OperatorError(`Postgres could not create its data in ${place.data}: ${why}`);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

function launch(
  place: Place,
  port: number,
  settings: Readonly<Record<string, string>>,
  user: User | undefined,
): ChildProcess {
  const all = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    max_connections: "200",
    shared_buffers: "128MB",
    log_min_messages: "warning",
    ...settings,
  };
  const args = ["-D", place.data, ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`])];
  // Written anew at each start, so that it stays small.
  const log = openSync(place.log, "w", 0o600);
  // A group of its own: Ctrl-C in a terminal must not end it before the calls under way are answered.
  const server = spawn(join(place.bin, "postgres"), args, {
    ...identity(user),
    detached: true,
    stdio: ["ignore", log, log],
  });
  server.on("error", () => {});
  watch(server.pid ?? 0);
  return server;
}

// The watchdog's standard input closes when we end, in whatever way; then it ends Postgres.
function watch(pid: number): void {
  const script = `process.stdin.resume().on("end",()=>{try{process.kill(${pid},"SIGINT")}catch{}})`;
  const options = { detached: true, stdio: ["pipe", "ignore", "ignore"] } as const;
  const watchdog = spawn(process.execPath, ["-e", script], { ...options, stdio: [...options.stdio] });
  watchdog.on("error", () => {});
  watchdog.unref();
  (watchdog.stdin as unknown as { unref?: () => void } | null)?.unref?.();
}

function identity(user: User | undefined) {
  return user ? { uid: user.uid, gid: user.gid, cwd: "/" } : { cwd: "/" };
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer().once("error", fail);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => done(typeof address === "object" && address ? address.port : 0));
    });
  });
}

async function waitUntilReady(url: string, server: ChildProcess, place: Place): Promise<void> {
  const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => {} });
  try {
    for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += 50) {
      if (server.exitCode !== null || server.pid === undefined) break;
      const ready = await sql`select 1`.then(
        () => true,
        () => false,
      );
      if (ready) return;
      await sleep(50);
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
  const tail = existsSync(place.log) ? readFileSync(place.log, "utf8").trim().split("\n").at(-1) : "no log";
  throw new OperatorError(`Postgres did not start: ${tail} (log: ${place.log})`);
}
