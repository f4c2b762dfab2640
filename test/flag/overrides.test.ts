import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Clients, createDatabase, createFakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG, serving } from "../support/flags.ts";
import { until } from "../support/until.ts";

const clock = createFakeClock(Date.UTC(2026, 0, 1));
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let acmeAdmin: Clients;
let acmeViewer: Clients;
let acmeClient: Clients;
let north: Clients;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { clock });
  const { admin } = app;
  const entitlements = { sso: { value: { case: "boolValue" as const, value: true } } };
  await admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro", entitlements } });
  await admin.plans.createPlan({ planId: "free", plan: { displayName: "Free" } });
  await admin.integrators.createIntegrator({ integratorId: "north", integrator: { displayName: "N" } });
  const tenant = { displayName: "A", plan: "plans/pro", integrator: "integrators/north" };
  await admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
  await admin.tenants.createTenant({
    tenantId: "blue",
    tenant: { displayName: "B", plan: "plans/free" },
    activate: true,
  });
  const keyOf = async (role: string, scope: string) => {
    const { secret } = await admin.access.createApiKey({ apiKey: { displayName: "k", role, scope } });
    return app.clients(secret);
  };
  acmeAdmin = await keyOf("tenant.admin", "tenants/acme");
  acmeViewer = await keyOf("tenant.viewer", "tenants/acme");
  acmeClient = await keyOf("client", "tenants/acme");
  north = await keyOf("integrator.admin", "integrators/north");
  await admin.flags.createFlag({ flagId: "theirs", flag: { ...BOOLEAN_FLAG, tenantOverridable: true, owner: "us" } });
  await admin.flags.createFlag({ flagId: "ours", flag: BOOLEAN_FLAG });
  await admin.flags.createFlag({ flagId: "shown", flag: { ...BOOLEAN_FLAG, clientVisible: true } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const ON = { serve: serving("on") };

describe("an override", () => {
  it("is what its tenant gets, and nobody else", async () => {
    const made = await app.admin.flags.createFlagOverride({
      parent: "tenants/acme",
      flagOverrideId: "ours",
      flagOverride: { ...ON, reason: "pilot" },
    });
    const variantFor = async (tenant: string) => {
      const request = { tenant, flag: "flags/ours", minRevision: made.revision };
      return (await app.admin.flags.evaluateFlag(request)).evaluation?.variant;
    };
    expect([await variantFor("tenants/acme"), await variantFor("tenants/blue")]).toEqual(["on", "off"]);
    const { entries } = await app.admin.audit.listAuditEntries({
      filter: 'resource = "tenants/acme/flagOverrides/ours"',
    });
    const told = entries.flatMap(({ changes }) => changes.map(({ field }) => field));
    expect(told).toEqual(expect.arrayContaining(["serve", "reason", "writer"]));
    const { flagOverrides } = await app.admin.flags.listFlagOverrides({ flag: "flags/ours" });
    expect(flagOverrides.map(({ name, reason }) => [name, reason])).toEqual([
      ["tenants/acme/flagOverrides/ours", "pilot"],
    ]);
    await app.admin.flags.deleteFlagOverride({ name: "tenants/acme/flagOverrides/ours" });
    await expect.poll(() => variantFor("tenants/acme")).toBe("off");
  });

  it("is written by a tenant and its integrator where the flag allows it, and by nobody else", async () => {
    const create = (clients: Clients, tenant: string, flag: string) =>
      clients.flags.createFlagOverride({ parent: `tenants/${tenant}`, flagOverrideId: flag, flagOverride: ON });
    await create(acmeAdmin, "acme", "theirs");
    await acmeAdmin.flags.deleteFlagOverride({ name: "tenants/acme/flagOverrides/theirs" });
    await create(north, "acme", "theirs");
    const refusals = await Promise.all(
      [
        create(acmeAdmin, "acme", "ours"),
        create(acmeAdmin, "acme", "nothing-there"),
        create(acmeAdmin, "blue", "theirs"),
        create(north, "blue", "theirs"),
        create(acmeViewer, "acme", "theirs"),
      ].map((call) => refusal(call).then(({ reason }) => reason)),
    );
    // One that may not be overridden looks like one that is not there.
    expect(refusals).toEqual([
      "RESOURCE_NOT_FOUND",
      "RESOURCE_NOT_FOUND",
      "PERMISSION_DENIED",
      "PERMISSION_DENIED",
      "PERMISSION_DENIED",
    ]);
    const logic = { serve: { serve: { case: "logic" as const, value: '{"if":[true,"on"]}' } } };
    const name = "tenants/acme/flagOverrides/theirs";
    const tried = await refusal(acmeAdmin.flags.updateFlagOverride({ flagOverride: { name, ...logic } }));
    expect(tried.fields).toEqual(["flag_override.serve.logic"]);
    await app.admin.flags.updateFlagOverride({ flagOverride: { name, ...logic } });
  });

  it("must serve what the flag has, in a tenant that is there", async () => {
    const create = (tenant: string, flagOverride: object) =>
      refusal(
        app.admin.flags.createFlagOverride({ parent: `tenants/${tenant}`, flagOverrideId: "shown", flagOverride }),
      );
    expect((await create("blue", { serve: serving("gone") })).fields).toEqual(["flag_override.serve"]);
    expect((await create("blue", {})).fields).toEqual(["flag_override.serve"]);
    const segment = { serve: { case: "logic" as const, value: '{"if":[{"$ref":"none"},"on","off"]}' } };
    expect((await create("blue", { serve: segment })).code).toBe("InvalidArgument");
    expect((await create("blue", { ...ON, expireTime: { seconds: 1n, nanos: 0 } })).fields).toEqual([
      "flag_override.expire_time",
    ]);
    expect((await create("nothing-there", ON)).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("ends by itself when its time is over", async () => {
    const seconds = BigInt(clock.now() / 1_000 + 60);
    const name = "tenants/blue/flagOverrides/shown";
    const flagOverride = { ...ON, expireTime: { seconds, nanos: 0 } };
    await app.admin.flags.createFlagOverride({ parent: "tenants/blue", flagOverrideId: "shown", flagOverride });
    await app.tick();
    await app.admin.flags.getFlagOverride({ name });
    clock.advance(61_000);
    await app.tick();
    expect((await refusal(app.admin.flags.getFlagOverride({ name }))).reason).toBe("RESOURCE_NOT_FOUND");
    const { entries } = await app.admin.audit.listAuditEntries({
      filter: `resource = "${name}" AND actor = "system/expiry"`,
    });
    expect(entries).toHaveLength(1);
  });

  it("goes with its tenant", async () => {
    const tenant = { displayName: "G", plan: "plans/free" };
    await app.admin.tenants.createTenant({ tenantId: "gone", tenant, activate: true });
    await app.admin.flags.createFlagOverride({ parent: "tenants/gone", flagOverrideId: "ours", flagOverride: ON });
    await app.admin.tenants.deleteTenant({ name: "tenants/gone", retention: { seconds: 0n, nanos: 0 } });
    await app.tick();
    await app.admin.tenants.createTenant({ tenantId: "gone", tenant, activate: true });
    const { flagOverrides } = await app.admin.flags.listFlagOverrides({ flag: "flags/ours" });
    expect(flagOverrides).toEqual([]);
    // A new tenant is known as soon as the log has it.
    const evaluate = () => app.admin.flags.evaluateFlag({ tenant: "tenants/gone", flag: "flags/ours" });
    await until(() => evaluate().then(Boolean, () => false));
    expect((await evaluate()).evaluation?.variant).toBe("off");
  });
});

describe("who sees what", () => {
  it("tenants and integrators see the flags that they may override, without rules and notes", async () => {
    for (const clients of [acmeAdmin, acmeViewer, north]) {
      const { flags } = await clients.flags.listFlags({});
      expect(flags.map(({ name }) => name)).toEqual(["flags/theirs"]);
      const { flag } = await clients.flags.getFlag({ name: "flags/theirs" });
      expect([flag?.variants, flag?.owner, flag?.salt, flag?.etag]).toEqual([{ on: true, off: false }, "", "", ""]);
      expect((await refusal(clients.flags.getFlag({ name: "flags/ours" }))).reason).toBe("RESOURCE_NOT_FOUND");
      expect((await refusal(clients.flags.listFlags({ filter: 'owner = "us"' }))).fields).toEqual(["filter"]);
    }
  });

  it("clients evaluate what is for them, tenants also what they may override, the platform everything", async () => {
    const seenBy = async (clients: Clients) => {
      const { evaluations } = await clients.flags.evaluateAllFlags({ tenant: "tenants/acme" });
      return evaluations.map(({ flag }) => flag);
    };
    expect(await seenBy(acmeClient)).toEqual(["flags/shown"]);
    expect(await seenBy(acmeViewer)).toEqual(["flags/shown", "flags/theirs"]);
    expect(await seenBy(north)).toEqual(["flags/shown", "flags/theirs"]);
    expect(await seenBy(app.admin)).toEqual(["flags/ours", "flags/shown", "flags/theirs"]);
    const hidden = await acmeClient.flags.evaluateFlag({ tenant: "tenants/acme", flag: "flags/ours" });
    const missing = await acmeClient.flags.evaluateFlag({ tenant: "tenants/acme", flag: "flags/nothing" });
    const errors = [hidden, missing].map(({ evaluation }) => [
      evaluation?.errorCode,
      evaluation?.errorMessage.replace(/".*"/, ""),
    ]);
    expect(errors).toEqual([
      ["FLAG_NOT_FOUND", "There is no flag "],
      ["FLAG_NOT_FOUND", "There is no flag "],
    ]);
    for (const clients of [acmeClient, acmeViewer, north]) {
      expect((await refusal(clients.flags.evaluateFlag({ tenant: "tenants/blue", flag: "flags/shown" }))).reason).toBe(
        "PERMISSION_DENIED",
      );
      expect((await refusal(clients.flags.explainFlag({ tenant: "tenants/acme", flag: "flags/shown" }))).reason).toBe(
        "PERMISSION_DENIED",
      );
      const watch = clients.flags.watchFlags({})[Symbol.asyncIterator]().next();
      expect((await refusal(watch)).reason).toBe("PERMISSION_DENIED");
    }
  });

  it("a batch tells nothing of tenants that are not the caller's", async () => {
    const requests = ["acme", "blue", "nothing"].map((id) => ({ tenant: `tenants/${id}`, flag: "flags/shown" }));
    const { evaluations } = await acmeClient.flags.batchEvaluateFlags({ requests });
    expect(evaluations.map(({ variant, errorCode, errorMessage }) => [variant, errorCode, errorMessage])).toEqual([
      ["off", "", ""],
      ["", "INVALID_CONTEXT", "There is no such tenant"],
      ["", "INVALID_CONTEXT", "There is no such tenant"],
    ]);
  });
});
