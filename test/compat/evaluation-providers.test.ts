import { FlagdProvider } from "@openfeature/flagd-provider";
import { FlagdWebProvider } from "@openfeature/flagd-web-provider";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { StandardResolutionReasons as Reasons, OpenFeature as Server } from "@openfeature/server-sdk";
import { OpenFeature as Web, ProviderEvents as WebEvents, type Provider as WebProvider } from "@openfeature/web-sdk";
import { Flag_Kind as Kind } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { BOOLEAN_FLAG, clause, serving, when } from "../support/flags.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let acme: string;
let service: string;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  const { admin } = app;
  await admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro" } });
  for (const tenantId of ["acme", "blue"]) {
    await admin.tenants.createTenant({ tenantId, tenant: { displayName: "T", plan: "plans/pro" }, activate: true });
  }
  acme = await keyOf("client", "tenants/acme");
  service = await keyOf("service", "platform");
  const visible = { clientVisible: true, tenantOverridable: true };
  const rules = [{ id: "gold", match: when(clause("tier", "IN", "gold")), serve: serving("on") }];
  const only = (kind: Kind, value: never) => ({
    kind,
    variants: { only: value },
    defaultServe: serving("only"),
    ...visible,
  });
  const flags = {
    plain: { ...BOOLEAN_FLAG, ...visible },
    tiered: { ...BOOLEAN_FLAG, rules, ...visible },
    hidden: BOOLEAN_FLAG,
    text: only(Kind.STRING, "grüße" as never),
    number: only(Kind.NUMBER, 2.5 as never),
    object: only(Kind.OBJECT, { a: [1, { b: null }] } as never),
    nothing: { kind: Kind.BOOLEAN, variants: { on: true, off: false }, ...visible },
  };
  for (const [flagId, flag] of Object.entries(flags)) await admin.flags.createFlag({ flagId, flag });
  const overridden = { parent: "tenants/acme", flagOverrideId: "text", flagOverride: { serve: serving("only") } };
  await admin.flags.createFlagOverride(overridden);
});
afterEach(async () => {
  await Server.close();
  await Web.close();
  await Web.clearContexts();
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

async function keyOf(role: string, scope: string): Promise<string> {
  return (await app.admin.access.createApiKey({ apiKey: { displayName: "k", role, scope } })).secret;
}

/** Everything of a result but its code default. */
async function details(client: ReturnType<typeof Server.getClient>, context = {}) {
  return {
    plain: await client.getBooleanDetails("plain", true, context),
    tiered: await client.getBooleanDetails("tiered", false, { ...context, tier: "gold" }),
    text: await client.getStringDetails("text", "-", context),
    number: await client.getNumberDetails("number", 0, context),
    object: await client.getObjectDetails("object", {}, context),
    nothing: await client.getBooleanDetails("nothing", true, context),
    missing: await client.getBooleanDetails("missing", true, context),
    mistyped: await client.getStringDetails("plain", "mine", context),
  };
}

const rpc = (selector: string, more: object = {}) =>
  new FlagdProvider({
    ...{ host: "127.0.0.1", port: app.grpcPort, tls: false, resolverType: "rpc", streamDeadlineMs: 0 },
    ...{ selector, retryBackoffMaxMs: 200 },
    ...more,
  });

describe("flagd's provider that asks for each evaluation", () => {
  it.each([
    ["a tenant's key", () => acme],
    ["a tenant's key as the set of flags", () => `flagSetId=${acme}`],
    ["a service's key and a tenant", () => `flagSetId=acme:${service}`],
    ["a service's key at the tenant's host", () => service, { defaultAuthority: "acme.flags.example.com" }],
  ] as [string, () => string, object?][])(
    "is known by %s, and gets values of every kind, none of them to be kept",
    async (_, selector, more) => {
      await Server.setProviderAndWait(rpc(selector(), more));
      const found = await details(Server.getClient());
      expect(found).toMatchObject({
        plain: { value: false, variant: "off", reason: "DEFAULT", flagMetadata: { scope: "acme" } },
        tiered: { value: true, variant: "on", reason: "TARGETING_MATCH" },
        text: { value: "grüße", variant: "only" },
        number: { value: 2.5 },
        object: { value: { a: [1, { b: null }] } },
        nothing: { value: true, reason: "DEFAULT" },
        missing: { value: true, errorCode: "FLAG_NOT_FOUND" },
        mistyped: { value: "mine", errorCode: "TYPE_MISMATCH" },
      });
      expect(JSON.stringify(found)).not.toMatch(/tpk_|STATIC/);
    },
  );

  it("sees a change at once, and off variants of a suspended tenant within a second", async () => {
    await Server.setProviderAndWait(rpc(`blue:${service}`));
    const client = Server.getClient();
    expect(await client.getBooleanValue("plain", true)).toBe(false);
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("on") } });
    await expect.poll(() => client.getBooleanValue("plain", false), { timeout: 1_000 }).toBe(true);
    await app.admin.tenants.suspendTenant({ name: "tenants/blue", suspension: Suspension_Reason.POLICY });
    await expect
      .poll(() => client.getBooleanDetails("plain", true), { timeout: 1_000 })
      .toMatchObject({ value: false, variant: "off", reason: "DISABLED" });
    await app.admin.tenants.resumeTenant({ name: "tenants/blue", suspension: Suspension_Reason.POLICY });
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("off") } });
  });

  it.each([
    ["no key", () => ""],
    ["a made-up key", () => `tpk_${"0".repeat(16)}_${"0".repeat(64)}`],
    ["a key of another tenant", () => `blue:${acme}`],
    ["a service's key without a tenant", () => service],
    ["another kind of selector", () => `somebody=${acme}`],
  ])("gets its own defaults with %s, and no word of the key", async (_, selector) => {
    await Server.setProviderAndWait(rpc(selector()));
    const found = await Server.getClient().getBooleanDetails("plain", true);
    expect([found.value, found.reason]).toEqual([true, Reasons.ERROR]);
    expect(JSON.stringify(found)).not.toMatch(/tpk_/);
  });

  it("comes back to a node that was started anew", async () => {
    const other = await createDatabase();
    const first = await startTestApp(other);
    await first.admin.flags.createFlag({ flagId: "plain", flag: { ...BOOLEAN_FLAG, clientVisible: true } });
    await first.admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro" } });
    const tenant = { displayName: "T", plan: "plans/pro" };
    await first.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
    await Server.setProviderAndWait(rpc(`acme:${first.adminKey}`, { port: first.grpcPort }));
    const client = Server.getClient();
    expect((await client.getBooleanDetails("plain", true)).variant).toBe("off");
    await first.stop();
    const { grpcPort } = first;
    const second = await startTestApp(other, { settings: { GRPC_PORT: String(grpcPort) } });
    await expect
      .poll(async () => (await client.getBooleanDetails("plain", true)).variant, { timeout: 10_000 })
      .toBe("off");
    await Server.close();
    await second.stop();
    await other.drop();
  });

  it("is refused within a second once its key is revoked", async () => {
    const secret = await keyOf("client", "tenants/acme");
    await Server.setProviderAndWait(rpc(secret));
    const client = Server.getClient();
    expect((await client.getBooleanDetails("plain", true)).variant).toBe("off");
    const [, keyId = ""] = secret.split("_");
    await app.admin.access.revokeApiKey({ name: `apiKeys/${keyId}` });
    await expect
      .poll(async () => (await client.getBooleanDetails("plain", true)).reason, { timeout: 1_000 })
      .toBe(Reasons.ERROR);
  });
});

const web = (key: string, more = {}) =>
  new FlagdWebProvider({
    // It takes its own leave for an error, and would come back.
    ...{ host: "127.0.0.1", port: app.httpPort, tls: false, maxRetries: -1 },
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        for (const [name, value] of Object.entries(more)) request.header.set(name, String(value));
        return next(request);
      },
    ],
  });

describe("flagd's provider for browsers", () => {
  it.each([
    ["a tenant's key", () => [acme, {}] as const],
    ["a service's key and the tenant in a header", () => [service, { "x-tenantplane-tenant": "acme" }] as const],
  ])("gets all values with %s, and hears of changes", async (_, credentials) => {
    await Web.setContext({ tier: "gold" });
    const provider = web(...credentials());
    await Web.setProviderAndWait(provider);
    const client = Web.getClient();
    expect([
      client.getBooleanDetails("plain", true),
      client.getBooleanValue("tiered", false),
      client.getStringValue("text", "-"),
      client.getNumberValue("number", 0),
      client.getObjectValue("object", {}),
      client.getBooleanDetails("nothing", true).errorCode,
      client.getStringDetails("plain", "mine").errorCode,
    ]).toMatchObject([
      { value: false, variant: "off", reason: "STATIC" },
      true,
      "grüße",
      2.5,
      { a: [1, { b: null }] },
      "FLAG_NOT_FOUND",
      "TYPE_MISMATCH",
    ]);
    const changed = new Promise((resolve) => client.addHandler(WebEvents.ConfigurationChanged, resolve));
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("on") } });
    await changed;
    expect(client.getBooleanValue("plain", false)).toBe(true);
    await Web.setContext({ tier: "tin" });
    expect(client.getBooleanValue("tiered", true)).toBe(false);
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("off") } });
    await expect.poll(() => client.getBooleanValue("plain", true)).toBe(false);
    await provider.onClose();
  });

  it("is shown no flag that is not for clients", async () => {
    const provider = web(acme);
    await Web.setProviderAndWait(provider);
    expect(Web.getClient().getBooleanDetails("hidden", true).errorCode).toBe("FLAG_NOT_FOUND");
    await provider.onClose();
  });
});

const url = () => `http://127.0.0.1:${app.httpPort}`;

describe("OFREP's provider for servers", () => {
  it.each([
    ["a bearer", () => ({ authorization: `Bearer ${acme}` })],
    ["an API key", () => ({ "x-api-key": acme })],
    ["a selector", () => ({ "flagd-selector": `flagSetId=${acme}` })],
    ["a service's key and a tenant", () => ({ "x-api-key": service, "x-tenantplane-tenant": "tenants/acme" })],
    ["a service's key and a selected tenant", () => ({ "x-api-key": service, "flagd-selector": "flagSetId=acme" })],
  ])("gets values of every kind with %s", async (_, headers) => {
    await Server.setProviderAndWait(new OFREPProvider({ baseUrl: url(), headers: Object.entries(headers()) as never }));
    const found = await details(Server.getClient());
    expect(found).toMatchObject({
      plain: { value: false, variant: "off", reason: "STATIC", flagMetadata: { scope: "acme" } },
      tiered: { value: true, variant: "on", reason: "TARGETING_MATCH" },
      text: { value: "grüße", variant: "only", reason: "TARGETING_MATCH" },
      number: { value: 2.5 },
      object: { value: { a: [1, { b: null }] } },
      nothing: { value: true },
      missing: { value: true, errorCode: "FLAG_NOT_FOUND" },
      mistyped: { value: "mine", errorCode: "TYPE_MISMATCH" },
    });
    expect(JSON.stringify(found)).not.toMatch(/tpk_/);
  });
});

describe("OFREP's provider for browsers", () => {
  // Its types are of before `exactOptionalPropertyTypes`.
  const ofrep = (key: string, fetchImplementation: typeof fetch = fetch) =>
    new OFREPWebProvider({
      ...{ baseUrl: url(), fetchImplementation, cacheMode: "disabled" },
      headers: [["x-api-key", key]],
    }) as WebProvider;

  it("gets all values, asks with its tag, and gets others for another context", async () => {
    const statuses: number[] = [];
    const counting: typeof fetch = async (...input) => {
      const answer = await fetch(...input);
      statuses.push(answer.status);
      return answer;
    };
    await Web.setContext({ targetingKey: "u1", tier: "gold" });
    await Web.setProviderAndWait(ofrep(acme, counting));
    const client = Web.getClient();
    const read = () => [client.getBooleanValue("tiered", false), client.getBooleanDetails("plain", true).reason];
    expect(read()).toEqual([true, "STATIC"]);
    await Web.setContext({ targetingKey: "u1", tier: "gold" });
    expect(read()).toEqual([true, "STATIC"]);
    // The provider sends its old tag along when another attribute than the targeting key has changed.
    await Web.setContext({ targetingKey: "u1", tier: "tin" });
    expect(read()).toEqual([false, "STATIC"]);
    // Its stream makes it ask once more when it opens.
    expect(statuses.filter((status) => status === 200)).toHaveLength(2);
    expect(statuses).toContain(304);
  });

  it("hears of a change, asks anew, and is told no more when its key is revoked", async () => {
    const secret = await keyOf("client", "tenants/acme");
    await Web.setProviderAndWait(ofrep(secret));
    const client = Web.getClient();
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("on") } });
    await expect.poll(() => client.getBooleanValue("plain", false), { timeout: 1_000 }).toBe(true);
    await app.admin.flags.updateFlag({ flag: { name: "flags/plain", defaultServe: serving("off") } });
    const stale = new Promise((resolve) => client.addHandler(WebEvents.Stale, resolve));
    await app.admin.access.revokeApiKey({ name: `apiKeys/${secret.split("_")[1]}` });
    await stale;
  });

  it("fails for good when it may not ask", async () => {
    await expect(Web.setProviderAndWait(ofrep("nonsense"))).rejects.toThrow();
    expect(Web.getClient().providerStatus).toBe("FATAL");
  });
});
