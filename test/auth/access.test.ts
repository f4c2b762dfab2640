import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SERVICES } from "../../src/server/services.ts";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { codeOf, RPCS } from "../support/rpcs.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  for (const integratorId of ["north", "south"]) {
    await app.admin.integrators.createIntegrator({ integratorId, integrator: { displayName: integratorId } });
    const tenant = { displayName: "T", plan: "plans/basic", integrator: `integrators/${integratorId}` };
    await app.admin.tenants.createTenant({ tenantId: `${integratorId}-one`, tenant, activate: true });
  }
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

async function keyFor(role: string, scope: string, by: Clients = app.admin): Promise<Clients> {
  const { secret } = await by.access.createApiKey({ apiKey: { displayName: "k", role, scope } });
  return app.clients(secret);
}

describe("every RPC there is", () => {
  it("refuses a call without a key", async () => {
    const nobody = app.clients("");
    const codes = await Promise.all(RPCS.map(async (rpc) => [rpc.name, await codeOf(nobody, rpc)]));
    // Flagd's providers have no credentials there: they are told that the node is there, and nothing of any flag.
    const isOpen = (name: string) => name === "Service.EventStream";
    expect(codes).toEqual(RPCS.map(({ name }) => [name, isOpen(name) ? "ok" : "Unauthenticated"]));
  });

  it("refuses the keys of a tenant that is not ACTIVE, within a second, streams under way included", async () => {
    const tenant = { displayName: "T", plan: "plans/basic" };
    await app.admin.tenants.createTenant({ tenantId: "to-suspend", tenant, activate: true });
    const own = await keyFor("tenant.admin", "tenants/to-suspend");
    const stream = own.tenants.watchTenants({})[Symbol.asyncIterator]();
    await stream.next();
    await app.admin.tenants.suspendTenant({ name: "tenants/to-suspend", suspension: Suspension_Reason.POLICY });
    const startedAt = performance.now();
    const ended = await refusal(drain(stream));
    const endedMs = performance.now() - startedAt;
    const codes = await Promise.all(RPCS.map(async (rpc) => [rpc.name, await codeOf(own, rpc)]));
    expect(codes).toEqual(RPCS.map(({ name }) => [name, "PermissionDenied"]));
    expect(ended.reason).toBe("TENANT_NOT_ACTIVE");
    expect(endedMs).toBeLessThan(1_000);
    await app.admin.tenants.resumeTenant({ name: "tenants/to-suspend", suspension: Suspension_Reason.POLICY });
    await expect
      .poll(() => own.tenants.getTenant({ name: "tenants/to-suspend" }).then((r) => r.tenant?.name))
      .toBe("tenants/to-suspend");
  });
});

describe("roles and scopes", () => {
  it("shows an integrator its own tenants and no others, and answers the same for those that do not exist", async () => {
    const north = await keyFor("integrator.admin", "integrators/north");
    const { tenants } = await north.tenants.listTenants({});
    const other = await refusal(north.tenants.getTenant({ name: "tenants/south-one" }));
    const missing = await refusal(north.tenants.getTenant({ name: "tenants/nothing-here" }));
    expect(tenants.map((tenant) => tenant.name)).toEqual(["tenants/north-one"]);
    expect([other, missing]).toEqual([
      { code: "PermissionDenied", reason: "PERMISSION_DENIED", fields: [] },
      { code: "PermissionDenied", reason: "PERMISSION_DENIED", fields: [] },
    ]);
  });

  it("hides other tenants from batch reads, cached or not, and from the audit log", async () => {
    const north = await keyFor("integrator.admin", "integrators/north");
    for (const cached of [false, true]) {
      const consistency = { requirement: { case: cached ? ("cached" as const) : ("strong" as const), value: true } };
      const call = north.tenants.batchGetTenants({ names: ["tenants/north-one", "tenants/south-one"], consistency });
      expect((await refusal(call)).reason).toBe("RESOURCE_NOT_FOUND");
    }
    const { entries } = await north.audit.listAuditEntries({ pageSize: 1_000 });
    const foreign = entries.filter((entry) => entry.resource.includes("south"));
    expect([entries.length > 0, foreign]).toEqual([true, []]);
  });

  it("lets nobody create a key with more power than their own", async () => {
    const north = await keyFor("integrator.admin", "integrators/north");
    const attempts = [
      { role: "platform.admin", scope: "platform" },
      { role: "integrator.admin", scope: "integrators/south" },
      { role: "tenant.admin", scope: "tenants/south-one" },
    ];
    for (const attempt of attempts) {
      const call = north.access.createApiKey({ apiKey: { displayName: "k", ...attempt } });
      expect((await refusal(call)).code).toBe("PermissionDenied");
    }
    const granted = await keyFor("tenant.viewer", "tenants/north-one", north);
    expect((await granted.tenants.getTenant({ name: "tenants/north-one" })).tenant?.displayName).toBe("T");
    expect((await refusal(granted.tenants.archiveTenant({ name: "tenants/north-one" }))).code).toBe("PermissionDenied");
  });

  it("leaves a tenant's plan, labels and region to those who administer it", async () => {
    const north = await keyFor("integrator.admin", "integrators/north");
    const own = await keyFor("tenant.admin", "tenants/north-one", north);
    const write = (clients: Clients, tenant: object, ...paths: string[]) =>
      clients.tenants.updateTenant({ tenant: { name: "tenants/north-one", ...tenant }, updateMask: { paths } });
    await app.admin.plans.createPlan({ planId: "grand", plan: { displayName: "Grand" } });
    for (const [field, value] of Object.entries({ plan: "plans/grand", labels: { vip: "yes" }, region: "moon" })) {
      expect((await refusal(write(own, { [field]: value }, field))).reason).toBe("PERMISSION_DENIED");
    }
    expect((await write(own, { displayName: "Mine" }, "display_name")).tenant?.displayName).toBe("Mine");
    expect((await write(north, { labels: { vip: "yes" } }, "labels")).tenant?.labels).toEqual({ vip: "yes" });
  });

  it("lets a partner lift what it may place, and not what the platform has stopped", async () => {
    const north = await keyFor("integrator.admin", "integrators/north");
    const integrator = "integrators/north";
    await app.admin.tenants.createTenant({
      tenantId: "north-two",
      tenant: { displayName: "T", plan: "plans/basic", integrator },
      activate: true,
    });
    const name = "tenants/north-two";
    const { BILLING, SECURITY } = Suspension_Reason;
    await north.tenants.suspendTenant({ name, suspension: BILLING });
    expect((await refusal(north.tenants.suspendTenant({ name, suspension: SECURITY }))).reason).toBe(
      "PERMISSION_DENIED",
    );
    await app.admin.tenants.suspendTenant({ name, suspension: SECURITY });
    expect((await refusal(north.tenants.resumeTenant({ name, suspension: SECURITY }))).reason).toBe(
      "PERMISSION_DENIED",
    );
    const { tenant } = await north.tenants.resumeTenant({ name, suspension: BILLING });
    expect(tenant?.suspensions.map(({ reason }) => reason)).toEqual([SECURITY]);
  });

  it("lists an integrator's tenants by the link", async () => {
    const page = await app.admin.tenants.listTenants({ filter: 'integrator = "integrators/north"', orderBy: "name" });
    expect(page.tenants.map(({ name }) => name)).toEqual(["tenants/north-one", "tenants/north-two"]);
    const moved = app.admin.tenants.updateTenant({
      tenant: { name: "tenants/north-one", integrator: "integrators/south" },
      updateMask: { paths: ["integrator"] },
    });
    expect((await refusal(moved)).fields).toEqual(["update_mask"]);
  });

  it("ends the keys of an integrator that is deleted", async () => {
    await app.admin.integrators.createIntegrator({ integratorId: "leaving", integrator: { displayName: "L" } });
    const own = await keyFor("integrator.admin", "integrators/leaving");
    await own.tenants.listTenants({});
    await app.admin.integrators.deleteIntegrator({ name: "integrators/leaving" });
    await expect.poll(() => refusalCode(own), { timeout: 1_000 }).toBe("Unauthenticated");
  });

  it("tells a caller which permissions it has, on what it reaches", async () => {
    const own = await keyFor("tenant.viewer", "tenants/north-one");
    const north = await keyFor("integrator.admin", "integrators/north");
    const permissions = ["tenants.get", "tenants.update", "integrators.get", "no.such"];
    const asked = async (clients: Clients, resource: string) =>
      (await clients.access.testPermissions({ resource, permissions })).permissions;
    expect(await asked(own, "tenants/north-one")).toEqual(["tenants.get"]);
    expect(await asked(own, "tenants/south-one")).toEqual([]);
    expect(await asked(north, "tenants/north-one")).toEqual(permissions.slice(0, 3));
    expect(await asked(north, "tenants/nothing-here")).toEqual([]);
    expect(await asked(north, "integrators/north")).toEqual(permissions.slice(0, 3));
    expect(await asked(app.admin, "platform")).toEqual(permissions.slice(0, 3));
    const many = own.access.testPermissions({ resource: "platform", permissions: Array(101).fill("tenants.get") });
    expect((await refusal(many)).fields).toEqual(["permissions"]);
    expect((await refusal(own.access.testPermissions({ resource: "moons/io" }))).fields).toEqual(["resource"]);
  });

  it("records refused attempts with who and what, whoever refuses them, the same one once", async () => {
    const viewer = await keyFor("tenant.viewer", "tenants/north-one");
    const north = await keyFor("integrator.admin", "integrators/north");
    const denied = async (filter: string) => {
      const page = await app.admin.audit.listAuditEntries({ filter: `outcome = DENIED AND ${filter}` });
      return page.entries.map(({ resource, reason }) => [resource, reason]);
    };
    const archive = 'method = "*ArchiveTenant"';
    const before = (await denied(archive)).length;
    for (let i = 0; i < 3; i += 1) await refusal(viewer.tenants.archiveTenant({ name: "tenants/north-one" }));
    // Refused within the verb, not by the RPC's own rule.
    const apiKey = { displayName: "k", role: "platform.admin", scope: "platform" };
    await refusal(north.access.createApiKey({ apiKey }));
    await expect.poll(() => denied('method = "*CreateApiKey"')).not.toEqual([]);
    expect(await denied(archive)).toHaveLength(before + 1);
    expect((await denied(archive))[0]).toEqual([
      "tenants/north-one",
      "permission tenants.archive is needed on tenants/north-one",
    ]);
  });

  it("records that a tenant's key was refused because the tenant is suspended", async () => {
    const tenant = { displayName: "T", plan: "plans/basic" };
    await app.admin.tenants.createTenant({ tenantId: "stopped", tenant, activate: true });
    const own = await keyFor("tenant.viewer", "tenants/stopped");
    await app.admin.tenants.suspendTenant({ name: "tenants/stopped", suspension: Suspension_Reason.BILLING });
    await expect.poll(() => refusalCode(own)).toBe("PermissionDenied");
    const filter = 'outcome = DENIED AND resource = "tenants/stopped"';
    await expect
      .poll(async () => (await app.admin.audit.listAuditEntries({ filter })).entries.map(({ reason }) => reason))
      .toContain("tenants/stopped is SUSPENDED (BILLING)");
  });
});

describe("API keys", () => {
  it("keeps both secrets alive through a rotation until the overlap is over, and ends at once when revoked", async () => {
    const made = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "service", scope: "platform" },
    });
    const name = made.apiKey?.name ?? "";
    const rotated = await app.admin.access.rotateApiKey({ name, overlap: { seconds: 60n, nanos: 0 } });
    const both = await Promise.all(
      [made.secret, rotated.secret].map((key) =>
        app
          .clients(key)
          .tenants.listTenants({ pageSize: 1 })
          .then(() => "ok"),
      ),
    );
    const again = await app.admin.access.rotateApiKey({ name, overlap: { seconds: 0n, nanos: 0 } });
    await expect.poll(() => refusalCode(app.clients(made.secret)), { timeout: 1_000 }).toBe("Unauthenticated");
    await app.admin.access.revokeApiKey({ name });
    await expect.poll(() => refusalCode(app.clients(again.secret)), { timeout: 1_000 }).toBe("Unauthenticated");
    expect(both).toEqual(["ok", "ok"]);
  });

  it("never shows a secret again: not in lists, not in the audit log, not on a retry", async () => {
    const requestId = crypto.randomUUID();
    const request = { apiKey: { displayName: "secretive", role: "service", scope: "platform" }, requestId };
    const { secret } = await app.admin.access.createApiKey(request);
    const retry = await refusal(app.admin.access.createApiKey(request));
    const { apiKeys } = await app.admin.access.listApiKeys({ pageSize: 1_000 });
    const { entries } = await app.admin.audit.listAuditEntries({ pageSize: 1_000 });
    const shown = JSON.stringify([apiKeys, entries], (_, value) => (typeof value === "bigint" ? String(value) : value));
    expect([retry.reason, shown.includes(secret.slice(-64)), shown.includes("secretive")]).toEqual([
      "RESOURCE_EXISTS",
      false,
      true,
    ]);
  });
});

describe("the listeners", () => {
  it("answer the same on gRPC, gRPC over the HTTP port, and Connect", async () => {
    const transports = [
      createGrpcTransport({ baseUrl: `http://127.0.0.1:${app.grpcPort}` }),
      createGrpcTransport({ baseUrl: `http://127.0.0.1:${app.httpPort}` }),
      createConnectTransport({ baseUrl: `http://127.0.0.1:${app.httpPort}`, httpVersion: "1.1" }),
    ];
    const headers = { authorization: `Bearer ${app.adminKey}` };
    const [tenants] = SERVICES.filter((service) => service.typeName === "tenantplane.v1.TenantService");
    if (!tenants) throw new Error("TenantService is gone");
    const answers = await Promise.all(
      transports.map(async (transport) => {
        const client = createClient(tenants, transport) as unknown as Clients["tenants"];
        const found = await client.getTenant({ name: "tenants/north-one" }, { headers });
        const bad = await refusal(client.listTenants({ filter: "nope = 1" }, { headers }));
        return { name: found.tenant?.name, etag: found.tenant?.etag, bad };
      }),
    );
    expect(answers[0]?.bad).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields: ["filter"] });
    expect([answers[1], answers[2]]).toEqual([answers[0], answers[0]]);
  });

  it("answer /livez, /readyz and /metrics without a key, and a browser's preflight", async () => {
    const base = `http://127.0.0.1:${app.httpPort}`;
    const pages = await Promise.all(
      ["/livez", "/readyz?verbose", "/metrics", "/nothing"].map((path) => fetch(base + path)),
    );
    const metrics = await pages[2]?.text();
    const preflight = await fetch(`${base}/tenantplane.v1.TenantService/GetTenant`, {
      method: "OPTIONS",
      headers: { origin: "https://app.example", "access-control-request-method": "POST" },
    });
    expect(pages.map((page) => page.status)).toEqual([200, 200, 200, 404]);
    expect(metrics).toContain('tenantplane_calls_total{method="tenantplane.v1.TenantService/GetTenant",code="ok"}');
    expect([preflight.status, preflight.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
  });
});

async function drain(stream: AsyncIterator<unknown>): Promise<void> {
  for (let next = await stream.next(); !next.done; next = await stream.next());
}

async function refusalCode(clients: Clients): Promise<string> {
  return clients.tenants.listTenants({ pageSize: 1 }).then(
    () => "ok",
    (error: unknown) => Code[ConnectError.from(error).code],
  );
}
