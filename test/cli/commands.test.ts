import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccessService } from "@tenantplane/sdk/gen/tenantplane/v1/access_pb";
import { AuditService } from "@tenantplane/sdk/gen/tenantplane/v1/audit_pb";
import { IntegratorService } from "@tenantplane/sdk/gen/tenantplane/v1/integrator_pb";
import { PlanService } from "@tenantplane/sdk/gen/tenantplane/v1/plan_pb";
import { TenantService } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { UserService } from "@tenantplane/sdk/gen/tenantplane/v1/user_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { type Outcome, run } from "../support/cli.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

function cli(line: string, environment: Record<string, string> = {}): Promise<Outcome> {
  const reach = { TENANTPLANE_SERVER: `http://127.0.0.1:${app.grpcPort}`, TENANTPLANE_KEY: app.adminKey };
  return run(words(line), { ...reach, ...environment });
}

// As a shell splits them: 'a b' is one word.
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

/** Runs a command that must succeed, and reads its JSON lines. */
async function json(line: string): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await cli(`${line} --json`);
  expect({ line, code, err }).toEqual({ line, code: 0, err: expect.any(String) });
  return out
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => JSON.parse(text) as Record<string, unknown>);
}

describe("plans and integrators", () => {
  it("are created, changed in parts, shown and deleted", async () => {
    await json("plans create basic --display-name Basic --limit seats=30");
    const [created] = await json(
      "plans create pro --limit seats=9 --entitlement sso:bool=true --entitlement level:int=3 --setting theme=dark",
    );
    const [changed] = await json(
      "plans update pro --display-name Pro --limit seats=7 --remove-entitlement level --setting ratio:double=0.5",
    );
    const [first] = await json("plans get pro --plan-version 1");
    const listed = await cli("plans list");
    expect(created).toMatchObject({ displayName: "pro", version: 1, settings: { theme: { stringValue: "dark" } } });
    expect(changed).toMatchObject({
      displayName: "Pro",
      version: 2,
      limits: [{ meter: "seats", amount: "7" }],
      entitlements: { sso: { boolValue: true } },
      settings: { theme: { stringValue: "dark" }, ratio: { doubleValue: 0.5 } },
    });
    expect(first).toMatchObject({ displayName: "pro", limits: [{ meter: "seats", amount: "9" }] });
    expect(listed.out).toMatch(/^name +display_name +version +limits +create_time\nplans\/basic +Basic +1 +seats=30 /);
  });

  it("take a whole plan from a file, and keep its rules when an amount changes", async () => {
    const file = join(tmpdir(), `plan-${process.pid}.json`);
    const limits = [{ meter: "seats", amount: "5", mode: "MODE_SOFT", warningPercents: [80] }];
    writeFileSync(file, JSON.stringify({ displayName: "Filed", limits }));
    await json(`plans create filed --file ${file}`);
    const [changed] = await json("plans update filed --limit seats=6");
    expect(changed).toMatchObject({ displayName: "Filed", version: 2, limits: [{ ...limits[0], amount: "6" }] });
    writeFileSync(file, "{");
    expect(await cli(`plans create other --file ${file}`)).toMatchObject({
      code: 1,
      err: expect.stringContaining("is no plan"),
    });
  });

  it("are tried without being written", async () => {
    const tried = await cli("integrators create ghost --dry-run");
    const missing = await cli("integrators get ghost");
    expect([tried.code, tried.err]).toEqual([0, "A dry run: nothing was written.\n"]);
    expect([missing.code, missing.err]).toEqual([1, "integrators/ghost does not exist\n"]);
  });

  it("of integrators: created, renamed, shown, listed and deleted", async () => {
    await json("integrators create nord --display-name Nord");
    const [renamed] = await json("integrators update integrators/nord --display-name 'Nord AS' --limit seats=500");
    const [read] = await json("integrators get nord");
    const listed = await cli("integrators list");
    const stale = await cli(`integrators delete nord --etag '"old"'`);
    const gone = await cli("integrators delete nord");
    expect(renamed).toEqual(read);
    expect(listed.out).toMatch(/integrators\/nord +Nord AS +seats=500 /);
    expect([stale.code, stale.err]).toEqual([1, "integrators/nord was changed since you read it\n"]);
    expect([gone.code, gone.out]).toEqual([0, ""]);
  });
});

describe("tenants", () => {
  it("are created with all their fields, and shown", async () => {
    await json("integrators create kaizen");
    const line =
      "tenants create acme --plan basic --plan-version 1 --integrator kaizen --display-name 'Acme Inc.' --region eu-central " +
      "--time-zone Europe/Berlin --label tier=gold --label note=a=b --setting seats:int=25 --setting beta:bool=true " +
      "--admin-email ann@acme.example";
    const [created] = await json(line);
    const shown = await cli("tenants get acme");
    expect(created).toMatchObject({
      name: "tenants/acme",
      displayName: "Acme Inc.",
      state: "STATE_ACTIVE",
      integrator: "integrators/kaizen",
      plan: "plans/basic",
      planVersion: 1,
      labels: { tier: "gold", note: "a=b" },
      settings: { seats: { intValue: "25" }, beta: { boolValue: true } },
    });
    expect(shown.out).toMatch(/^name +tenants\/acme\n.*\nlabels +.*tier=gold.*\nsettings +.*seats=25/s);
  });

  it("are changed in parts; what is not named stays", async () => {
    const [before] = await json("tenants get acme");
    const [changed] = await json(
      "tenants update acme --label crm=7 --remove-label note --remove-setting beta --setting theme=dark --plan pro --plan-version 2",
    );
    expect(changed).toMatchObject({
      displayName: "Acme Inc.",
      plan: "plans/pro",
      planVersion: 2,
      region: "eu-central",
      labels: { tier: "gold", crm: "7" },
      settings: { seats: { intValue: "25" }, theme: { stringValue: "dark" } },
    });
    const stale = await cli(`tenants update acme --region eu-north --etag '${before?.etag}'`);
    const nothing = await cli("tenants update acme");
    expect([stale.err, nothing.err]).toEqual([
      "tenants/acme was changed since you read it\n",
      "Nothing to change: name at least one field.\n",
    ]);
  });

  it("go through their life by one command a step, and keep a history", async () => {
    await json("tenants create life --plan basic --no-activate");
    const steps = [
      "activate life",
      "suspend life --for billing --reason unpaid",
      "suspend life --for security",
      "resume life --for billing",
      "resume life --for security",
      "archive life --reason 'contract ended'",
      "unarchive life",
      "hold life case-1 --reason litigation",
      "release life case-1",
      "delete life --retention 30d",
      "delete life --allow-missing",
      "undelete life",
    ];
    const states: unknown[] = [];
    for (const step of steps) states.push((await json(`tenants ${step}`)).map(({ state }) => state)[0]);
    const history = await cli("tenants history life");
    const short = (state: unknown) => String(state).replace("STATE_", "");
    expect(states.map(short).join(" ")).toBe(
      "ACTIVE SUSPENDED SUSPENDED SUSPENDED ACTIVE ARCHIVED ACTIVE ACTIVE ACTIVE DELETED DELETED ACTIVE",
    );
    expect(history.out.split("\n")[0]).toMatch(/^transition_time +verb +from_state +to_state +actor +reason$/);
    expect(history.out).toMatch(/ archive +ACTIVE +ARCHIVED +apiKeys\/\w+ +contract ended\n/);
    expect(history.out).toMatch(/ create +CREATED +apiKeys\/\w+\n$/);
  });

  it("are listed by filter and order, several at a time, with their suspensions", async () => {
    await json("tenants suspend life --for policy");
    const suspended = await cli("tenants list --filter 'state = SUSPENDED'");
    const ordered = await json("tenants list --order-by 'create_time desc' --limit 1");
    const both = await cli("tenants get life acme");
    const missing = await cli("tenants get life nothing");
    expect(suspended.out).toMatch(/\ntenants\/life +life +SUSPENDED \(POLICY\) +plans\/basic /);
    expect(ordered.map(({ name }) => name)).toEqual(["tenants/life"]);
    expect(both.out.match(/^tenants\/\w+/gm)).toEqual(["tenants/life", "tenants/acme"]);
    expect([missing.code, missing.out, missing.err]).toEqual([1, "", "tenants/nothing does not exist\n"]);
  });

  it("never steer a terminal by what others wrote", async () => {
    await app.admin.tenants.suspendTenant({ name: "tenants/acme", suspension: 1, reason: "\u001b[31mred\u009b\u202e" });
    const { out } = await cli("tenants history acme --limit 1");
    const lines = await cli("tenants history acme --limit 1 --json");
    expect(out).toContain("\\u001b[31mred\\u009b\\u202e");
    expect(JSON.parse(lines.out)).toMatchObject({ reason: "\u001b[31mred\u009b\u202e" });
    expect(lines.out).not.toMatch(/[\u007f-\u009f\u202e]/);
    await json("tenants resume acme --for billing");
  });
});

describe("users, keys and the audit log", () => {
  it("of users: added, changed in parts, shown, listed and removed", async () => {
    const [created] = await json("users create acme bob@acme.example --role tenant.viewer --display-name Bob");
    const name = String(created?.name);
    const [changed] = await json(`users update ${name} --role tenant.editor --disable`);
    const [enabled] = await json(`users update ${name} --enable`);
    const [read] = await json(`users get ${name}`);
    const listed = await cli("users list acme");
    const both = await cli(`users update ${name} --enable --disable`);
    const removed = await cli(`users delete ${name}`);
    expect(changed).toMatchObject({
      email: "bob@acme.example",
      displayName: "Bob",
      role: "tenant.editor",
      disabled: true,
    });
    expect([enabled, both.code, removed.code]).toEqual([read, 2, 0]);
    expect(listed.out).toMatch(/\n\S+ +bob@acme.example +Bob +tenant.editor +false /);
  });

  it("of keys: made, tested, rotated and ended; a secret is the only thing on standard output", async () => {
    const made = await cli("keys create robot --role tenant.viewer --scope tenants/acme --expires 2099-01-31");
    const secret = made.out.trim();
    const key = `apiKeys/${secret.split("_")[1]}`;
    const asRobot = { TENANTPLANE_KEY: secret };
    const granted = await cli("keys test tenants.get users.get --on tenants/acme", asRobot);
    const denied = await cli("keys test tenants.get tenants.delete --on tenants/acme", asRobot);
    const rotated = await cli(`keys rotate ${key} --overlap 1d`);
    const tried = await json(`keys rotate ${key} --dry-run`);
    const [shown] = (await json("keys list")).filter(({ name }) => name === key);
    const [read] = await json(`keys get ${key}`);
    const [revoked] = await json(`keys revoke ${key}`);
    const left = (await json("keys list --show-revoked")).filter(({ name }) => name === key);
    expect(made.out).toMatch(/^tpk_[a-z0-9]{16}_[0-9a-f]{64}\n$/);
    expect(granted).toEqual({ code: 0, out: "tenants.get\nusers.get\n", err: "" });
    expect(denied).toEqual({ code: 1, out: "tenants.get\n", err: "Not granted on tenants/acme: tenants.delete.\n" });
    expect([rotated.code, rotated.out === made.out]).toEqual([0, false]);
    expect([tried.map(({ secret }) => secret), read]).toEqual([[undefined], shown]);
    expect(shown).toMatchObject({ role: "tenant.viewer", scope: "tenants/acme", expireTime: "2099-01-31T00:00:00Z" });
    expect([revoked?.name, left.length]).toEqual([key, 1]);
  });

  it("of the audit log: listed newest first, exported whole as JSON lines", async () => {
    await cli("plans create forbidden", {
      TENANTPLANE_KEY: (await cli("keys create v --role platform.auditor")).out.trim(),
    });
    const filter = "--filter 'resource = \"tenants/life\"'";
    const listed = await json(`audit list --limit 3 ${filter}`);
    const exported = await cli(`audit export ${filter}`);
    const entries = exported.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { method: string });
    await expect
      .poll(async () => (await cli("audit list --filter 'outcome = DENIED'")).out)
      .toMatch(/PlanService\/CreatePlan +\S+ platform +DENIED/);
    expect(listed.map(({ method }) => String(method).split("/")[1])).toEqual([
      "SuspendTenant",
      "UndeleteTenant",
      "DeleteTenant",
    ]);
    expect(entries[0]?.method).toBe("tenantplane.v1.TenantService/CreateTenant");
    expect(entries.length).toBeGreaterThan(10);
  });
});

describe("every write", () => {
  it("can be tried without being written", async () => {
    const [user] = await json("users list acme");
    const [key] = (await json("keys create tried --role service")).map(({ name }) => name);
    await json("integrators create spare");
    await json("plans create spare");
    await json("tenants create archived --plan basic");
    await json("tenants archive archived");
    await json("tenants create deleted --plan basic");
    await json("tenants delete deleted");
    await json("tenants hold acme case-1");
    await json("tenants suspend acme --for security");
    const lines = [
      "plans create dry",
      "plans update spare --display-name Dry",
      "plans delete spare",
      "integrators create dry",
      "integrators update spare --display-name Dry",
      "integrators delete spare",
      "tenants create dry-one --plan basic",
      "tenants create dry-two --plan basic --no-activate",
      "tenants update acme --region dry",
      "tenants resume acme --for security",
      "tenants suspend acme --for billing",
      "tenants archive acme",
      "tenants unarchive archived",
      "tenants delete acme",
      "tenants undelete deleted",
      "tenants hold acme case-2",
      "tenants release acme case-1",
      "users create acme dry@acme.example --role tenant.viewer",
      `users update ${user?.name} --disable`,
      `users delete ${user?.name}`,
      "keys create dry --role service",
      `keys rotate ${key}`,
      `keys revoke ${key}`,
    ];
    const newest = async () => (await app.admin.audit.listAuditEntries({ pageSize: 1 })).entries;
    const before = await newest();
    for (const line of lines) {
      const tried = await cli(`${line} --dry-run`);
      expect({ line, ...tried }).toMatchObject({ line, code: 0 });
    }
    expect(await newest()).toEqual(before);
    await json("tenants resume acme --for security");
  });
});

describe("what goes wrong", () => {
  it("is told in one line on standard error, with an exit code", async () => {
    const lines: [string, Record<string, string>, number, string][] = [
      ["tenants get nothing", {}, 1, "tenants/nothing does not exist\n"],
      [
        "tenants create x --plan basic --admin-email nobody",
        {},
        1,
        "tenant_id must be 4 to 63 of [a-z0-9-], first a letter, last no '-'; admin_email must be an email address\n",
      ],
      ["tenants list --limit 0", {}, 2, ""],
      ["tenants suspend acme", {}, 2, "error: required option '--for <suspension>' not specified\n"],
      ["tenants suspend acme --for fun", {}, 2, ""],
      ["tenants lost", {}, 2, "error: unknown command 'lost'\n(Did you mean list?)\n"],
      ["tenants delete acme --retention soon", {}, 2, ""],
      ["tenants create good-one --plan basic --setting n:int=x", {}, 2, ""],
      [
        "tenants list",
        { TENANTPLANE_SERVER: "http://127.0.0.1:1" },
        1,
        "No server answers at http://127.0.0.1:1 (connect ECONNREFUSED 127.0.0.1:1): start one with `npm start`, or name it with --server.\n",
      ],
      [
        "tenants list",
        { TENANTPLANE_SERVER: "ftp://x" },
        1,
        '--server must be "http://host:port" or "https://host:port", not ftp://x\n',
      ],
      ["tenants list", { TENANTPLANE_KEY: "tpk_x" }, 1, "the API key is unknown, expired or revoked\n"],
      ["tenants list --key-file /nowhere", {}, 1, "/nowhere does not exist.\n"],
      [
        "tenants list",
        { HTTP_PORT: "x" },
        1,
        "Settings are wrong: HTTP_PORT must be a whole number from 0 to 65535.\n",
      ],
    ];
    for (const [line, environment, code, err] of lines) {
      const outcome = await cli(line, environment);
      expect([line, outcome.code, outcome.out, outcome.err]).toEqual([line, code, "", err || expect.any(String)]);
    }
  });

  it("never sends the key of this folder to another machine", async () => {
    const folder = join(tmpdir(), `key-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "admin-key"), app.adminKey);
    const mine = { DATA_FOLDER: folder, TENANTPLANE_KEY: "" };
    const here = await cli("tenants list", mine);
    const away = await cli("tenants list", { ...mine, TENANTPLANE_SERVER: "http://tenantplane.example:50051" });
    const file = await cli(`tenants list --key-file ${folder}/admin-key`, { TENANTPLANE_KEY: "wrong" });
    expect([here.code, file.code]).toEqual([0, 0]);
    expect([away.code, away.err]).toEqual([
      1,
      "No API key: set TENANTPLANE_KEY, or name a file that holds one with --key-file.\n",
    ]);
  });
});

describe("the set of commands", () => {
  it("is complete: together they have called every RPC", async () => {
    await cli("plans delete spare");
    const services = [TenantService, PlanService, IntegratorService, UserService, AccessService, AuditService];
    const methods = services.flatMap((service) => service.methods.map((m) => `${service.typeName}/${m.name}`));
    const metrics = await (await fetch(`http://127.0.0.1:${app.httpPort}/metrics`)).text();
    const called = new Set(
      [...metrics.matchAll(/tenantplane_calls_total\{method="([^"]+)",code="ok"\}/g)].map(([, m]) => m),
    );
    // The watch has a suite of its own, as it does not end by itself.
    expect(methods.filter((method) => !called.has(method))).toEqual(["tenantplane.v1.TenantService/WatchTenants"]);
  });
});

describe("meters and quotas", () => {
  it("are created, shown, changed and explained", async () => {
    await json("meters create messages --kind period --unit message");
    const [renamed] = await json("meters update messages --display-name Messages");
    const listed = await cli("meters list");
    expect(renamed).toMatchObject({ name: "meters/messages", displayName: "Messages", kind: "KIND_PERIOD" });
    expect(listed.out).toMatch(
      /^name +display_name +kind +unit +description\nmeters\/messages +Messages +PERIOD +message/,
    );
    const file = join(tmpdir(), `metered-${process.pid}.json`);
    const limits = [
      { meter: "messages", amount: "1000", period: { duration: "P1M" } },
      { meter: "seats", amount: "5" },
    ];
    writeFileSync(file, JSON.stringify({ displayName: "Metered", limits }));
    await json(`plans create metered --file ${file}`);
    await json("tenants create quoted --plan metered --admin-email a@x.org");
    const dry = await cli("quotas override quoted messages --amount 9 --reason 'a trial' --dry-run");
    const [override] = await json("quotas override quoted messages --amount 2000 --reason 'a launch'");
    await json("quotas grant quoted messages --amount 50 --reason bought --priority 3 --expires 2090-01-01");
    const [messages] = await json("quotas get quoted");
    const steps = await json("quotas explain quoted messages");
    const near = await cli("quotas near --limit-id seats --min-percent 10");
    expect(dry).toMatchObject({ code: 0, err: expect.stringContaining("nothing was written") });
    expect(override).toMatchObject({ limit: { amount: "2000", period: { duration: "P1M" } }, reason: "a launch" });
    expect(messages).toMatchObject({ limitId: "messages", amount: "2050", source: "SOURCE_GRANT" });
    expect(steps.map(({ kind, amount }) => [kind, amount])).toEqual([
      ["PLAN", "1000"],
      ["OVERRIDE", "2000"],
      ["GRANT", "2050"],
    ]);
    expect(near.out).toMatch(
      /^tenant +limit_id +used +amount +used_percent\n(.*\n)*tenants\/quoted +seats +1 +5 +20\n/,
    );
    const [grant] = await json("quotas grants quoted");
    const [voided] = await json(`quotas void-grant ${grant?.name} --reason refunded`);
    await json(`quotas end-override ${override?.name}`);
    expect([voided?.voidTime !== undefined, (await json("quotas overrides quoted")).length]).toEqual([true, 0]);
    expect((await cli("meters delete messages")).err).toContain("is used by plans/metered");
  });

  it("are refused in a line for what is no amount, no kind and no tenant", async () => {
    const lines = ["quotas grant a b --amount -1 --reason r", "meters create m --kind odd", "quotas get nobody-here"];
    const outcomes = await Promise.all(lines.map((line) => cli(line)));
    expect(outcomes.map(({ code, out }) => [code, out])).toEqual([
      [2, ""],
      [2, ""],
      [1, ""],
    ]);
  });
});
