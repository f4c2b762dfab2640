import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "./support/app.ts";
import { refusal } from "./support/errors.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  owner = postgres(database.url, { max: 1, onnotice: () => {} });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

const tenant = { displayName: "T", plan: "plans/basic" };

/** How many rows the tables of the spine hold; the owner sees them as a superuser. */
async function counts() {
  const [row] =
    await owner`select (select count(*)::int from tenant) as tenants, (select count(*)::int from audit_entry) as audit,
    (select count(*)::int from change) as changes, (select count(*)::int from idempotency) as requests`;
  return row as { tenants: number; audit: number; changes: number; requests: number };
}

describe("a write", () => {
  it("leaves its rows, one audit row, one change row and its request id, or none of them", async () => {
    const before = await counts();
    const created = await app.admin.tenants.createTenant({
      tenantId: "spine-1",
      tenant,
      requestId: crypto.randomUUID(),
    });
    const after = await counts();
    const { tenants, audit, changes, requests } = before;
    expect(after).toEqual({ tenants: tenants + 1, audit: audit + 1, changes: changes + 1, requests: requests + 1 });
    expect((await refusal(app.admin.tenants.createTenant({ tenantId: "spine-1", tenant }))).reason).toBe(
      "RESOURCE_EXISTS",
    );
    expect(
      (
        await refusal(
          app.admin.tenants.createTenant({ tenantId: "spine-2", tenant: { ...tenant, plan: "plans/none" } }),
        )
      ).reason,
    ).toBe("RESOURCE_NOT_FOUND");
    expect(await counts()).toEqual(after);
    const { entries } = await app.admin.audit.listAuditEntries({ filter: 'resource = "tenants/spine-1"' });
    expect(entries.map((entry) => [entry.method, entry.actor.startsWith("apiKeys/")])).toEqual([
      ["tenantplane.v1.TenantService/CreateTenant", true],
    ]);
    expect(created.revision).not.toBe("");
  });

  it("answers a retry with the first answer, and refuses the id for another request", async () => {
    const requestId = crypto.randomUUID();
    const first = await app.admin.tenants.createTenant({ tenantId: "spine-3", tenant, requestId });
    const after = await counts();
    const retries = await Promise.all(
      [1, 2, 3].map(() => app.admin.tenants.createTenant({ tenantId: "spine-3", tenant, requestId })),
    );
    const other = await refusal(app.admin.tenants.createTenant({ tenantId: "spine-4", tenant, requestId }));
    expect(retries).toEqual([first, first, first]);
    expect(other).toEqual({ code: "InvalidArgument", reason: "REQUEST_ID_REUSED", fields: [] });
    expect(await counts()).toEqual(after);
  });

  it("writes nothing under validate_only, and answers as if", async () => {
    const before = await counts();
    const answer = await app.admin.tenants.createTenant({ tenantId: "spine-5", tenant, validateOnly: true });
    expect([answer.tenant?.name, await counts()]).toEqual(["tenants/spine-5", before]);
  });

  it("is refused with ABORTED when the etag is old, and lets exactly one of two racing writers win", async () => {
    const { tenant: made } = await app.admin.tenants.createTenant({ tenantId: "spine-6", tenant });
    const write = (displayName: string) =>
      app.admin.tenants.updateTenant({ tenant: { name: "tenants/spine-6", etag: made?.etag ?? "", displayName } }).then(
        () => "written",
        (error: unknown) => refusal(Promise.reject(error)).then((r) => `${r.code} ${r.reason}`),
      );
    const outcomes = await Promise.all([write("one"), write("two")]);
    expect(outcomes.sort()).toEqual(["Aborted ETAG_MISMATCH", "written"]);
  });

  it("writes only the fields of the mask, and names every bad one", async () => {
    await app.admin.tenants.createTenant({
      tenantId: "spine-7",
      tenant: { ...tenant, labels: { a: "1" }, region: "eu" },
    });
    const name = "tenants/spine-7";
    const updated = await app.admin.tenants.updateTenant({
      tenant: { name, displayName: "New", region: "us", labels: { b: "2" } },
      updateMask: { paths: ["labels", "display_name"] },
    });
    const { displayName, region, labels } = updated.tenant ?? {};
    const unknown = await refusal(
      app.admin.tenants.updateTenant({ tenant: { name }, updateMask: { paths: ["colour"] } }),
    );
    const fixed = await refusal(
      app.admin.tenants.updateTenant({ tenant: { name }, updateMask: { paths: ["integrator"] } }),
    );
    const bad = await refusal(
      app.admin.tenants.createTenant({
        tenantId: "X",
        tenant: { displayName: "", plan: "pro", labels: { "Bad Key": "v" }, timeZone: "Mars/Olympus" },
        adminEmail: "nobody",
      }),
    );
    expect({ displayName, region, labels }).toEqual({ displayName: "New", region: "eu", labels: { b: "2" } });
    expect([unknown.fields, fixed.fields]).toEqual([["update_mask"], ["update_mask"]]);
    expect(bad.fields).toEqual([
      "tenant_id",
      "admin_email",
      "tenant.plan",
      "tenant.display_name",
      "tenant.labels.Bad Key",
      "tenant.time_zone",
    ]);
  });
});

describe("pages", () => {
  it("walk all tenants once in any order, and refuse a token of another query", async () => {
    const shared = { ...tenant, labels: { set: "pages" } };
    for (let i = 0; i < 7; i += 1) {
      await app.admin.tenants.createTenant({ tenantId: `page-${i}`, tenant: { ...shared, displayName: `D${i % 3}` } });
    }
    for (const orderBy of ["", "name desc", "display_name", "display_name desc, name", "create_time desc"]) {
      const names: string[] = [];
      let pageToken = "";
      do {
        const page = await app.admin.tenants.listTenants({
          pageSize: 2,
          filter: "labels.set = pages",
          orderBy,
          pageToken,
        });
        names.push(...page.tenants.map((found) => found.name));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      expect([orderBy, new Set(names).size, names.length]).toEqual([orderBy, 7, 7]);
    }
    const { nextPageToken } = await app.admin.tenants.listTenants({ pageSize: 2 });
    const foreign = await refusal(
      app.admin.tenants.listTenants({ pageSize: 2, orderBy: "name desc", pageToken: nextPageToken }),
    );
    const forged = await refusal(app.admin.tenants.listTenants({ pageToken: `${nextPageToken.slice(0, -2)}AA` }));
    expect([foreign.reason, forged.reason]).toEqual(["PAGE_TOKEN_INVALID", "PAGE_TOKEN_INVALID"]);
  });
});

describe("consistency", () => {
  it("gives a cached reader its own write when it brings the revision", async () => {
    const { revision } = await app.admin.tenants.createTenant({ tenantId: "fresh-1", tenant });
    const consistency = { requirement: { case: "minRevision" as const, value: revision } };
    const found = await app.admin.tenants.getTenant({ name: "tenants/fresh-1", consistency });
    const bad = { requirement: { case: "minRevision" as const, value: "ffffffff.1.0" } };
    const foreign = await refusal(app.admin.tenants.getTenant({ name: "tenants/fresh-1", consistency: bad }));
    expect([found.tenant?.name, foreign.reason]).toEqual(["tenants/fresh-1", "REVISION_INVALID"]);
  });
});
