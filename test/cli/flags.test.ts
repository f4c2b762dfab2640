import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { type Outcome, run } from "../support/cli.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  const tenant = { displayName: "A", plan: "plans/basic" };
  await app.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

function cli(...args: string[]): Promise<Outcome> {
  const reach = { TENANTPLANE_SERVER: `http://127.0.0.1:${app.grpcPort}`, TENANTPLANE_KEY: app.adminKey };
  return run(args, reach);
}

async function json(...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await cli(...args, "--json");
  expect({ args, code, err }).toEqual({ args, code: 0, err: expect.any(String) });
  return out
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

function fileOf(content: unknown): string {
  const file = join(tmpdir(), `flags-${process.pid}-${crypto.randomUUID()}.json`);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

const flag = (key: string, more: object = {}) => ({
  name: `flags/${key}`,
  kind: "KIND_BOOLEAN",
  variants: { on: true, off: false },
  offVariant: "off",
  defaultServe: { variant: "off" },
  ...more,
});

describe("flags", () => {
  it("are applied from a file, printed in the form that is applied, and applied again without a change", async () => {
    const tried = await cli("flags", "apply", fileOf([flag("a"), flag("b")]), "--dry-run");
    expect([tried.code, (await json("flags", "list")).length]).toEqual([0, 0]);
    await json("flags", "apply", fileOf([flag("a"), flag("b", { owner: "us" })]));
    const [printed] = await json("flags", "get", "b");
    await json("flags", "apply", fileOf(printed));
    const lines = [flag("a", { rules: [{ id: "r", serve: { variant: "on" } }] }), flag("c")].map((line) =>
      JSON.stringify(line),
    );
    await json("flags", "apply", fileOf(lines.join("\n")));
    const listed = await cli("flags", "list", "--order-by", "name");
    expect(listed.out).toMatch(
      /^name +kind +state +variants +rules +owner +update_time\nflags\/a +BOOLEAN +enabled +(on off|off on) +1 /,
    );
    const refused = await cli("flags", "apply", fileOf(flag("d", { offVariant: "gone" })));
    expect([refused.code, refused.err]).toEqual([1, 'flag.off_variant the flag has no variant "gone"\n']);
    expect((await cli("flags", "apply", fileOf("{"))).err).toMatch(/has no flags: /);
  });

  it("are killed, revived, compared and rolled back", async () => {
    await json("flags", "apply", fileOf(flag("life")));
    expect(await json("flags", "kill", "life", "--reason", "it burns")).toMatchObject([{ killed: true }]);
    expect(await json("flags", "revive", "life")).toMatchObject([{ killed: false }]);
    const history = await cli("flags", "history", "life");
    expect(history.out).toMatch(/revision +verb .*\n3 +revive .*\n2 +kill .*it burns .*\n1 +create /);
    expect(await json("flags", "diff", "life", "--from", "1", "--to", "2")).toEqual([
      { field: "killed", before: "false", after: "true" },
    ]);
    expect(await json("flags", "rollback", "life", "--to", "1")).toMatchObject([{ revision: "4" }]);
    await cli("flags", "delete", "life");
    expect((await cli("flags", "get", "life")).err).toMatch(/flags\/life does not exist/);
  });

  it("are overridden for a tenant, evaluated and explained", async () => {
    await json("flags", "apply", fileOf(flag("own")));
    await json("flags", "override", "acme", "own", "on", "--reason", "pilot");
    await json("flags", "override", "acme", "own", "on", "--until", "2100-01-01");
    await expect.poll(async () => (await json("flags", "evaluate", "acme", "own"))[0]?.variant).toBe("on");
    const explained = await cli("flags", "explain", "acme", "own", "--context", '{"targetingKey":"ann"}');
    expect(explained.out).toMatch(/flags\/own +OVERRIDE +\* +the tenant's override serves/);
    expect(await json("flags", "overrides", "--tenant", "acme")).toMatchObject([
      { name: "tenants/acme/flagOverrides/own" },
    ]);
    expect((await cli("flags", "override", "acme", "own")).code).toBe(0);
    expect(await json("flags", "overrides")).toEqual([]);
    expect((await cli("flags", "evaluate", "acme", "--context", "[]")).code).toBe(2);
  });

  it("come in from flagd, and go out to flagd and to generators", async () => {
    const flags = { fromFlagd: { state: "ENABLED", variants: { a: 1, b: 2 }, defaultVariant: "a" } };
    const file = fileOf({ flags });
    expect(await json("flags", "import", file, "--owner", "us")).toEqual([
      { name: "flags/fromFlagd", outcome: "created" },
    ]);
    expect((await cli("flags", "import", file)).err).toMatch(/exists already/);
    expect(await json("flags", "import", file, "--existing", "keep")).toEqual([
      { name: "flags/fromFlagd", outcome: "kept" },
    ]);
    const exported = JSON.parse((await cli("flags", "export", "fromFlagd")).out) as object;
    expect(exported).toMatchObject({ flags });
    const manifest = JSON.parse((await cli("flags", "manifest", "--filter", 'name = "flags/fromFlagd"')).out) as object;
    expect(manifest).toMatchObject({ flags: { fromFlagd: { flagType: "integer", defaultValue: 1 } } });
  });
});
