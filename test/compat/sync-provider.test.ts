import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { FlagdProvider } from "@openfeature/flagd-provider";
import { OpenFeature } from "@openfeature/server-sdk";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FlagSyncService } from "../../src/compat/gen/flagd/sync/v1/sync_pb.ts";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { BOOLEAN_FLAG, clause, serving, when } from "../support/flags.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let service: string;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  const { admin } = app;
  await admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro" } });
  for (const tenantId of ["acme", "blue"]) {
    await admin.tenants.createTenant({ tenantId, tenant: { displayName: "T", plan: "plans/pro" }, activate: true });
  }
  service = (await admin.access.createApiKey({ apiKey: { displayName: "k", role: "service", scope: "platform" } }))
    .secret;
  const rules = [
    { id: "mine", match: when(clause("$tenant.id", "IN", "acme"), clause("tier", "IN", "gold")), serve: serving("on") },
  ];
  await admin.flags.createFlag({ flagId: "plain", flag: BOOLEAN_FLAG });
  await admin.flags.createFlag({ flagId: "tiered", flag: { ...BOOLEAN_FLAG, rules } });
  await admin.flags.createFlag({ flagId: "own", flag: { ...BOOLEAN_FLAG, tenantOverridable: true } });
  const override = { parent: "tenants/acme", flagOverrideId: "own", flagOverride: { serve: serving("on") } };
  await admin.flags.createFlagOverride(override);
});
afterEach(() => OpenFeature.close());
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const provider = (selector: string, more: object = {}) =>
  new FlagdProvider({
    ...{ host: "127.0.0.1", port: app.grpcPort, tls: false, resolverType: "in-process", streamDeadlineMs: 0 },
    ...{ selector, retryBackoffMaxMs: 200, deadlineMs: 5_000 },
    ...more,
  });

const sync = (port = app.grpcPort) =>
  createClient(FlagSyncService, createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));

const codeOf = (answer: Promise<unknown>) =>
  answer.then(
    () => "ok",
    (error: unknown) => Code[ConnectError.from(error).code],
  );

describe("flagd's provider that evaluates in process", () => {
  it("evaluates a tenant's flags as the server does, with its facts, and sees changes", async () => {
    await OpenFeature.setProviderAndWait(provider(`flagSetId=acme:${service}`));
    const client = OpenFeature.getClient();
    const details = {
      plain: await client.getBooleanDetails("plain", true),
      tiered: await client.getBooleanDetails("tiered", false, { tier: "gold", $tenant: { id: "blue" } }),
      own: await client.getBooleanDetails("own", false),
      missing: await client.getBooleanDetails("missing", true),
    };
    expect(details).toMatchObject({
      plain: { value: false, variant: "off", flagMetadata: { scope: "acme" } },
      tiered: { value: true, variant: "on" },
      own: { value: true, variant: "on" },
      missing: { value: true, errorCode: "FLAG_NOT_FOUND" },
    });
    expect(JSON.stringify(details)).not.toMatch(/tpk_/);
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("on") } });
    await expect.poll(() => client.getBooleanValue("plain", false), { timeout: 1_000 }).toBe(true);
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("off") } });
    await expect.poll(() => client.getBooleanValue("plain", true), { timeout: 1_000 }).toBe(false);
  });

  it("gets another tenant's flags at that one's host, and off variants while it is suspended", async () => {
    await OpenFeature.setProviderAndWait(provider(service, { defaultAuthority: "blue.flags.example.com" }));
    const client = OpenFeature.getClient();
    const tiered = () => client.getBooleanDetails("own", true);
    expect(await tiered()).toMatchObject({ variant: "off", flagMetadata: { scope: "blue" } });
    await app.admin.flags.updateFlag({ flag: { name: "flags/own", defaultServe: serving("on") } });
    await expect.poll(async () => (await tiered()).value, { timeout: 1_000 }).toBe(true);
    await app.admin.tenants.suspendTenant({ name: "tenants/blue", suspension: Suspension_Reason.POLICY });
    await expect.poll(async () => (await tiered()).variant, { timeout: 1_000 }).toBe("off");
    await app.admin.tenants.resumeTenant({ name: "tenants/blue", suspension: Suspension_Reason.POLICY });
    await expect.poll(async () => (await tiered()).variant, { timeout: 1_000 }).toBe("on");
  });

  it("keeps its flags when the node stops, comes back to the next one, and catches up", async () => {
    const other = await createDatabase();
    const first = await startTestApp(other);
    const settings = { GRPC_PORT: String(first.grpcPort) };
    await first.admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro" } });
    const tenant = { displayName: "T", plan: "plans/pro" };
    await first.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
    await first.admin.flags.createFlag({ flagId: "plain", flag: BOOLEAN_FLAG });
    const apiKey = { displayName: "k", role: "service", scope: "platform" };
    const { secret } = await first.admin.access.createApiKey({ apiKey });
    await OpenFeature.setProviderAndWait(provider(`acme:${secret}`, { port: first.grpcPort }));
    const client = OpenFeature.getClient();
    await expect.poll(async () => (await client.getBooleanDetails("plain", true)).variant).toBe("off");
    await first.stop();
    expect((await client.getBooleanDetails("plain", true)).variant).toBe("off");
    const second = await startTestApp(other, { adminKey: first.adminKey, settings });
    await second.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("on") } });
    await expect.poll(() => client.getBooleanValue("plain", false), { timeout: 10_000 }).toBe(true);
    await OpenFeature.close();
    await second.stop();
    await other.drop();
  });
});

describe("flagd's sync protocol", () => {
  it("takes the selector of the header or the field, and sends the same each way", async () => {
    const selector = `flagSetId=acme:${service}`;
    const byField = await sync().fetchAllFlags({ selector });
    const byHeader = await sync().fetchAllFlags(
      { selector: "nonsense=1" },
      { headers: { "flagd-selector": selector } },
    );
    const document = JSON.parse(byField.flagConfiguration);
    expect(byHeader).toEqual(byField);
    expect([Object.keys(document.flags).sort(), document.metadata]).toEqual([
      ["own", "plain", "tiered"],
      { scope: "acme" },
    ]);
    const { metadata } = await sync().getMetadata({}, { headers: { "flagd-selector": selector } });
    expect(metadata).toMatchObject({ $tenant: { id: "acme", plan: "pro", state: "ACTIVE" } });
  });

  it("ends with UNAVAILABLE, and no other word, when the node stops; and not before", async () => {
    const other = await createDatabase();
    const node = await startTestApp(other);
    await node.admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro" } });
    const tenant = { displayName: "T", plan: "plans/pro" };
    await node.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
    const options = { headers: { authorization: `Bearer ${node.adminKey}` } };
    const stream = sync(node.grpcPort).syncFlags({ selector: "acme" }, options)[Symbol.asyncIterator]();
    await stream.next();
    const end = codeOf(stream.next());
    await node.stop();
    expect(await end).toBe("Unavailable");
    await other.drop();
  });

  it("sends no more often than four times a second", async () => {
    const options = { headers: { "x-api-key": service } };
    const stream = sync().syncFlags({ selector: "acme" }, options);
    const name = "flags/plain";
    let last = "";
    let count = 0;
    const reading = (async () => {
      for await (const { flagConfiguration } of stream) {
        count += 1;
        last = flagConfiguration;
        if (last.includes("burst 20")) return;
      }
    })();
    await expect.poll(() => count).toBe(1);
    const startedAt = performance.now();
    for (let n = 1; n <= 20; n += 1) {
      await app.admin.flags.updateFlag({ flag: { name, metadata: { note: `burst ${n}` } } });
    }
    await reading;
    expect(count).toBeLessThanOrEqual(2 + Math.ceil((performance.now() - startedAt) / 250));
  });

  it.each([
    ["no key", () => "acme", "Unauthenticated"],
    ["a key of a browser", async () => `acme:${await keyOf("client")}`, "PermissionDenied"],
    ["a key of the tenant's people", async () => await keyOf("tenant.admin"), "PermissionDenied"],
    ["a service's key without a tenant", () => service, "InvalidArgument"],
    ["a tenant that is not there", () => `nobody:${service}`, "NotFound"],
    ["another kind of selector", () => `somebody=${service}`, "InvalidArgument"],
  ])("refuses %s", async (_, make, code) => {
    const selector = await make();
    expect(await codeOf(sync().fetchAllFlags({ selector }))).toBe(code);
    expect(await codeOf(sync().syncFlags({ selector })[Symbol.asyncIterator]().next())).toBe(code);
  });

  it("ends within a second when its key is revoked", async () => {
    const { apiKey, secret } = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "service", scope: "platform" },
    });
    const stream = sync()
      .syncFlags({ selector: `acme:${secret}` })
      [Symbol.asyncIterator]();
    await stream.next();
    const end = codeOf(stream.next());
    const startedAt = performance.now();
    await app.admin.access.revokeApiKey({ name: apiKey?.name ?? "" });
    expect(await end).toBe("Unauthenticated");
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

async function keyOf(role: string): Promise<string> {
  return (await app.admin.access.createApiKey({ apiKey: { displayName: "k", role, scope: "tenants/acme" } })).secret;
}
