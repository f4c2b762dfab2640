import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../../support/app.ts";
import { refusal } from "../../support/errors.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  for (const [index, displayName] of ["Red", "Blue", "Red", "Blue", "Red"].entries()) {
    const tenant = { displayName, plan: "plans/basic", labels: { constructor: `c${index % 2}` } };
    await app.admin.tenants.createTenant({ tenantId: `acme-${index}`, tenant });
  }
});

afterAll(async () => {
  await app.stop();
  await database.drop();
});

describe("a list through the API", () => {
  it("is walked page by page in a mixed order, whatever the length of its filter", async () => {
    const filter = `name != "${"€".repeat(2_020)}"`;
    const names: string[] = [];
    let pageToken = "";
    do {
      const orderBy = "display_name desc, name";
      const page = await app.admin.tenants.listTenants({ filter, orderBy, pageSize: 2, pageToken });
      names.push(...page.tenants.map(({ name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(names).toEqual(["acme-0", "acme-2", "acme-4", "acme-1", "acme-3"].map((id) => `tenants/${id}`));
  });

  it("refuses the token of another query", async () => {
    const { nextPageToken: pageToken } = await app.admin.tenants.listTenants({ pageSize: 2 });
    const other = app.admin.tenants.listTenants({ pageSize: 2, pageToken, showDeleted: true });
    expect(await refusal(other)).toEqual({
      code: "InvalidArgument",
      reason: "PAGE_TOKEN_INVALID",
      fields: ["page_token"],
    });
    const { tenants } = await app.admin.tenants.listTenants({ pageSize: 1, pageToken });
    expect(tenants.map(({ name }) => name)).toEqual(["tenants/acme-2"]);
  });

  const hostile = [
    "constructor = x",
    "__proto__ = x",
    'display_name = "a\0b"',
    "create_time > 0000-01-01T00:00:00Z",
    'create_time > "2026-01-01 (note)"',
    `${"x".repeat(2_000)} = y`,
    "((((((((((((((((((((",
  ];
  for (const filter of hostile) {
    it(`refuses the filter ${JSON.stringify(filter.slice(0, 40))} on its field`, async () => {
      const refused = { code: "InvalidArgument", reason: "INVALID_FIELDS", fields: ["filter"] };
      expect(await refusal(app.admin.tenants.listTenants({ filter }))).toEqual(refused);
    });
  }

  it("finds by a label that objects inherit, and the audit log tells its change", async () => {
    const found = await app.admin.tenants.listTenants({ filter: "labels.constructor = c1" });
    expect(found.tenants.map(({ name }) => name)).toEqual(["tenants/acme-1", "tenants/acme-3"]);
    const tenant = { name: "tenants/acme-1", labels: {} };
    await app.admin.tenants.updateTenant({ tenant, updateMask: { paths: ["labels"] } });
    const { entries } = await app.admin.audit.listAuditEntries({ pageSize: 1 });
    expect(entries.flatMap(({ changes }) => changes.map(({ field }) => field))).toContain("labels.constructor");
  });

  it("refuses many bad labels in an error that arrives", async () => {
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`K${i}${"x".repeat(60)}`, "v"]));
    const tenant = { displayName: "A", plan: "plans/basic", labels };
    const refused = await refusal(app.admin.tenants.createTenant({ tenantId: "acme-9", tenant }));
    expect([refused.code, refused.reason, refused.fields.length]).toEqual(["InvalidArgument", "INVALID_FIELDS", 8]);
  });
});
