import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { createDatabase } from "../support/app.ts";
import { type NodeProcess, startNode } from "../support/node-process.ts";

let folder: string;
let database: Awaited<ReturnType<typeof createDatabase>>;
let taken: Server;
let takenPort: string;

beforeAll(async () => {
  database = await createDatabase();
  taken = createServer();
  await new Promise<void>((ready) => taken.listen(0, "127.0.0.1", ready));
  const address = taken.address();
  takenPort = String(typeof address === "object" && address ? address.port : 0);
});
afterAll(async () => {
  taken.close();
  await database.drop();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tenantplane-start-"));
  return () => rmSync(folder, { recursive: true, force: true });
});

const settings = (more: Record<string, string> = {}) => ({ DATABASE_URL: database.url, DATA_FOLDER: folder, ...more });

async function stopped(node: NodeProcess, signal: NodeJS.Signals = "SIGTERM") {
  node.process.kill(signal);
  return node.ended;
}

describe("a start that can't succeed", () => {
  const url = (change: (url: URL) => void) => {
    const changed = new URL(inject("databaseUrl"));
    change(changed);
    return changed.href;
  };
  const cases: [string, () => Record<string, string>, RegExp][] = [
    [
      "the gRPC port is taken",
      () => ({ GRPC_PORT: takenPort }),
      /^gRPC can't listen on 127\.0\.0\.1:\d+: the port is taken\. Set GRPC_PORT or LISTEN_HOST\.$/,
    ],
    [
      "the HTTP port is taken",
      () => ({ HTTP_PORT: takenPort }),
      /^HTTP can't listen on 127\.0\.0\.1:\d+: the port is taken\. Set HTTP_PORT or LISTEN_HOST\.$/,
    ],
    [
      "nothing listens at the database's address",
      () => ({ DATABASE_URL: "postgres://a:b@127.0.0.1:1/x" }),
      /^Postgres at 127\.0\.0\.1:1 can't be used: nothing listens there\. Check DATABASE_URL, .*\.$/,
    ],
    [
      "the database's password is wrong",
      () => ({
        DATABASE_URL: url((it) => {
          it.password = "wrong";
        }),
      }),
      /^Postgres at \S+ can't be used: the password is wrong\. Check DATABASE_URL, .*\.$/,
    ],
    [
      "there is no such database",
      () => ({
        DATABASE_URL: url((it) => {
          it.pathname = "/nothing";
        }),
      }),
      /^Postgres at \S+ can't be used: the database does not exist\. Check DATABASE_URL, .*\.$/,
    ],
    [
      "Redis can't be reached",
      () => ({ REDIS_URL: "redis://127.0.0.1:1" }),
      /^Redis at 127\.0\.0\.1:1 can't be used: .*\. Check REDIS_URL, or unset it for a single node\.$/,
    ],
    [
      "settings are wrong",
      () => ({ GRPC_PORT: "x", LOG_LEVEL: "loud" }),
      /^Settings are wrong: GRPC_PORT must be .*; LOG_LEVEL must be .*\.$/,
    ],
    [
      "the certificate can't be read",
      () => ({ TLS_CERT_FILE: "/nothing.pem", TLS_KEY_FILE: "/nothing.pem" }),
      /^TLS can't start: .*\. Check TLS_CERT_FILE and TLS_KEY_FILE\.$/,
    ],
    [
      "the data folder is a file",
      () => {
        const file = join(folder, "file");
        writeFileSync(file, "");
        return { DATABASE_URL: "", DATA_FOLDER: join(file, "data") };
      },
      /^The data folder \S+ can't be used \(ENOTDIR\): make it yours, or set DATA_FOLDER\.$/,
    ],
    [
      "the first key can't be kept",
      () => {
        const file = join(folder, "file");
        writeFileSync(file, "");
        return { DATA_FOLDER: join(file, "data") };
      },
      /^The first admin key can't be kept in \S+ \(ENOTDIR\): make the folder yours, or set DATA_FOLDER\.$/,
    ],
  ];
  for (const [what, change, line] of cases) {
    it(`because ${what} is one line on standard error and ends with code 1`, async () => {
      const { ended } = await startNode({ ...settings(), ...change() });
      const { code, out, err } = await ended;
      expect({ code, out, lines: err.split("\n").length }).toEqual({ code: 1, out: "", lines: 2 });
      expect(err.trim()).toMatch(line);
      expect(err).not.toContain("wrong@");
    });
  }

  it("because a newer release migrated the database, or another node uses it, is one line too", async () => {
    const own = await createDatabase();
    const first = await startNode({ ...settings(), DATABASE_URL: own.url });
    await first.ready;
    const second = await (await startNode({ ...settings(), DATABASE_URL: own.url })).ended;
    await stopped(first);
    const sql = postgres(own.url, { max: 1 });
    await sql`insert into schema_migration (version, file, checksum) values (9999, '9999_future.sql', '')`;
    await sql.end();
    const older = await (await startNode({ ...settings(), DATABASE_URL: own.url })).ended;
    await own.drop();
    expect([second.code, second.err]).toEqual([
      1,
      "Another node uses this database: stop it, or set the same REDIS_URL on all nodes.\n",
    ]);
    expect([older.code, older.err]).toEqual([
      1,
      "The database was migrated by a newer release (9999_future.sql): start that release or a newer one.\n",
    ]);
  });
});

describe("a first start", () => {
  it("keeps its admin key for its owner alone, and prints it once, with commands that work as printed", async () => {
    const own = await createDatabase();
    const first = await startNode({ ...settings(), DATABASE_URL: own.url });
    await first.ready;
    const file = join(folder, "admin-key");
    const key = readFileSync(file, "utf8").trim();
    expect([key, (statSync(file).mode & 0o777).toString(8)]).toEqual([expect.stringMatching(/^tpk_/), "600"]);
    expect(first.written().split(key)).toHaveLength(2);
    const commands = first
      .written()
      .split("Try it:\n")[1]
      ?.split("Ctrl-C")[0]
      ?.replaceAll("\\\n", " ")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
    expect(commands).toHaveLength(3);
    for (const command of commands ?? []) {
      const { stdout } = await promisify(execFile)("bash", ["-c", command], { env: process.env });
      expect([command, stdout]).toEqual([command, expect.not.stringContaining("rror")]);
    }
    expect(await stopped(first, "SIGINT")).toMatchObject({ code: 0, err: "" });
    const second = await startNode({ ...settings(), DATABASE_URL: own.url });
    await second.ready;
    expect(second.written()).not.toContain(key);
    await stopped(second);
    await own.drop();
  });

  it("that fails after all loses no key: the next one has it", async () => {
    const own = await createDatabase();
    const failed = await startNode({ ...settings(), DATABASE_URL: own.url, HTTP_PORT: takenPort });
    expect((await failed.ended).code).toBe(1);
    const next = await startNode({ ...settings(), DATABASE_URL: own.url });
    await next.ready;
    const key = readFileSync(join(folder, "admin-key"), "utf8").trim();
    const answer = await fetch(`http://127.0.0.1:${next.httpPort}/tenantplane.v1.TenantService/ListTenants`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: "{}",
    });
    await stopped(next);
    await own.drop();
    expect(answer.status).toBe(200);
  });
});

describe("a node on the embedded database", () => {
  it("keeps its data through a stop and a kill -9, and leaves no process behind", async () => {
    chmodSync(folder, 0o755);
    const embedded = { DATA_FOLDER: folder };
    const first = await startNode(embedded);
    await first.ready;
    const key = readFileSync(join(folder, "admin-key"), "utf8").trim();
    const call = async ({ httpPort }: NodeProcess, method: string, body: object) => {
      const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
      const base = `http://127.0.0.1:${httpPort}/tenantplane.v1.`;
      return (await fetch(base + method, { method: "POST", headers, body: JSON.stringify(body) })).json();
    };
    await call(first, "PlanService/CreatePlan", { planId: "kept", plan: { displayName: "Kept" } });
    first.process.kill("SIGKILL");
    await first.ended;
    const second = await startNode(embedded);
    await second.ready;
    const found = await call(second, "PlanService/GetPlan", { name: "plans/kept" });
    const ended = await stopped(second, "SIGINT");
    expect([found, ended.code]).toEqual([{ plan: expect.objectContaining({ name: "plans/kept" }) }, 0]);
    const { stdout } = await promisify(execFile)("ps", ["-eo", "args"]);
    expect(stdout.split("\n").filter((line) => line.includes(folder))).toEqual([]);
    expect(existsSync(join(folder, "owner"))).toBe(false);
  });
});
