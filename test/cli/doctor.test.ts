import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import * as http2 from "node:http2";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { startEmbeddedPostgres } from "../../src/platform/embedded-postgres.ts";
import { readPostgresFacts, withPostgres } from "../../src/platform/postgres-facts.ts";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { run } from "../support/cli.ts";
import { testRedisUrl } from "../support/redis.ts";

const DAY_MS = 24 * 3_600_000;
const folder = mkdtempSync(join(tmpdir(), "doctor-"));
const keyFile = join(folder, "admin-key");
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  // As root, the embedded Postgres runs as a user that must be able to enter.
  chmodSync(folder, 0o755);
  database = await createDatabase();
  app = await startTestApp(database);
  writeFileSync(keyFile, app.adminKey, { mode: 0o600 });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

function node(): Record<string, string> {
  const ports = { GRPC_PORT: String(app.grpcPort), HTTP_PORT: String(app.httpPort) };
  return { DATABASE_URL: database.url, DATA_FOLDER: folder, REDIS_URL: testRedisUrl() ?? "", ...ports };
}

interface Report {
  readonly code: number;
  readonly text: string;
  /** Of a check, its status, and what it says when that is not ok. */
  readonly found: Readonly<Record<string, string>>;
}

async function doctor(environment: Record<string, string>): Promise<Report> {
  const { code, out, err } = await run(["doctor", "--json"], environment);
  expect(err).toBe("");
  const findings = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  const found = findings.map(({ check = "", status, detail, advice }) => [
    check,
    status === "ok" ? "ok" : [`${status}: ${detail}`, advice].filter(Boolean).join(" -> "),
  ]);
  return { code, text: out, found: Object.fromEntries(found) };
}

describe("the doctor", () => {
  it("finds a sound node sound, in the words of people and of programs, and tells no secret", async () => {
    const { code, found, text } = await doctor(node());
    const { out } = await run(["doctor"], node());
    const checks = [
      "node",
      "settings",
      "tls",
      "data folder",
      "admin key",
      "postgres",
      "privileges",
      "row level security",
      "transactions",
      "connections",
      "clock",
      "migrations",
      "redis",
      "grpc port",
      "http port",
      "release",
      "readiness",
      "call",
    ];
    expect([code, found]).toEqual([0, Object.fromEntries(checks.map((check) => [check, "ok"]))]);
    expect(out).toMatch(/^ok {4}node +version 26\./);
    expect(out).toContain(`ok    release             the node and this command are both ${packageJson.version}\n`);
    for (const secret of [app.adminKey, new URL(database.url).password]) expect(`${text}${out}`).not.toContain(secret);
  });

  it("lists every wrong setting, and looks no further", async () => {
    const { code, found, text } = await doctor({
      ...node(),
      GRPC_PORT: "x",
      REDIS_URL: "http://user:secret@h",
      LOG_LEVEL: "y",
    });
    expect([code, text.match(/"check":"settings","status":"fail"/g)?.length]).toEqual([1, 3]);
    expect(found["the rest"]).toBe("skip: can't be looked at before the settings are right");
    expect(text).not.toContain("secret");
  });

  it("sees that others can read the key or write to the data", async () => {
    chmodSync(keyFile, 0o640);
    chmodSync(folder, 0o777);
    const { code, found } = await doctor(node());
    chmodSync(keyFile, 0o600);
    chmodSync(folder, 0o755);
    expect([code, found["admin key"], found["data folder"]]).toEqual([
      1,
      `fail: others may read ${keyFile} (mode 0640) -> chmod 600 ${keyFile}`,
      `fail: everybody may write to ${folder} -> chmod o-w ${folder}`,
    ]);
  });

  it("tells a port that a stranger has from one that a node serves or that is free", async () => {
    const stranger = await listen();
    const port = (stranger.address() as { port: number }).port;
    const taken = await doctor({ ...node(), GRPC_PORT: String(port), HTTP_PORT: String(port) });
    const swapped = await doctor({ ...node(), HTTP_PORT: "0", GRPC_PORT: String(app.httpPort) });
    await new Promise((done) => stranger.close(done));
    const free = await doctor({ ...node(), GRPC_PORT: String(port), HTTP_PORT: String(port) });
    expect([taken.code, taken.found["grpc port"], taken.found["http port"], taken.found.readiness]).toEqual([
      1,
      `fail: 127.0.0.1:${port} is taken, and not by Tenantplane -> end what listens there, or set GRPC_PORT`,
      `fail: 127.0.0.1:${port} is taken, and not by Tenantplane -> end what listens there, or set HTTP_PORT`,
      "skip: no node runs here",
    ]);
    // Another gRPC server does not know our services.
    const other = http2.createServer((_, response) =>
      response.stream.respond({ "grpc-status": "12" }, { endStream: true }),
    );
    const otherPort = await new Promise<number>((done) => {
      other.listen(0, "127.0.0.1", () => done((other.address() as { port: number }).port));
    });
    const foreign = await doctor({ ...node(), GRPC_PORT: String(otherPort) });
    other.close();
    expect(foreign.found["grpc port"]).toMatch(/ is taken, and not by Tenantplane -> /);
    // The HTTP port speaks gRPC too.
    expect([swapped.found["grpc port"], swapped.found["http port"]]).toEqual(["ok", "ok"]);
    expect([free.code, free.found["grpc port"], free.found.call]).toEqual([
      0,
      "ok",
      `skip: nothing is expected at http://127.0.0.1:${port}`,
    ]);
  });

  it("tries the call that commands would make: the server that is named, the key that is found", async () => {
    const named = { ...node(), TENANTPLANE_SERVER: "http://127.0.0.1:1" };
    const away = await doctor(named);
    const wrong = await doctor({ ...node(), TENANTPLANE_KEY: "tpk_wrong" });
    expect([away.found.call, wrong.found.call]).toEqual([
      expect.stringMatching(/^fail: No server answers at http:\/\/127.0.0.1:1 /),
      "fail: the API key is unknown, expired or revoked",
    ]);
  });

  it("tells a Postgres or Redis that is away in a line, without their passwords", async () => {
    const away = { DATABASE_URL: "postgres://ann:secret@127.0.0.1:1/x", REDIS_URL: "redis://:secret@127.0.0.1:1" };
    const { code, found, text } = await doctor({ ...node(), ...away });
    expect([code, found.postgres, found.redis]).toEqual([
      1,
      "fail: Postgres at 127.0.0.1:1 can't be used: nothing listens there. Check DATABASE_URL, or unset it for the embedded one.",
      expect.stringMatching(/^fail: Redis at 127.0.0.1:1 can't be used: .* Check REDIS_URL/),
    ]);
    expect(text).not.toContain("secret");
  });

  it("sees a certificate that is no good, and clear text where others can hear it", async () => {
    const file = (name: string) => join(folder, name);
    const make = (name: string, days: number) =>
      execFileSync(
        "openssl",
        [
          "req",
          "-x509",
          "-newkey",
          "rsa:2048",
          "-nodes",
          "-days",
          `${days}`,
          "-subj",
          "/CN=localhost",
          "-keyout",
          file(`${name}.key`),
          "-out",
          file(name),
        ],
        { stdio: "ignore" },
      );
    make("short", 3);
    make("long", 90);
    const tls = async (cert: string, key: string) =>
      (await doctor({ ...node(), TLS_CERT_FILE: file(cert), TLS_KEY_FILE: file(key) })).found.tls;
    const open = await doctor({ ...node(), LISTEN_HOST: "0.0.0.0" });
    const until = new Date(Date.now() + 3 * DAY_MS).toISOString().slice(0, 10);
    expect([await tls("short", "short.key"), await tls("long", "long.key")]).toEqual([
      expect.stringContaining(`warn: the certificate is valid until ${until}`),
      "ok",
    ]);
    expect(await tls("long", "short.key")).toMatch(/^fail: the key is not the certificate's -> /);
    expect(await tls("none", "none.key")).toMatch(/^fail: can't be used: ENOENT/);
    expect(open.found.tls).toMatch(/^warn: off, and 0.0.0.0 is no loopback/);
  });
});

describe("the doctor, of a database", () => {
  it("sees migrations that are missing, and those of a newer release", async () => {
    const empty = await createDatabase();
    const fresh = await doctor({ ...node(), DATABASE_URL: empty.url });
    await withPostgres(empty.url, async (sql) => {
      await sql`create table schema_migration (version int, file text, checksum text)`;
      await sql`insert into schema_migration values (9999, '9999_future.sql', '')`;
    });
    const newer = await doctor({ ...node(), DATABASE_URL: empty.url });
    await empty.drop();
    expect([fresh.code, fresh.found.migrations]).toEqual([
      0,
      expect.stringMatching(/^warn: not applied yet: 0001_init.sql.* -> start a node, or run `tenantplane migrate`$/),
    ]);
    expect([newer.code, newer.found.migrations]).toEqual([
      1,
      "fail: The database was migrated by a newer release (9999_future.sql): start that release or a newer one.",
    ]);
  });

  it("sees tables out of the fence, and an audit log that can be rewritten", async () => {
    const admin = postgres(database.url, { max: 1 });
    await admin`create table stray (a int)`;
    await admin`grant select on stray to tenantplane_app`;
    const stray = await doctor(node());
    await admin`drop table stray`;
    await admin`grant delete on audit_entry to tenantplane_app`;
    const rewritable = await doctor(node());
    await admin`revoke delete on audit_entry from tenantplane_app`;
    await admin.end();
    expect([stray.found["row level security"], rewritable.found["row level security"]]).toEqual([
      expect.stringMatching(/^fail: not forced on stray -> /),
      expect.stringMatching(/^fail: tenantplane_app may rewrite audit_entry -> revoke /),
    ]);
  });

  it("sees what a user lacks who is not the owner", async () => {
    const url = new URL(database.url);
    [url.username, url.password] = [`doctor_${process.pid}`, "secret"];
    const admin = postgres(database.url, { max: 1 });
    await admin.unsafe(`create role ${url.username} login password 'secret'`);
    const stranger = await doctor({ ...node(), DATABASE_URL: url.href });
    await admin.unsafe(`grant tenantplane_app to ${url.username}; grant create on schema public to ${url.username}`);
    const member = await doctor({ ...node(), DATABASE_URL: url.href });
    await admin.unsafe(`drop owned by ${url.username}; drop role ${url.username}`);
    await admin.end();
    expect([stranger.found.privileges, member.found.privileges]).toEqual([
      `fail: ${url.username} may not take on the role tenantplane_app -> let an administrator run: grant tenantplane_app to "${url.username}"`,
      expect.stringMatching(/^fail: doctor_\d+ does not own .*tenant.* -> make doctor_\d+ their owner/),
    ]);
  });

  it("sees the transactions that hold up the change log, and no others", async () => {
    const others = postgres(database.url, { max: 2, connection: { application_name: "forgotten" } });
    const read = () =>
      withPostgres(database.url, (sql) => readPostgresFacts(sql, { role: "tenantplane_app", appendOnly: [] }));
    const seen = async () => (await read()).transactions.filter(({ application }) => application === "forgotten");
    await others
      .begin(async (tx) => {
        await tx`select 1`;
        expect(await seen()).toEqual([]);
        await tx`select pg_current_xact_id()`;
        expect(await seen()).toMatchObject([
          { state: "idle in transaction", database: new URL(database.url).pathname.slice(1) },
        ]);
        throw new Error("rolled back");
      })
      .catch((error: Error) => expect(error.message).toBe("rolled back"));
    await others.end();
  });

  it("looks at the embedded one while it runs, and says how it stands when it does not", async () => {
    const embedded = { ...node(), DATABASE_URL: "" };
    const absent = await doctor(embedded);
    const server = await startEmbeddedPostgres({ dataFolder: folder });
    const running = await doctor(embedded);
    await server.stop();
    const stopped = await run(["doctor"], embedded);
    const { password } = new URL(server.url);
    expect([absent.found["embedded postgres"], absent.found.postgres]).toEqual([
      "ok",
      "skip: is looked at while it runs",
    ]);
    expect([running.found["embedded postgres"], running.found.postgres, running.found.clock]).toEqual([
      "ok",
      "ok",
      "ok",
    ]);
    expect(stopped.out).toMatch(/^ok +embedded postgres +stopped; its data in .* are of Postgres 18$/m);
    expect(`${running.text}${stopped.out}`).not.toContain(password);
  });
});

function listen(): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((socket) =>
      socket
        .on("error", () => {})
        .resume()
        .end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    );
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}
