import type { AuditEntry } from "@tenantplane/sdk/gen/tenantplane/v1/audit_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

const clock = createFakeClock(Date.UTC(2026, 0, 1));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let owner: postgres.Sql;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  owner = postgres(database.url, { max: 1, onnotice: () => {} });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  await app.admin.plans.createPlan({ planId: "grand", plan: { displayName: "Grand" } });
});
afterAll(async () => {
  await owner.end();
  await app.stop();
  await database.drop();
});

/** The newest entry on a resource, as plain data. */
async function newest(resource: string) {
  const { entries } = await app.admin.audit.listAuditEntries({ filter: `resource = "${resource}"`, pageSize: 1 });
  const [entry] = entries;
  return { ...entry, changes: changesOf(entry) };
}

function changesOf(entry: AuditEntry | undefined): Record<string, [unknown, unknown]> {
  const plain = (value: { kind: { case?: string | undefined; value?: unknown } } | undefined): unknown => {
    const { kind } = value ?? { kind: {} };
    if (kind.case === "listValue") return (kind.value as { values: never[] }).values.map(plain);
    if (kind.case !== "structValue") return kind.case === "nullValue" ? null : kind.value;
    const { fields } = kind.value as { fields: Record<string, never> };
    return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, plain(field)]));
  };
  return Object.fromEntries((entry?.changes ?? []).map((c) => [c.field, [plain(c.before), plain(c.after)]]));
}

describe("an entry", () => {
  it("tells who did what, when, from where, why and in which call, and each field before and after", async () => {
    const settings = { seats: { value: { case: "intValue" as const, value: 5n } } };
    const tenant = { displayName: "Acme", plan: "plans/basic", labels: { tier: "gold" }, settings };
    await app.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
    clock.advance(1_000);
    const name = "tenants/acme";
    const headers = { "x-request-id": "call-for-the-log" };
    await app.admin.tenants.updateTenant(
      {
        tenant: { name, displayName: "Acme Two", plan: "plans/grand", labels: { tier: "silver", vip: "yes" } },
        updateMask: { paths: ["display_name", "plan", "labels", "settings"] },
      },
      { headers },
    );
    const { changes, ...entry } = await newest(name);
    expect(changes).toEqual({
      display_name: ["Acme", "Acme Two"],
      plan: ["plans/basic", "plans/grand"],
      "labels.tier": ["gold", "silver"],
      "labels.vip": [null, "yes"],
      "settings.seats": ["5", null],
    });
    expect(entry).toMatchObject({
      actor: expect.stringMatching(/^apiKeys\/[0-9a-f]{16}$/),
      method: "tenantplane.v1.TenantService/UpdateTenant",
      resource: name,
      requestId: "call-for-the-log",
      outcome: 1,
      entryTime: expect.objectContaining({ seconds: BigInt(clock.now() / 1_000) }),
      callerAddress: expect.stringContaining("127.0.0.1"),
    });
  });

  it("of a step in a tenant's life tells the step and its reason", async () => {
    const request = { name: "tenants/acme", suspension: Suspension_Reason.BILLING, reason: "invoice 42 is unpaid" };
    await app.admin.tenants.suspendTenant(request);
    const { changes, reason } = await newest("tenants/acme");
    expect([reason, changes.state, changes.epoch]).toEqual(["invoice 42 is unpaid", ["ACTIVE", "SUSPENDED"], [2, 3]]);
    expect(changes.suspensions?.[1]).toEqual([
      { reason: "BILLING", message: "invoice 42 is unpaid", suspendTime: new Date(clock.now()).toISOString() },
    ]);
  });

  it("of what is created has nothing before, and of what is removed nothing after", async () => {
    await app.admin.tenants.createTenant({ tenantId: "users", tenant: { displayName: "U", plan: "plans/basic" } });
    const parent = "tenants/users";
    const { user } = await app.admin.users.createUser({ parent, user: { email: "a@b.org", role: "tenant.viewer" } });
    const made = await newest(user?.name ?? "");
    await app.admin.users.deleteUser({ name: user?.name ?? "" });
    const removed = await newest(user?.name ?? "");
    const fields = { name: user?.name, email: "a@b.org", display_name: "", role: "tenant.viewer", disabled: false };
    const pairs = (pick: (value: unknown) => [unknown, unknown]) =>
      Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, pick(value)]));
    expect(made.changes).toEqual(pairs((value) => [null, value]));
    expect(removed.changes).toEqual(pairs((value) => [value, null]));
  });

  it("of a purge names the job", async () => {
    await app.admin.tenants.createTenant({ tenantId: "gone", tenant: { displayName: "G", plan: "plans/basic" } });
    await app.admin.tenants.deleteTenant({ name: "tenants/gone", retention: { seconds: 1n, nanos: 0 } });
    clock.advance(1_000);
    await app.tick();
    const { actor, changes } = await newest("tenants/gone");
    expect([actor, changes.state]).toEqual(["system/purge", ["DELETED", null]]);
  });
});

describe("the log", () => {
  const many = 1_234;
  beforeAll(async () => {
    await owner`insert into audit_entry (at, actor, method, resource, request_id, outcome, changes, reason, caller_address)
      select ${new Date(Date.UTC(2020, 0, 1)).toISOString()}::timestamptz + n * interval '1 second', 'robot', 'm',
        'things/' || n, 'r' || n, case when n % 2 = 0 then 'OK' else 'DENIED' end, '[]', '', ''
      from generate_series(1, ${many}) n`;
  });

  it("is walked page by page, newest first, each entry once, and takes no token of another filter", async () => {
    const filter = "actor = robot";
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await app.admin.audit.listAuditEntries({ filter, pageSize: 500, pageToken });
      seen.push(...page.entries.map(({ resource }) => resource));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(Array.from({ length: many }, (_, i) => `things/${many - i}`));
    const { nextPageToken } = await app.admin.audit.listAuditEntries({ filter, pageSize: 1 });
    const foreign = app.admin.audit.listAuditEntries({ filter: "actor = x", pageToken: nextPageToken });
    expect((await refusal(foreign)).reason).toBe("PAGE_TOKEN_INVALID");
  });

  it("is exported as a stream, oldest first, and the export ends though others go on writing", async () => {
    const seen: string[] = [];
    for await (const { entries } of app.admin.audit.exportAuditEntries({ filter: "actor = robot" })) {
      seen.push(...entries.map(({ resource }) => resource));
      await owner`insert into audit_entry (at, actor, method, resource, request_id, outcome, changes, reason, caller_address)
        select now(), 'robot', 'm', 'late', '', 'OK', '[]', '', '' from generate_series(1, 600)`;
    }
    expect(seen).toEqual(Array.from({ length: many }, (_, i) => `things/${i + 1}`));
  });

  it("is filtered by each of its fields", async () => {
    const count = async (filter: string) => {
      const page = await app.admin.audit.listAuditEntries({ filter: `actor = robot ${filter}`, pageSize: 1_000 });
      return page.entries.filter(({ resource }) => resource !== "late").length;
    };
    expect([
      await count('resource = "things/7"'),
      await count('resource = "things/12*" outcome = DENIED'),
      await count('method = "m" request_id = r9'),
      await count("entry_time >= 2020-01-01T00:00:10Z entry_time < 2020-01-01T00:00:20Z"),
      await count('NOT resource = "things/*" resource != late'),
    ]).toEqual([1, 22, 1, 10, 0]);
    for (const call of [
      app.admin.audit.listAuditEntries({ filter: "colour = red" }),
      Array.fromAsync(app.admin.audit.exportAuditEntries({ filter: "colour = red" })),
    ]) {
      expect(await refusal(call)).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields: ["filter"] });
    }
  });

  it("shows a tenant its own entries alone, listed and exported", async () => {
    await app.admin.tenants.createTenant({
      tenantId: "reader",
      tenant: { displayName: "R", plan: "plans/basic" },
      activate: true,
    });
    const apiKey = { displayName: "k", role: "tenant.admin", scope: "tenants/reader" };
    const own = app.clients((await app.admin.access.createApiKey({ apiKey })).secret);
    const { entries } = await own.audit.listAuditEntries({ pageSize: 1_000 });
    const exported = (await Array.fromAsync(own.audit.exportAuditEntries({}))).flatMap((message) => message.entries);
    const resources = entries.map(({ resource }) => resource);
    expect(resources).toEqual([expect.stringMatching(/^apiKeys\//), "tenants/reader"]);
    expect(exported.map(({ resource }) => resource)).toEqual(resources.toReversed());
  });
});
