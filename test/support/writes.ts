import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { Meter_Kind } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { UsageService } from "@tenantplane/sdk/gen/tenantplane/v1/usage_pb";
import type { Clients } from "./app.ts";
import { FLAG_WRITES } from "./flag-writes.ts";

/** A request of a writing RPC that the server will carry out, each time another one. */
export interface Write {
  readonly request: object;
  /** The same with other contents: with the first one's request id it must be refused. */
  readonly other: object;
}

/**
 * How to make a request of each writing RPC. A new RPC needs a line here: the walk in test/writes.test.ts then tries its
 * request ids, its etag and its dry run.
 */
export const WRITES: Readonly<Record<string, (admin: Clients, n: number) => Promise<Write>>> = {
  ...FLAG_WRITES,
  "TenantService.CreateTenant": async (_, n) =>
    varied(
      { tenantId: `made-${n}`, tenant: TENANT, activate: true, adminEmail: "a@b.org" },
      { tenantId: `other-${n}` },
    ),
  "TenantService.UpdateTenant": async (admin, n) => {
    const tenant = { name: await tenantOf(admin, n), displayName: "New", labels: { b: "2", a: "1" } };
    return varied({ tenant }, { tenant: { ...tenant, displayName: "Other" } });
  },
  "TenantService.ActivateTenant": (admin, n) => step(admin, n, { activate: false }),
  "TenantService.SuspendTenant": (admin, n) => step(admin, n, { request: { suspension: Suspension_Reason.BILLING } }),
  "TenantService.ResumeTenant": (admin, n) =>
    step(admin, n, {
      request: { suspension: Suspension_Reason.BILLING },
      before: (name) => admin.tenants.suspendTenant({ name, suspension: Suspension_Reason.BILLING }),
    }),
  "TenantService.ArchiveTenant": (admin, n) => step(admin, n, {}),
  "TenantService.UnarchiveTenant": (admin, n) =>
    step(admin, n, { before: (name) => admin.tenants.archiveTenant({ name }) }),
  "TenantService.DeleteTenant": (admin, n) => step(admin, n, { request: { allowMissing: true } }),
  "TenantService.UndeleteTenant": (admin, n) =>
    step(admin, n, { before: (name) => admin.tenants.deleteTenant({ name }) }),
  "TenantService.PlaceLegalHold": (admin, n) => step(admin, n, { request: { holdId: "case" } }),
  "TenantService.ReleaseLegalHold": (admin, n) =>
    step(admin, n, {
      request: { holdId: "case" },
      before: (name) => admin.tenants.placeLegalHold({ name, holdId: "case" }),
    }),
  "PlanService.CreatePlan": async (_, n) =>
    varied({ planId: `plan-${n}`, plan: { displayName: "P" } }, { planId: `other-${n}` }),
  "PlanService.UpdatePlan": async (admin, n) => {
    const plan = { name: await planOf(admin, n), displayName: "New" };
    return varied({ plan }, { plan: { ...plan, displayName: "Other" } });
  },
  "PlanService.DeletePlan": async (admin, n) => varied({ name: await planOf(admin, n) }, { allowMissing: true }),
  "IntegratorService.CreateIntegrator": async (_, n) =>
    varied({ integratorId: `partner-${n}`, integrator: { displayName: "I" } }, { integratorId: `other-${n}` }),
  "IntegratorService.UpdateIntegrator": async (admin, n) => {
    const integrator = { name: await integratorOf(admin, n), displayName: "New" };
    return varied({ integrator }, { integrator: { ...integrator, displayName: "Other" } });
  },
  "IntegratorService.DeleteIntegrator": async (admin, n) =>
    varied({ name: await integratorOf(admin, n) }, { allowMissing: true }),
  "UserService.CreateUser": async (admin, n) => {
    const user = { email: "b@c.org", role: "tenant.viewer" };
    return varied({ parent: await tenantOf(admin, n), user }, { user: { ...user, email: "c@d.org" } });
  },
  "UserService.UpdateUser": async (admin, n) => {
    const user = { name: await userOf(admin, n), displayName: "New" };
    return varied({ user }, { user: { ...user, displayName: "Other" } });
  },
  "UserService.DeleteUser": async (admin, n) => varied({ name: await userOf(admin, n) }, { allowMissing: true }),
  "AccessService.CreateApiKey": async () => {
    const apiKey = { displayName: "k", role: "service", scope: "platform" };
    return varied({ apiKey }, { apiKey: { ...apiKey, displayName: "other" } });
  },
  "AccessService.RotateApiKey": async (admin) =>
    varied({ name: await keyOf(admin) }, { overlap: { seconds: 60n, nanos: 0 } }),
  "AccessService.RevokeApiKey": async (admin) => varied({ name: await keyOf(admin) }, { name: await keyOf(admin) }),
  "UsageService.VoidUsageEvent": async (admin, n) => {
    const parent = await tenantOf(admin, n);
    const [id, other] = [await eventOf(admin, parent), await eventOf(admin, parent)];
    return varied({ parent, source: "walk", id }, { id: other });
  },
  "UsageService.AmendUsageEvent": async (admin, n) => {
    const parent = await tenantOf(admin, n);
    const id = await eventOf(admin, parent);
    return varied({ parent, source: "walk", id, data: { v: 1 } }, { data: { v: 2 } });
  },
  "WebhookService.CreateWebhookEndpoint": async () => {
    const webhookEndpoint = { url: "https://example.com/hook", scope: "platform" };
    return varied({ webhookEndpoint }, { webhookEndpoint: { ...webhookEndpoint, description: "other" } });
  },
  "WebhookService.UpdateWebhookEndpoint": async (admin) => {
    const webhookEndpoint = { name: await endpointOf(admin), description: "new" };
    return varied({ webhookEndpoint }, { webhookEndpoint: { ...webhookEndpoint, description: "other" } });
  },
  "WebhookService.DeleteWebhookEndpoint": async (admin) =>
    varied({ name: await endpointOf(admin) }, { allowMissing: true }),
  "WebhookService.RotateWebhookSecret": async (admin) =>
    varied({ name: await endpointOf(admin) }, { overlap: { seconds: 60n, nanos: 0 } }),
  "WebhookService.PingWebhookEndpoint": async (admin) =>
    varied({ name: await endpointOf(admin) }, { name: await endpointOf(admin) }),
  "WebhookService.ReplayWebhookDelivery": async (admin) => {
    const name = async () =>
      (await admin.webhooks.pingWebhookEndpoint({ name: await endpointOf(admin) })).delivery?.name;
    return varied({ name: await name() }, { name: await name() });
  },
  "QuotaService.CreateMeter": async (_, n) => varied({ meterId: `walk.${n}`, meter: METER }, { meterId: `other.${n}` }),
  "QuotaService.UpdateMeter": async (admin, n) => {
    const meter = { name: await meterOf(admin, n), displayName: "New" };
    return varied({ meter }, { meter: { ...meter, displayName: "Other" } });
  },
  "QuotaService.DeleteMeter": async (admin, n) => varied({ name: await meterOf(admin, n) }, { allowMissing: true }),
  "QuotaService.CreateQuotaOverride": async (admin, n) => {
    const quotaOverride = { limit: SEATS, reason: "why" };
    return varied({ parent: await tenantOf(admin, n), quotaOverride }, { quotaOverrideId: "other" });
  },
  "QuotaService.UpdateQuotaOverride": async (admin, n) => {
    const quotaOverride = { name: await overrideOf(admin, n), reason: "new" };
    return varied({ quotaOverride }, { quotaOverride: { ...quotaOverride, reason: "other" } });
  },
  "QuotaService.DeleteQuotaOverride": async (admin, n) =>
    varied({ name: await overrideOf(admin, n) }, { allowMissing: true }),
  "QuotaService.CreateQuotaGrant": async (admin, n) => {
    const name = await overrideOf(admin, n);
    const quotaGrant = { limitId: "seats", amount: 5n, reason: "why" };
    return varied({ parent: name.split("/quota")[0], quotaGrant }, { quotaGrantId: "other" });
  },
  "QuotaService.VoidQuotaGrant": async (admin, n) => {
    const parent = (await overrideOf(admin, n)).split("/quota")[0] ?? "";
    const quotaGrant = { limitId: "seats", amount: 5n, reason: "why" };
    const made = await admin.quotas.createQuotaGrant({ parent, quotaGrant });
    return varied({ name: made.quotaGrant?.name, reason: "why" }, { reason: "other" });
  },
};

const HOT_PATH = "its ids and answers are kept in the hot state";

/** Writes that are safe to repeat by other means than a request id, which the walk leaves to their own tests. */
export const OTHERWISE_SAFE: Readonly<Record<string, string>> = {
  "UsageService.ReportUsage": "each event has an id of its own",
  "UsageService.StreamUsage": "each event has an id of its own",
  "QuotaService.CheckQuota": HOT_PATH,
  "QuotaService.BatchCheckQuota": HOT_PATH,
  "QuotaService.StreamQuotaChecks": HOT_PATH,
  "QuotaService.ReserveQuota": HOT_PATH,
  "QuotaService.CommitReservation": HOT_PATH,
  "QuotaService.CancelReservation": HOT_PATH,
  "QuotaService.ExtendReservation": HOT_PATH,
  "QuotaService.ReleaseQuota": HOT_PATH,
  "QuotaService.SetGauge": HOT_PATH,
  "QuotaService.AcquireLease": HOT_PATH,
  "QuotaService.RenewLease": "reports all that was ever spent",
  "QuotaService.ReturnLease": "reports all that was ever spent",
  "RateLimitService.ShouldRateLimit": "others have specified it, without request ids",
};

/** Answers that are given once and kept nowhere: their retry is refused. */
export const SECRET: ReadonlySet<string> = new Set([
  "AccessService.CreateApiKey",
  "AccessService.RotateApiKey",
  "WebhookService.CreateWebhookEndpoint",
  "WebhookService.RotateWebhookSecret",
]);

/** Counts: no resource is changed, and so the audit log has nothing to tell. */
export const COUNTS: ReadonlySet<string> = new Set(["FlagService.ReportFlagEvaluations"]);

const TENANT = { displayName: "T", plan: "plans/basic", labels: { a: "1", b: "2" } };
const METER = { displayName: "M", kind: Meter_Kind.PERIOD };
const SEATS = { meter: "seats", amount: 1_000n };

function varied(request: object, change: object): Write {
  return { request, other: { ...request, ...change } };
}

async function step(
  admin: Clients,
  n: number,
  options: { activate?: boolean; request?: object; before?: (name: string) => Promise<unknown> },
): Promise<Write> {
  const name = await tenantOf(admin, n, options.activate);
  await options.before?.(name);
  return varied({ name, reason: "why", ...options.request }, { reason: "other" });
}

async function tenantOf(admin: Clients, n: number, activate = true): Promise<string> {
  await admin.tenants.createTenant({ tenantId: `walk-${n}`, tenant: TENANT, activate });
  return `tenants/walk-${n}`;
}

async function planOf(admin: Clients, n: number): Promise<string> {
  await admin.plans.createPlan({ planId: `walk-${n}`, plan: { displayName: "P" } });
  return `plans/walk-${n}`;
}

async function integratorOf(admin: Clients, n: number): Promise<string> {
  await admin.integrators.createIntegrator({ integratorId: `walk-${n}`, integrator: { displayName: "I" } });
  return `integrators/walk-${n}`;
}

async function userOf(admin: Clients, n: number): Promise<string> {
  const parent = await tenantOf(admin, n);
  const { user } = await admin.users.createUser({ parent, user: { email: "u@v.org", role: "tenant.viewer" } });
  return user?.name ?? "";
}

async function meterOf(admin: Clients, n: number): Promise<string> {
  await admin.quotas.createMeter({ meterId: `walk.${n}`, meter: METER });
  return `meters/walk.${n}`;
}

async function overrideOf(admin: Clients, n: number): Promise<string> {
  const parent = await tenantOf(admin, n);
  const made = await admin.quotas.createQuotaOverride({ parent, quotaOverride: { limit: SEATS, reason: "why" } });
  return made.quotaOverride?.name ?? "";
}

async function keyOf(admin: Clients): Promise<string> {
  const { apiKey } = await admin.access.createApiKey({
    apiKey: { displayName: "k", role: "service", scope: "platform" },
  });
  return apiKey?.name ?? "";
}

async function endpointOf(admin: Clients): Promise<string> {
  // A scope has so many places: the oldest make room.
  const { webhookEndpoints } = await admin.webhooks.listWebhookEndpoints({ pageSize: 1_000 });
  const byAge = webhookEndpoints.sort((a, b) => msOf(a.createTime) - msOf(b.createTime));
  for (const { name } of byAge.slice(0, -10)) await admin.webhooks.deleteWebhookEndpoint({ name });
  const webhookEndpoint = { url: "https://example.com/hook", scope: "platform" };
  return (await admin.webhooks.createWebhookEndpoint({ webhookEndpoint })).webhookEndpoint?.name ?? "";
}

function msOf(time: Timestamp | undefined): number {
  return time ? timestampMs(time) : 0;
}

async function eventOf(admin: Clients, tenant: string): Promise<string> {
  const id = crypto.randomUUID();
  await admin.of(UsageService).reportUsage({ events: [{ tenant, source: "walk", id, type: "walk" }] });
  return id;
}
