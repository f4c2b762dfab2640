import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { type Outcome, run, start } from "../support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "import-"));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  for (const planId of ["basic", "pro"]) await app.admin.plans.createPlan({ planId, plan: { displayName: planId } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
  rmSync(folder, { recursive: true });
});

function reach(key = app.adminKey) {
  return { TENANTPLANE_SERVER: `http://127.0.0.1:${app.grpcPort}`, TENANTPLANE_KEY: key };
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function importFile(path: string, ...options: string[]): Promise<Outcome> {
  return run(["tenants", "import", path, ...options], reach());
}

async function ids(filter: string): Promise<string[]> {
  const { tenants } = await app.admin.tenants.listTenants({ filter, pageSize: 1_000, showDeleted: true });
  return tenants.map(({ name }) => name.slice("tenants/".length));
}

/** A file of many tenants with a label of their own. */
function many(name: string, count: number): { path: string; filter: string } {
  const rows = Array.from({ length: count }, (_, index) => `${name}-${String(index).padStart(5, "0")},basic,${name}\n`);
  return { path: file(`${name}.csv`, `id,plan,labels.batch\n${rows.join("")}`), filter: `labels.batch = ${name}` };
}

describe("an import", () => {
  it("creates the good lines, and tells of each bad one its line, its field and why", async () => {
    const path = file(
      "mixed.csv",
      [
        "id,display_name,plan,integrator,labels.batch,labels.Bad,settings.seats:int,admin_email",
        "mix-one,One,basic,,mixed,,5,one@mix.example",
        "x,Two,basic,,mixed,,,nobody",
        "mix-three,Three,gone,,mixed,,,",
        "mix-four,Four,basic,nobody,mixed,,,",
        "mix-five,Five,basic,,mixed,x,,",
        "mix-six,Six,basic,,mixed,,many,",
        "mix-one,Again,basic,,mixed,,,",
        '"mix-nine","Ni\u0007ne",basic,,mixed,,,',
        "mix-ten,Ten,pro,,mixed,,,",
      ].join("\r\n"),
    );
    const errors = join(folder, "errors.ndjson");
    const { code, out, err } = await importFile(path, "--errors", errors);
    expect([code, out]).toEqual([1, ""]);
    expect(err.replaceAll(`${path}:`, "").split("\n")).toEqual([
      "3: id must be 4 to 63 of [a-z0-9-], first a letter, last no '-'",
      "3: admin_email must be an email address",
      "4: plans/gone does not exist",
      "5: integrators/nobody does not exist",
      "6: labels.Bad the key must be 1 to 63 of [a-z0-9_./-], first a letter",
      "7: settings.seats:int must be a whole number of 64 bits",
      "8: id is on line 2 too",
      "9: display_name must not have control characters",
      "2 created, 7 failed.",
      "",
    ]);
    expect(await ids("labels.batch = mixed")).toEqual(["mix-one", "mix-ten"]);
    const told = readFileSync(errors, "utf8").trim().split("\n");
    expect(JSON.parse(told[0] ?? "")).toEqual({
      line: 3,
      id: "x",
      field: "id",
      message: "must be 4 to 63 of [a-z0-9-], first a letter, last no '-'",
    });
    expect(told).toHaveLength(8);
    const { users } = await app.admin.users.listUsers({ parent: "tenants/mix-one" });
    expect(users.map(({ email, role }) => [email, role])).toEqual([["one@mix.example", "tenant.admin"]]);
  });

  it("shows the first bad lines of many, and writes down all", async () => {
    const path = file("bad.csv", `id,plan\n${"x,basic\n".repeat(60)}`);
    const errors = join(folder, "all.ndjson");
    const { code, err } = await importFile(path, "--errors", errors);
    const told = err.split("\n");
    expect([code, told.slice(50)]).toEqual([
      1,
      ["0 created, 60 failed.", "50 of 60 bad lines are shown: --errors writes all of them to a file.", ""],
    ]);
    expect(readFileSync(errors, "utf8").trim().split("\n")).toHaveLength(60);
  });

  it("shows a bar to a person at a terminal, on standard error alone", async () => {
    const { path } = many("bar", 30);
    const { isTTY } = process.stderr;
    process.stderr.isTTY = true;
    const { code, out, err } = await importFile(path).finally(() => {
      process.stderr.isTTY = isTTY;
    });
    expect([code, out, err]).toEqual([
      0,
      "",
      expect.stringMatching(/ 0% \| 0 lines, 0 failed .*\n?.*30 created, 0 failed\.\n$/s),
    ]);
  });

  it("tried dry finds the same faults, and writes nothing", async () => {
    const path = file(
      "dry.ndjson",
      [
        '{"id":"dry-one","plan":"basic","labels":{"batch":"dry"}}',
        '{"id":"dry-two","plan":"gone","labels":{"batch":"dry"}}',
        '{"id":"mix-one","plan":"basic"}',
        '{"id":"dry-one","plan":"basic"}',
      ].join("\n"),
    );
    const newest = async () => (await app.admin.audit.listAuditEntries({ pageSize: 1 })).entries;
    const before = await newest();
    const dry = await importFile(path, "--dry-run");
    expect([dry.code, dry.err.replaceAll(`${path}:`, "")]).toEqual([
      1,
      "2: plans/gone does not exist\n" +
        "3: id is there already, with another display_name, labels, settings\n" +
        "4: id is on line 1 too\n" +
        "1 would be created, 3 failed.\n",
    ]);
    expect([await ids("labels.batch = dry"), await newest()]).toEqual([[], before]);
  });

  it("can be repeated: what is there as its line has it is done, whoever did it, whatever happened to it since", async () => {
    const { path, filter } = many("again", 30);
    const first = await importFile(path, "--json");
    await app.admin.tenants.suspendTenant({ name: "tenants/again-00001", suspension: 1 });
    await app.admin.plans.updatePlan({ plan: { name: "plans/basic", displayName: "Basic" } });
    const { secret } = await app.admin.access.createApiKey({
      apiKey: { displayName: "other", role: "platform.operator", scope: "platform" },
    });
    const second = await run(["tenants", "import", path], reach(secret));
    const dry = await importFile(path, "--dry-run");
    expect(JSON.parse(first.out)).toEqual({
      created: 30,
      present: 0,
      skipped: 0,
      failed: 0,
      dryRun: false,
      complete: true,
      nextLine: 32,
    });
    expect([second.code, second.err]).toEqual([0, "0 created, 30 there already, 0 failed.\n"]);
    expect([dry.code, dry.err]).toEqual([0, "0 would be created, 30 there already, 0 failed.\n"]);
    expect(await ids(filter)).toHaveLength(30);
  });

  it("does not take another tenant of the same id for done", async () => {
    const { path } = many("other", 3);
    await importFile(path);
    await app.admin.tenants.updateTenant({ tenant: { name: "tenants/other-00001", displayName: "Other" } });
    await app.admin.tenants.deleteTenant({ name: "tenants/other-00002" });
    const { code, err } = await importFile(path);
    expect([code, err.replaceAll(`${path}:`, "")]).toEqual([
      1,
      "3: id is there already, with another display_name\n" +
        "4: id is there already, with another state\n" +
        "0 created, 1 there already, 2 failed.\n",
    ]);
  });

  it("goes on from a line when it is told to, and still knows the lines before", async () => {
    const path = file("from.csv", "id,plan,labels.batch\nfrom-1,basic,from\nfrom-2,basic,from\nfrom-1,basic,from\n");
    const { code, err } = await importFile(path, "--from-line", "3");
    expect([code, err.replaceAll(`${path}:`, "")]).toEqual([
      1,
      "4: id is on line 2 too\n1 created, 1 left out, 1 failed.\n",
    ]);
    expect(await ids("labels.batch = from")).toEqual(["from-2"]);
  });

  it("keeps what it did before a line that ends it", async () => {
    const path = file("open.csv", 'id,plan,labels.batch\nopen-1,basic,open\n"open-2,basic,open\nopen-3,basic,open\n');
    const { code, err } = await importFile(path);
    expect([code, err]).toEqual([
      1,
      "1 created, 0 failed.\nLine 3 has a quote that is left open. Nothing after it was read.\n",
    ]);
    expect(await ids("labels.batch = open")).toEqual(["open-1"]);
  });

  it("ends in a line when what is wrong can't be written down, with what it did", async () => {
    const path = file("full.csv", "id,plan,labels.batch\nfull-1,basic,full\nx,basic,full\n");
    expect(await importFile(path, "--errors", "/dev/full")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/1 created, 1 failed\.\n\/dev\/full can't be used \(ENOSPC\)\.\n$/),
    });
  });

  it("is refused in a line for a file that is none", async () => {
    const known = file("known.txt", "id,plan\n");
    const cases: [string[], string][] = [
      [["/nowhere.csv"], "/nowhere.csv can't be used (ENOENT).\n"],
      [[folder, "--format", "csv"], `${folder} is a folder.\n`],
      [[known], `${known} ends neither in .csv nor in .ndjson: say --format csv or --format ndjson.\n`],
      [["-"], "- ends neither in .csv nor in .ndjson: say --format csv or --format ndjson.\n"],
      [[known, "--format", "csv", "--errors", known], "--errors must not name the file that is imported.\n"],
      [[known, "--format", "csv", "--errors", "/no/where"], "/no/where can't be used (ENOENT).\n"],
    ];
    for (const [args, expected] of cases) {
      const { code, err } = await run(["tenants", "import", ...args], reach());
      expect([args, code, err]).toEqual([args, 1, expected]);
    }
    expect(readFileSync(known, "utf8")).toBe("id,plan\n");
  });

  it("ends at once when the key is no good, and says where to go on", async () => {
    const { path } = many("nokey", 500);
    const { code, err } = await run(["tenants", "import", path], reach("tpk_wrong"));
    expect([code, err]).toEqual([
      1,
      "0 created, 0 failed.\nthe API key is unknown, expired or revoked\n" +
        "Not done from line 2 on: run the same command with --from-line 2.\n",
    ]);
  });
});

describe("an import in a process of its own", () => {
  it("reads standard input", async () => {
    const running = start(["tenants", "import", "-", "--format", "ndjson"], reach());
    running.process.stdin?.end('{"id":"piped","plan":"basic"}\n');
    expect(await running.ended).toEqual({ code: 0, out: "", err: "1 created, 0 failed.\n" });
  });

  it("ends after the calls under way on Ctrl-C, and goes on where it says", async () => {
    const { path, filter } = many("ctrlc", 700);
    const running = start(["tenants", "import", path], reach());
    await expect.poll(async () => (await ids(filter)).length, { timeout: 20_000 }).toBeGreaterThan(20);
    running.process.kill("SIGINT");
    const { code, out, err } = await running.ended;
    const [, created = "", next = ""] = /^(\d+) created, 0 failed\.\n.* --from-line (\d+)\.\n$/.exec(err) ?? [];
    expect([code, out, err]).toEqual([130, "", expect.stringMatching(/^\d+ created/)]);
    expect(Number(next)).toBe(Number(created) + 2);
    const rest = await importFile(path, "--from-line", next);
    expect([rest.code, rest.err]).toEqual([0, `${700 - Number(created)} created, ${created} left out, 0 failed.\n`]);
  });

  it("on a pipe that stands still ends on Ctrl-C too, and takes half a line for none", async () => {
    const running = start(["tenants", "import", "-", "--format", "csv"], reach());
    running.process.stdin?.write("id,plan,labels.batch\nhalf-one,basic,half\nhalf-two,basic,ha");
    // One line is not enough to fill the window of calls: it is on its way all the same.
    await expect.poll(() => ids("labels.batch = half"), { timeout: 20_000 }).toEqual(["half-one"]);
    running.process.kill("SIGINT");
    const { code, err } = await running.ended;
    expect([code, err.split("\n")[0]]).toEqual([130, "1 created, 0 failed."]);
    expect(await ids('name = "tenants/half-two"')).toEqual([]);
  });

  it("may be killed at any moment: the next one completes it, and doubles nothing", async () => {
    const { path, filter } = many("killed", 300);
    for (const least of [20, 120]) {
      const running = start(["tenants", "import", path], reach(), { launcher: false });
      await expect.poll(async () => (await ids(filter)).length, { timeout: 20_000 }).toBeGreaterThan(least);
      running.process.kill("SIGKILL");
      await running.ended;
    }
    const { code, err } = await importFile(path);
    expect([code, err]).toEqual([0, expect.stringMatching(/^\d+ created, \d+ there already, 0 failed\.\n$/)]);
    expect(await ids(filter)).toHaveLength(300);
    const { entries } = await app.admin.audit.listAuditEntries({
      filter: 'resource = "tenants/killed-00000" AND method = "tenantplane.v1.TenantService/CreateTenant"',
    });
    expect(entries).toHaveLength(1);
  });
});
