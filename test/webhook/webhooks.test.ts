import { createPublicKey, randomUUID, verify } from "node:crypto";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { WebhookDelivery_State, WebhookEndpoint_DisableReason } from "@tenantplane/sdk/gen/tenantplane/v1/webhook_pb";
import postgres from "postgres";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createDatabase, createFakeClock, type FakeClock, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { until } from "../support/until.ts";

const DAY_MS = 86_400_000;
let database: { url: string; drop(): Promise<void> };
let app: TestApp;
let clock: FakeClock;
let receiver: Receiver;

beforeAll(async () => {
  database = await createDatabase();
  clock = createFakeClock(Date.now());
  app = await startTestApp(database, { clock, settings: { ALLOW_PRIVATE_ADDRESSES: "on" } });
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  for (const integratorId of ["north", "south"]) {
    await app.admin.integrators.createIntegrator({ integratorId, integrator: { displayName: integratorId } });
  }
});
afterAll(async () => {
  await app?.stop();
  await database?.drop();
});
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  const { webhookEndpoints } = await app.admin.webhooks.listWebhookEndpoints({});
  for (const { name } of webhookEndpoints) await app.admin.webhooks.deleteWebhookEndpoint({ name });
  await receiver.stop();
});

async function endpoint(fields: object = {}) {
  const webhookEndpoint = { url: receiver.url, scope: "platform", eventTypes: ["tenant.*"], ...fields };
  const made = await app.admin.webhooks.createWebhookEndpoint({ webhookEndpoint });
  return { name: made.webhookEndpoint?.name ?? "", secret: made.secret, endpoint: made.webhookEndpoint };
}

async function tenant(integrator = "") {
  const tenantId = `t-${randomUUID().slice(0, 8)}`;
  const fields = { displayName: "T", plan: "plans/basic", integrator };
  await app.admin.tenants.createTenant({ tenantId, tenant: fields, activate: true });
  return `tenants/${tenantId}`;
}

async function keyFor(role: string, scope: string) {
  const apiKey = { displayName: "k", role, scope };
  return app.clients((await app.admin.access.createApiKey({ apiKey })).secret);
}

const types = () => receiver.received.map(({ body }) => (JSON.parse(body) as { type: string }).type);

describe("webhooks", () => {
  it("tell of a tenant's life, once each, verifiable by the reference library", async () => {
    const { secret } = await endpoint();
    const name = await tenant();
    await app.admin.tenants.suspendTenant({ name, suspension: Suspension_Reason.BILLING });
    await app.admin.tenants.resumeTenant({ name, suspension: Suspension_Reason.BILLING });
    await app.admin.tenants.archiveTenant({ name });
    await app.admin.tenants.unarchiveTenant({ name });
    await app.admin.tenants.deleteTenant({ name });
    await app.admin.tenants.undeleteTenant({ name });
    await until(() => receiver.received.length >= 7);
    expect(types().sort()).toEqual(
      ["created", "suspended", "resumed", "archived", "unarchived", "deleted", "undeleted"]
        .map((verb) => `tenant.${verb}`)
        .sort(),
    );
    const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
    expect(new Set(ids).size).toBe(ids.length);
    const [first] = receiver.received;
    // The library refuses timestamps that are not of now; the node's clock stands where the suite put it.
    const event = new Webhook(secret).verify(first?.body ?? "", first?.headers as Record<string, string>) as {
      data: Record<string, unknown>;
    };
    expect(event.data.resource).toBe(name);
    const forged = { ...(first?.headers as Record<string, string>), "webhook-id": "evt_other" };
    expect(() => new Webhook(secret).verify(first?.body ?? "", forged)).toThrow();
  });

  it("reach an integrator and a tenant for what is theirs alone, and never before their permission", async () => {
    const mine = await tenant("integrators/north");
    const other = await tenant("integrators/south");
    clock.advance(1);
    await endpoint({ scope: "integrators/north" });
    await endpoint({ scope: mine });
    for (const name of [mine, other]) await app.admin.tenants.archiveTenant({ name });
    await until(() => receiver.received.length >= 2);
    await app.tick();
    expect(receiver.received.map(({ body }) => JSON.parse(body).data.resource)).toEqual([mine, mine]);
    const stranger = await keyFor("integrator.admin", "integrators/south");
    const webhookEndpoint = { url: receiver.url, scope: mine };
    expect((await refusal(stranger.webhooks.createWebhookEndpoint({ webhookEndpoint }))).reason).toBe(
      "PERMISSION_DENIED",
    );
    const nowhere = { url: receiver.url, scope: "tenants/no-such-tenant" };
    expect((await refusal(stranger.webhooks.createWebhookEndpoint({ webhookEndpoint: nowhere }))).reason).toBe(
      "PERMISSION_DENIED",
    );
    expect((await stranger.webhooks.listWebhookEndpoints({})).webhookEndpoints).toEqual([]);
    const [own] = (await app.admin.webhooks.listWebhookEndpoints({})).webhookEndpoints;
    expect((await refusal(stranger.webhooks.getWebhookEndpoint({ name: own?.name ?? "" }))).reason).toBe(
      "RESOURCE_NOT_FOUND",
    );
  });

  it("are tried again on the schedule, under the same id, until they are delivered", async () => {
    const { name } = await endpoint();
    receiver.answer = { status: 503, body: "not now\u0000" };
    await tenant();
    await until(() => receiver.received.length === 1);
    const deliveries = async () => (await app.admin.webhooks.listWebhookDeliveries({ parent: name })).deliveries;
    await until(async () => (await deliveries())[0]?.attemptCount === 1 && (await full()).attempts.length === 1);
    async function full() {
      const [first] = await deliveries();
      const read = await app.admin.webhooks.getWebhookDelivery({ name: first?.name ?? "" });
      if (!read.delivery) throw new Error("no delivery");
      return read.delivery;
    }
    expect((await full()).attempts[0]).toMatchObject({ statusCode: 503, error: "not now" });
    await app.tick();
    expect(receiver.received.length).toBe(1);
    receiver.answer = { status: 200 };
    clock.advance(7_000);
    await app.tick();
    await until(async () => (await full()).state === WebhookDelivery_State.DELIVERED);
    expect(receiver.received.length).toBe(2);
    const [a, b] = receiver.received;
    expect(a?.headers["webhook-id"]).toBe(b?.headers["webhook-id"]);
    expect(a?.body).toBe(b?.body);
    expect((await full()).attempts.map(({ statusCode }) => statusCode)).toEqual([200, 503]);
  });

  it("stop for an endpoint that is gone, and go on from there when it is enabled again", async () => {
    const { name } = await endpoint();
    receiver.answer = { status: 410 };
    await tenant();
    const read = async () => (await app.admin.webhooks.getWebhookEndpoint({ name })).webhookEndpoint;
    await until(async () => (await read())?.disabled === true);
    expect((await read())?.disableReason).toBe(WebhookEndpoint_DisableReason.GONE);
    await tenant();
    await app.tick();
    expect(receiver.received.length).toBe(1);
    const audit = await app.admin.audit.listAuditEntries({ filter: `resource = "${name}"` });
    expect(audit.entries[0]).toMatchObject({ actor: "system/webhooks", method: "sendWebhooks" });
    receiver.answer = { status: 204 };
    const webhookEndpoint = { name, disabled: false };
    await app.admin.webhooks.updateWebhookEndpoint({ webhookEndpoint, updateMask: { paths: ["disabled"] } });
    await until(() => receiver.received.length === 3);
    expect(await read()).toMatchObject({ disabled: false, disableReason: 0 });
  });

  it("stop for an endpoint that has failed for five days", async () => {
    const { name } = await endpoint();
    receiver.answer = { status: 500 };
    await tenant();
    await until(() => receiver.received.length === 1);
    const read = async () => (await app.admin.webhooks.getWebhookEndpoint({ name })).webhookEndpoint;
    await until(async () => (await read())?.failingSinceTime !== undefined);
    clock.advance(5 * DAY_MS);
    await tenant();
    await until(async () => (await read())?.disableReason === WebhookEndpoint_DisableReason.FAILING);
  });

  it("are signed with both secrets during a rotation, and with the new one alone after it", async () => {
    const { name, secret } = await endpoint();
    const overlap = { seconds: 60n, nanos: 0 };
    const rotated = await app.admin.webhooks.rotateWebhookSecret({ name, overlap });
    await app.admin.webhooks.pingWebhookEndpoint({ name });
    await until(() => receiver.received.length === 1);
    const [during] = receiver.received;
    expect(String(during?.headers["webhook-signature"]).split(" ").length).toBe(2);
    clock.advance(61_000);
    await app.admin.webhooks.pingWebhookEndpoint({ name });
    await until(() => receiver.received.length === 2);
    const signature = String(receiver.received[1]?.headers["webhook-signature"]);
    const verifyWith = (key: string, at: Receiver["received"][number] | undefined) =>
      new Webhook(key).sign(
        String(at?.headers["webhook-id"]),
        new Date(Number(at?.headers["webhook-timestamp"]) * 1_000),
        at?.body ?? "",
      );
    expect(signature).toBe(verifyWith(rotated.secret, receiver.received[1]));
    const both = [rotated.secret, secret].map((key) => verifyWith(key, during)).join(" ");
    expect(during?.headers["webhook-signature"]).toBe(both);
  });

  it("can be signed by a key pair, of which the receiver knows the public half", async () => {
    const made = await endpoint({ signing: 2 });
    expect(made.secret).toBe("");
    await app.admin.webhooks.pingWebhookEndpoint({ name: made.name });
    await until(() => receiver.received.length === 1);
    const [{ headers, body } = { headers: {}, body: "" }] = receiver.received;
    const raw = Buffer.from((made.endpoint?.publicKey ?? "").replace("whpk_", ""), "base64");
    const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    const [version, signature = ""] = String(headers["webhook-signature"]).split(",");
    expect(version).toBe("v1a");
    const text = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
    expect(verify(null, Buffer.from(text), key, Buffer.from(signature, "base64"))).toBe(true);
  });

  it("can be sent again, under the same id", async () => {
    const { name } = await endpoint();
    await app.admin.webhooks.pingWebhookEndpoint({ name });
    await until(() => receiver.received.length === 1);
    const [first] = (await app.admin.webhooks.listWebhookDeliveries({ parent: name })).deliveries;
    await until(async () => {
      const { delivery } = await app.admin.webhooks.getWebhookDelivery({ name: first?.name ?? "" });
      return delivery?.state === WebhookDelivery_State.DELIVERED;
    });
    await app.admin.webhooks.replayWebhookDelivery({ name: first?.name ?? "" });
    await until(() => receiver.received.length === 2);
    expect(receiver.received[0]?.headers["webhook-id"]).toBe(receiver.received[1]?.headers["webhook-id"]);
  });

  it("leave no secret in the audit log, nor in the clear in the database", async () => {
    const { name, secret } = await endpoint();
    const rotated = await app.admin.webhooks.rotateWebhookSecret({ name });
    const sql = postgres(database.url, { max: 1 });
    const rows = await sql`select to_jsonb(t)::text as text from (
      select changes::text from audit_entry union all select after::text from change
      union all select secret from webhook_endpoint union all select previous_secret from webhook_endpoint) t`;
    await sql.end();
    for (const value of [secret, rotated.secret]) {
      const bare = value.replace("whsec_", "");
      expect(rows.filter(({ text }) => String(text).includes(bare))).toEqual([]);
    }
  });

  it("refuse what can't be an endpoint, with every bad field named, and no more than twenty of a scope", async () => {
    const bad = {
      url: "ftp://x",
      scope: "platform",
      eventTypes: ["tenant.created", "Tenant.*", "*"],
      description: "x".repeat(201),
    };
    const refused = await refusal(app.admin.webhooks.createWebhookEndpoint({ webhookEndpoint: bad }));
    expect(refused.fields).toEqual([
      "webhook_endpoint.url",
      "webhook_endpoint.description",
      "webhook_endpoint.event_types[1]",
      "webhook_endpoint.event_types[2]",
    ]);
    for (let i = 0; i < 20; i += 1) await endpoint();
    const webhookEndpoint = { url: receiver.url, scope: "platform" };
    expect((await refusal(app.admin.webhooks.createWebhookEndpoint({ webhookEndpoint }))).reason).toBe("TOO_MANY");
  });
});

describe("a node that dies in the middle", () => {
  it("loses no delivery and makes none twice: the change and its deliveries are one step", async () => {
    await endpoint();
    const sql = postgres(database.url, { max: 1 });
    // As a node leaves it that died after the first of two steps: taken, and never finished.
    const name = await tenant();
    await until(() => receiver.received.length === 1);
    await sql`update webhook_delivery set state = 'PENDING', delivered_at = null, attempt_count = attempt_count + 1,
      next_attempt_at = ${new Date(clock.now() + 60_000).toISOString()} where resource = ${name}`;
    await app.tick();
    expect(receiver.received.length).toBe(1);
    clock.advance(61_000);
    await app.tick();
    await until(() => receiver.received.length === 2);
    // And one whose cursor did not get to move: the same changes make no second delivery.
    const [before] = await sql`select count(*)::int as n from webhook_delivery`;
    await sql`update webhook_cursor set xid = '3', seq = 0`;
    await app.tick();
    const [after] = await sql`select count(*)::int as n from webhook_delivery `;
    await sql.end();
    expect(after?.n).toBe(before?.n);
    await app.tick();
    const ids = receiver.received.filter(({ body }) => body.includes(name)).map(({ headers }) => headers["webhook-id"]);
    expect(new Set(ids).size).toBe(1);
  });
});
