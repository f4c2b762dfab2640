import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
const parent = "tenants/acme";

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  const tenant = { displayName: "T", plan: "plans/basic" };
  await app.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true, adminEmail: "First@acme.org" });
  await app.admin.tenants.createTenant({ tenantId: "other", tenant, activate: true });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const create = (email: string, more: object = {}) =>
  app.admin.users.createUser({ parent, user: { email, role: "tenant.viewer", ...more } });

describe("a tenant's users", () => {
  it("begin with the administrator that the creation names", async () => {
    const { users } = await app.admin.users.listUsers({ parent });
    expect(users.map(({ email, role }) => [email, role])).toEqual([["First@acme.org", "tenant.admin"]]);
  });

  it("are one for each address, whatever its capitals, and may be in several tenants", async () => {
    await create("Ann@acme.org");
    expect((await refusal(create("ann@ACME.org"))).reason).toBe("RESOURCE_EXISTS");
    const elsewhere = { parent: "tenants/other", user: { email: "ann@acme.org", role: "tenant.viewer" } };
    expect((await app.admin.users.createUser(elsewhere)).user?.name).toMatch(/^tenants\/other\/users\//);
  });

  it("are listed by address, page by page, each once", async () => {
    for (const letter of ["z", "B", "c", "Y"]) await create(`${letter}@pages.org`);
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await app.admin.users.listUsers({ parent, pageSize: 2, pageToken });
      seen.push(...page.users.map(({ email }) => email));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([
      "Ann@acme.org",
      "B@pages.org",
      "c@pages.org",
      "First@acme.org",
      "Y@pages.org",
      "z@pages.org",
    ]);
    const { nextPageToken } = await app.admin.users.listUsers({ parent, pageSize: 1 });
    const foreign = app.admin.users.listUsers({ parent: "tenants/other", pageToken: nextPageToken });
    expect((await refusal(foreign)).reason).toBe("PAGE_TOKEN_INVALID");
  });

  it("change by mask: what it leaves out stays, and an address never changes", async () => {
    const { user } = await create("mask@acme.org", { displayName: "Mask" });
    const name = user?.name ?? "";
    const update = (fields: object, ...paths: string[]) =>
      app.admin.users.updateUser({ user: { name, ...fields }, updateMask: { paths } });
    const disabled = await update({ disabled: true, displayName: "Other" }, "disabled");
    const enabled = await update({ role: "tenant.admin", disabled: false }, "role", "disabled");
    expect([disabled.user, enabled.user]).toMatchObject([
      { displayName: "Mask", role: "tenant.viewer", disabled: true },
      { displayName: "Mask", role: "tenant.admin", disabled: false },
    ]);
    expect((await refusal(update({ email: "new@acme.org" }, "email"))).fields).toEqual(["update_mask"]);
    expect((await refusal(update({ role: "client" }, "role"))).fields).toEqual(["user.role"]);
    expect((await refusal(update({ role: "platform.admin" }, "role"))).fields).toEqual(["user.role"]);
  });

  it("are removed for good, and stay as they are while their tenant is deleted", async () => {
    const { user } = await create("gone@acme.org");
    await app.admin.users.deleteUser({ name: user?.name ?? "" });
    expect((await refusal(app.admin.users.getUser({ name: user?.name ?? "" }))).reason).toBe("RESOURCE_NOT_FOUND");
    const { users } = await app.admin.users.listUsers({ parent: "tenants/other" });
    const [kept] = users;
    const name = kept?.name ?? "";
    await app.admin.tenants.deleteTenant({ name: "tenants/other" });
    const writes = [
      app.admin.users.createUser({ parent: "tenants/other", user: { email: "n@x.org", role: "tenant.viewer" } }),
      app.admin.users.updateUser({ user: { name, displayName: "N" } }),
      app.admin.users.deleteUser({ name }),
    ];
    const refusals = await Promise.all(writes.map(refusal));
    expect(refusals.map(({ reason }) => reason)).toEqual(Array(3).fill("TENANT_DELETED"));
    await app.admin.tenants.undeleteTenant({ name: "tenants/other" });
    expect((await app.admin.users.getUser({ name })).user).toEqual(kept);
  });

  it("that are bad are refused with every field", async () => {
    const refused = await refusal(create("no address", { displayName: "x".repeat(64), role: "service" }));
    expect(refused.fields.toSorted()).toEqual(["user.display_name", "user.email", "user.role"]);
    expect((await refusal(app.admin.users.createUser({ parent }))).fields).toEqual(["user"]);
    expect((await refusal(app.admin.users.getUser({ name: "tenants/acme/users/" }))).fields).toEqual(["name"]);
  });
});
