import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

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

const flag = (value: boolean) => ({ value: { case: "boolValue" as const, value } });
const text = (value: string) => ({ value: { case: "stringValue" as const, value } });

describe("a plan", () => {
  it("gets a version with each update, which keeps what the mask leaves out; a version never changes", async () => {
    const { plans } = app.admin;
    const name = "plans/pro";
    const entitlements = { "sso.enabled": flag(true) };
    await plans.createPlan({
      planId: "pro",
      plan: { displayName: "Pro", entitlements, settings: { theme: text("dark") } },
    });
    const { plan } = await plans.updatePlan({
      plan: { name, displayName: "Pro Plus" },
      updateMask: { paths: ["display_name", "settings"] },
    });
    expect(plan).toMatchObject({ version: 2, displayName: "Pro Plus", settings: {} });
    expect(Object.keys(plan?.entitlements ?? {})).toEqual(["sso.enabled"]);
    const first = (await plans.getPlan({ name, version: 1 })).plan;
    const newest = (await plans.getPlan({ name })).plan;
    expect([first?.version, first?.displayName, newest?.version]).toEqual([1, "Pro", 2]);
    expect((await refusal(plans.getPlan({ name, version: 3 }))).reason).toBe("RESOURCE_NOT_FOUND");
    expect((await plans.listPlans({})).plans.map(({ name: listed, version }) => [listed, version])).toEqual([
      [name, 2],
    ]);
  });

  it("leaves tenants on their version until they are moved", async () => {
    const { plans, tenants } = app.admin;
    await plans.createPlan({ planId: "team", plan: { displayName: "Team" } });
    await tenants.createTenant({ tenantId: "early", tenant: { displayName: "E", plan: "plans/team" } });
    await plans.updatePlan({ plan: { name: "plans/team", displayName: "Team 2" } });
    await tenants.createTenant({ tenantId: "late", tenant: { displayName: "L", plan: "plans/team" } });
    await tenants.createTenant({
      tenantId: "pinned",
      tenant: { displayName: "P", plan: "plans/team", planVersion: 1 },
    });
    const versions = async () =>
      (await tenants.listTenants({ filter: 'plan = "plans/team"', orderBy: "name" })).tenants.map((t) => t.planVersion);
    const before = await versions();
    const move = { tenant: { name: "tenants/early", plan: "plans/team" }, updateMask: { paths: ["plan"] } };
    await tenants.updateTenant(move);
    expect([before, await versions()]).toEqual([
      [1, 2, 1],
      [2, 2, 1],
    ]);
    const nowhere = { tenant: { name: "tenants/early", plan: "plans/none" }, updateMask: { paths: ["plan"] } };
    expect((await refusal(tenants.updateTenant(nowhere))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("is deleted only when no tenant uses any of its versions", async () => {
    const { plans, tenants } = app.admin;
    await plans.createPlan({ planId: "old", plan: { displayName: "Old" } });
    await tenants.createTenant({ tenantId: "keeper", tenant: { displayName: "K", plan: "plans/old" } });
    await plans.updatePlan({ plan: { name: "plans/old", displayName: "Old 2" } });
    expect(await refusal(plans.deletePlan({ name: "plans/old" }))).toEqual({
      code: "FailedPrecondition",
      reason: "HAS_DEPENDENTS",
      fields: [],
    });
    await plans.createPlan({ planId: "new", plan: { displayName: "New" } });
    const move = { tenant: { name: "tenants/keeper", plan: "plans/new" }, updateMask: { paths: ["plan"] } };
    await tenants.updateTenant(move);
    await plans.deletePlan({ name: "plans/old" });
    expect((await refusal(plans.getPlan({ name: "plans/old" }))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("that is bad is refused with every field, and an update with those of its mask alone", async () => {
    const plan = {
      displayName: "",
      settings: { "Bad Key": text("x"), empty: {} },
      entitlements: { long: text("x".repeat(1_025)) },
    };
    const refused = await refusal(app.admin.plans.createPlan({ planId: "P", plan }));
    expect(refused.fields.toSorted()).toEqual([
      "plan.display_name",
      "plan.entitlements.long",
      "plan.settings",
      "plan.settings.empty",
      "plan_id",
    ]);
    const update = (paths: string[]) =>
      app.admin.plans.updatePlan({ plan: { ...plan, name: "plans/pro" }, updateMask: { paths } });
    expect((await refusal(update(["settings"]))).fields.toSorted()).toEqual(["plan.settings", "plan.settings.empty"]);
    expect((await refusal(update(["colour"]))).fields).toEqual(["update_mask"]);
    expect((await refusal(update(["version"]))).fields).toEqual(["update_mask"]);
    expect((await refusal(app.admin.plans.updatePlan({ plan: { name: "plans/pro" } }))).fields).toEqual([
      "update_mask",
    ]);
  });
});
