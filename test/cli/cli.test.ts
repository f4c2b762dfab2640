import { execFile } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command line as its user would, against the server under test. */
function cli(args: string[], environment: Record<string, string> = {}): Promise<Outcome> {
  const reach = { TENANTPLANE_SERVER: `http://127.0.0.1:${app.httpPort}`, TENANTPLANE_KEY: app.adminKey };
  const env = { PATH: process.env.PATH, ...reach, ...environment };
  return new Promise((done) => {
    execFile("src/cli/tenantplane.js", args, { env }, (error, out, err) => {
      done({ code: typeof error?.code === "number" ? error.code : 0, out, err });
    });
  });
}

describe("the command line", () => {
  it("creates, suspends and lists tenants, as a table or as JSON", async () => {
    const created = await cli(["tenants", "create", "acme", "--plan", "basic", "--admin-email", "a@b.org"]);
    const suspended = await cli(["--json", "tenants", "suspend", "acme", "--for", "billing", "--reason", "unpaid"]);
    const listed = await cli(["tenants", "list", "--filter", "state = SUSPENDED"]);
    const users = await cli(["users", "acme", "--json"]);
    expect([created.code, suspended.code, listed.code, users.code]).toEqual([0, 0, 0, 0]);
    expect(JSON.parse(suspended.out)).toMatchObject({ name: "tenants/acme", state: "STATE_SUSPENDED" });
    expect(listed.out).toMatch(/name +displayName +state.*\n tenants\/acme +acme +SUSPENDED/);
    expect(JSON.parse(users.out)).toMatchObject({ email: "a@b.org", role: "tenant.admin" });
  });

  it("tells what is wrong in a line, names each bad field, and ends with code 1", async () => {
    const bad = await cli(["tenants", "create", "x", "--plan", "basic", "--admin-email", "nobody"]);
    const missing = await cli(["tenants", "get", "nothing"]);
    const away = await cli(["tenants", "list"], { TENANTPLANE_SERVER: "http://127.0.0.1:1" });
    expect([bad, missing, away].map(({ code, err }) => [code, err])).toEqual([
      [
        1,
        "invalid fields: tenant_id, admin_email\n" +
          "  tenant_id: must be 4 to 63 of [a-z0-9-], first a letter, last no '-'\n" +
          "  admin_email: must be an email address\n",
      ],
      [1, "tenants/nothing does not exist\n"],
      [1, "No server answers: start one with `npm start`, or name it with --server.\n"],
    ]);
  });

  it("fills a server with a platform of every state", async () => {
    const demo = await cli(["demo", "--seed", "7"]);
    const listed = await cli([
      "--json",
      "tenants",
      "list",
      "--show-deleted",
      "--limit",
      "1000",
      "--filter",
      "labels:stage",
    ]);
    const states = listed.out
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { state: string }).state);
    expect([demo.code, states.length, new Set(states).size]).toEqual([0, 200, 5]);
  });

  it("makes keys that work, and ends them", async () => {
    const { out } = await cli(["keys", "create", "robot", "--role", "service"]);
    const key = { TENANTPLANE_KEY: out.trim() };
    const name = `apiKeys/${out.split("_")[1]}`;
    const works = await cli(["tenants", "list"], key);
    await cli(["keys", "revoke", name]);
    await expect
      .poll(async () => (await cli(["tenants", "list"], key)).err, { timeout: 15_000 })
      .toBe("the API key is unknown, expired or revoked\n");
    expect(works.code).toBe(0);
  });
});
