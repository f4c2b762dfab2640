import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let north: Clients;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  for (const integratorId of ["north", "south"]) {
    await app.admin.integrators.createIntegrator({ integratorId, integrator: { displayName: integratorId } });
  }
  const apiKey = { displayName: "k", role: "integrator.admin", scope: "integrators/north" };
  north = app.clients((await app.admin.access.createApiKey({ apiKey })).secret);
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const tenant = (integrator: string) => ({ displayName: "T", plan: "plans/basic", integrator });

describe("an integrator", () => {
  it("creates and administers its own tenants, and none of another's or the platform's", async () => {
    const { tenants } = north;
    const made = await tenants.createTenant({
      tenantId: "own-one",
      tenant: tenant("integrators/north"),
      activate: true,
    });
    expect(made.tenant?.integrator).toBe("integrators/north");
    await tenants.archiveTenant({ name: "tenants/own-one", reason: "quiet" });
    await tenants.unarchiveTenant({ name: "tenants/own-one" });
    for (const integrator of ["integrators/south", "", "integrators/none"]) {
      const call = tenants.createTenant({ tenantId: "foreign", tenant: tenant(integrator) });
      expect((await refusal(call)).reason).toBe("PERMISSION_DENIED");
    }
    expect((await refusal(tenants.placeLegalHold({ name: "tenants/own-one", holdId: "h" }))).reason).toBe(
      "PERMISSION_DENIED",
    );
  });

  it("sees itself and its own tenants, in reads, lists, batches and the watch", async () => {
    await app.admin.tenants.createTenant({ tenantId: "south-one", tenant: tenant("integrators/south") });
    await app.admin.tenants.createTenant({ tenantId: "nobodys", tenant: tenant("") });
    const own = await north.tenants.listTenants({});
    const everybody = await app.admin.tenants.listTenants({ filter: 'integrator = "integrators/north"' });
    const itself = await north.integrators.listIntegrators({});
    const stream = north.tenants.watchTenants({})[Symbol.asyncIterator]();
    const first = await stream.next();
    await stream.return?.();
    const names = (found: { name: string }[]) => found.map(({ name }) => name);
    expect([
      names(own.tenants),
      names(everybody.tenants),
      names(itself.integrators),
      first.value?.events.map((event: { tenant?: { name: string } }) => event.tenant?.name),
    ]).toEqual([["tenants/own-one"], ["tenants/own-one"], ["integrators/north"], ["tenants/own-one"]]);
  });

  it("is renamed by itself, found by name, and deleted by the platform once it has no tenants", async () => {
    const name = "integrators/north";
    const renamed = await north.integrators.updateIntegrator({ integrator: { name, displayName: "North Systems" } });
    expect(renamed.integrator).toMatchObject({ displayName: "North Systems" });
    const { integrators } = app.admin;
    expect((await refusal(integrators.updateIntegrator({ integrator: { name } }))).fields).toEqual(["update_mask"]);
    expect(
      (await refusal(integrators.createIntegrator({ integratorId: "north", integrator: { displayName: "N" } }))).reason,
    ).toBe("RESOURCE_EXISTS");
    expect((await refusal(integrators.deleteIntegrator({ name }))).reason).toBe("HAS_DEPENDENTS");
    expect((await refusal(north.integrators.deleteIntegrator({ name }))).reason).toBe("PERMISSION_DENIED");
    await integrators.createIntegrator({ integratorId: "brief", integrator: { displayName: "B" } });
    await integrators.deleteIntegrator({ name: "integrators/brief" });
    expect((await refusal(integrators.getIntegrator({ name: "integrators/brief" }))).reason).toBe("RESOURCE_NOT_FOUND");
  });
});
