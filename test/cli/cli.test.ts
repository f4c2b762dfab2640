import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { type Outcome, run, start } from "../support/cli.ts";

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

function reach() {
  return { TENANTPLANE_SERVER: `http://127.0.0.1:${app.grpcPort}`, TENANTPLANE_KEY: app.adminKey };
}

/** Runs the command line as its user would. */
function cli(...args: string[]): Promise<Outcome> {
  return start(args, reach()).ended;
}

describe("the command line", () => {
  it("prints data to standard output and the rest to standard error, as a table or as JSON", async () => {
    await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
    const created = await cli("tenants", "create", "acme", "--plan", "basic");
    const suspended = await cli("--json", "tenants", "suspend", "acme", "--for", "billing");
    const missing = await cli("tenants", "get", "nothing");
    const wrong = await cli("tenants", "lost");
    expect([created.code, created.err]).toEqual([0, ""]);
    expect(created.out).toMatch(/^name +display_name +state .*\ntenants\/acme +acme +ACTIVE +plans\/basic .*Z\n$/);
    expect([suspended.code, suspended.err]).toEqual([0, ""]);
    expect(JSON.parse(suspended.out)).toMatchObject({ name: "tenants/acme", state: "STATE_SUSPENDED" });
    expect(missing).toEqual({ code: 1, out: "", err: "tenants/nothing does not exist\n" });
    expect([wrong.code, wrong.out]).toEqual([2, ""]);
  });

  it("reaches the HTTP port as well as the gRPC port", async () => {
    const server = { TENANTPLANE_SERVER: `http://127.0.0.1:${app.httpPort}` };
    expect(await run(["tenants", "get", "acme"], { ...reach(), ...server })).toMatchObject({ code: 0, err: "" });
  });

  it("says nothing when its reader has had enough", async () => {
    const running = start(["audit", "export"], reach());
    running.process.stdout?.destroy();
    expect(await running.ended).toMatchObject({ code: 0, err: "" });
  });

  it("fills a server with a platform of every state, the same for the same seed, and goes on where it was cut off", async () => {
    const demo = await run(["demo", "--seed", "7"], reach());
    const again = await run(["demo", "--seed", "7"], reach());
    const listed = await run(
      ["tenants", "list", "--show-deleted", "--limit", "all", "--filter", "labels:stage", "--json"],
      reach(),
    );
    const tenants = listed.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string; state: string; plan: string; integrator: string });
    expect([demo.out, demo.err]).toEqual(["", expect.stringMatching(/^200 tenants created\. Try: /)]);
    expect(again).toEqual(demo);
    const distinct = (pick: (tenant: (typeof tenants)[number]) => string) => new Set(tenants.map(pick)).size;
    expect([
      tenants.length,
      distinct(({ state }) => state),
      distinct(({ plan }) => plan),
      distinct(({ integrator }) => integrator),
    ]).toEqual([200, 5, 4, 4]);
    const suspended = tenants.find(({ state }) => state === "STATE_SUSPENDED")?.name ?? "";
    const history = await run(["tenants", "history", suspended], reach());
    const users = await run(["users", "list", suspended], reach());
    expect(history.out).toMatch(/ suspend +ACTIVE +SUSPENDED .* create +CREATED /s);
    expect(users.out).toMatch(/@\S+\.example .*tenant\.admin/);
  });
});
