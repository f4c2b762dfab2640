import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { start } from "../support/cli.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  await create("first", "red");
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

function create(tenantId: string, team: string) {
  const tenant = { displayName: tenantId, plan: "plans/basic", labels: { team } };
  return app.admin.tenants.createTenant({ tenantId, tenant, activate: true });
}

function watch(...options: string[]) {
  const reach = { TENANTPLANE_SERVER: `http://127.0.0.1:${app.grpcPort}`, TENANTPLANE_KEY: app.adminKey };
  return start(["watch", ...options], reach);
}

describe("the watch", () => {
  it("prints what is there, then what happens, a line each, and ends on Ctrl-C with where to go on", async () => {
    const running = watch("--filter", "labels.team = red");
    await running.until(/That is all there is now/);
    await create("second", "blue");
    await create("third", "red");
    await app.admin.tenants.suspendTenant({ name: "tenants/third", suspension: 1 });
    await app.admin.tenants.updateTenant({ tenant: { name: "tenants/first", labels: { team: "blue" } } });
    await running.until(/REMOVED/);
    running.process.kill("SIGINT");
    const { code, out, err } = await running.ended;
    const lines = out
      .trim()
      .split("\n")
      .map((line) => line.split(/ {2,}/).slice(1).join(" "));
    expect([code, lines]).toEqual([
      0,
      [
        "INITIAL tenants/first ACTIVE plans/basic",
        "UPDATED tenants/third ACTIVE plans/basic",
        "UPDATED tenants/third SUSPENDED (BILLING) plans/basic",
        "REMOVED tenants/first ACTIVE plans/basic",
      ],
    ]);
    expect(err).toMatch(/^That is all .*\nGo on with: --resume \S+\n$/);
  });

  it("goes on after a token, leaves out what was there, and outlives a restart of the server", async () => {
    const before = watch("--json", "--no-initial");
    await before.until(/"initialStateComplete":true/);
    before.process.kill("SIGINT");
    const [, token = ""] = /--resume (\S+)/.exec((await before.ended).err) ?? [];
    await create("missed", "red");

    const running = watch("--json", "--resume", token);
    await running.until(/tenants\/missed/);
    const { grpcPort, adminKey } = app;
    await app.stop();
    app = await startTestApp(database, { adminKey, settings: { GRPC_PORT: String(grpcPort) } });
    await create("after", "red");
    await running.until(/tenants\/after/);
    running.process.kill("SIGTERM");
    const { code, out } = await running.ended;
    const messages = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { events: { kind: string; tenant: { name: string } }[]; resync: boolean });
    const events = messages.flatMap((message) => message.events.map(({ kind, tenant }) => `${kind} ${tenant.name}`));
    expect([code, events, messages.some(({ resync }) => resync)]).toEqual([
      0,
      ["KIND_UPDATED tenants/missed", "KIND_UPDATED tenants/after"],
      false,
    ]);
  });

  it("is refused in a line when its filter is wrong", async () => {
    const { code, out, err } = await watch("--filter", "color = red").ended;
    expect([code, out, err]).toEqual([1, "", expect.stringMatching(/^filter .*\n$/)]);
  });

  it("ends when nobody reads it any more", async () => {
    const running = watch();
    await running.until(/That is all there is now/);
    running.process.stdout?.destroy();
    await create("unread", "red");
    expect(await running.ended).toMatchObject({ code: 0, err: expect.not.stringContaining("Error") });
  });
});
