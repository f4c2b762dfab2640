import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { createClients } from "@tenantplane/sdk";
import { QuotaFailureSchema, RetryInfoSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import {
  QuotaDecision_Outcome as Outcome,
  QuotaMode,
  StreamQuotaChecksRequestSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { parseList } from "structured-headers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { createMeteredTenant, createMeters, PATIENT, serviceKey } from "../support/quota.ts";
import { until } from "../support/until.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let key: string;
let service: Clients;
let tenants = 0;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { settings: PATIENT });
  await createMeters(app.admin);
  key = await serviceKey(app);
  service = app.clients(key);
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const quotas = () => service.of(QuotaService);
const newTenant = () => {
  tenants += 1;
  return createMeteredTenant(app, `metered-${tenants}`);
};
const messages = (amount: bigint) => [{ meter: "messages", amount }];

async function used(tenant: string, meter: string): Promise<bigint | undefined> {
  const { limits } = await quotas().getTenantQuotas({ name: tenant, meters: [meter] });
  return limits[0]?.used;
}

describe("CheckQuota", () => {
  it("admits and counts within the limit, and answers a denial as a decision", async () => {
    const tenant = await newTenant();
    const first = await quotas().checkQuota({ tenant, entries: messages(60n) });
    const second = await quotas().checkQuota({ tenant, entries: messages(60n) });
    expect(first.decision).toMatchObject({ outcome: Outcome.ALLOW, admittedAmounts: [60n] });
    expect(first.decision?.limits).toMatchObject([
      { limitId: "messages", holder: tenant, amount: 100n, used: 60n, remaining: 40n },
    ]);
    expect(second.decision).toMatchObject({ outcome: Outcome.DENY, reason: "QUOTA_EXHAUSTED", admittedAmounts: [0n] });
    expect(await used(tenant, "messages")).toBe(60n);
  });

  it("decides several entries together: what one refuses the others don't count", async () => {
    const tenant = await newTenant();
    const entries = [
      { meter: "storage.bytes", amount: 10n },
      { meter: "messages", amount: 101n },
      { meter: "api.calls" },
    ];
    const { decision } = await quotas().checkQuota({ tenant, entries });
    expect([decision?.outcome, decision?.limits[0]?.limitId]).toEqual([Outcome.DENY, "messages"]);
    expect([await used(tenant, "storage.bytes"), await used(tenant, "messages")]).toEqual([0n, 0n]);
  });

  it("only looks, takes what there is, or counts what has happened", async () => {
    const tenant = await newTenant();
    const ask = async (amount: bigint, mode: QuotaMode) =>
      (await quotas().checkQuota({ tenant, entries: messages(amount), mode })).decision;
    expect((await ask(100n, QuotaMode.CHECK_ONLY))?.outcome).toBe(Outcome.ALLOW);
    expect((await ask(130n, QuotaMode.BEST_EFFORT))?.admittedAmounts).toEqual([100n]);
    expect((await ask(7n, QuotaMode.FORCE))?.outcome).toBe(Outcome.ALLOW);
    expect(await used(tenant, "messages")).toBe(107n);
  });

  it.each([
    ["an unknown meter", { entries: [{ meter: "nothing" }] }, ["entries[0].meter"]],
    ["a negative amount", { entries: messages(-1n) }, ["entries[0].amount"]],
    ["an amount of 2^53", { entries: messages(2n ** 53n) }, ["entries[0].amount"]],
    ["a meter twice", { entries: [...messages(1n), ...messages(1n)] }, ["entries[1].meter"]],
    ["no entries", { entries: [] }, ["entries"]],
    ["seventeen entries", { entries: Array.from({ length: 17 }, (_, n) => ({ meter: `m${n}` })) }, ["entries"]],
  ])("refuses %s by its field, and counts nothing", async (_, request, fields) => {
    const tenant = await newTenant();
    expect(await refusal(quotas().checkQuota({ tenant, ...request }))).toEqual({
      code: "InvalidArgument",
      reason: "INVALID_FIELDS",
      fields,
    });
    expect(await used(tenant, "messages")).toBe(0n);
  });

  it("knows no tenant that does not exist, and asks for the permission first", async () => {
    const request = { tenant: "tenants/nobody-here", entries: messages(1n) };
    const { secret } = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "tenant.admin", scope: await newTenant() },
    });
    expect((await refusal(quotas().checkQuota(request))).reason).toBe("RESOURCE_NOT_FOUND");
    expect((await refusal(app.clients(secret).of(QuotaService).checkQuota(request))).reason).toBe("PERMISSION_DENIED");
  });

  it("gives a retry the first answer, however it comes, and refuses the id for another question", async () => {
    const tenant = await newTenant();
    const requestId = crypto.randomUUID();
    const request = { tenant, entries: messages(30n), requestId };
    const first = (await quotas().checkQuota(request)).decision;
    const second = (await quotas().checkQuota({ ...request, requestId: requestId.toUpperCase() })).decision;
    const batch = (await quotas().batchCheckQuota({ requests: [request] })).results[0]?.result;
    const other = await refusal(quotas().checkQuota({ ...request, entries: messages(31n) }));
    expect([first?.replayed, second?.replayed, batch?.case === "decision" && batch.value.replayed]).toEqual([
      false,
      true,
      true,
    ]);
    expect([second?.limits[0]?.used, other.reason, await used(tenant, "messages")]).toEqual([
      30n,
      "REQUEST_ID_REUSED",
      30n,
    ]);
  });

  it("denies whoever is suspended within a second, from memory, with the reason", async () => {
    const tenant = await newTenant();
    await app.admin.tenants.suspendTenant({ name: tenant, suspension: Suspension_Reason.BILLING });
    const suspendedAt = performance.now();
    await until(async () => {
      const { decision } = await quotas().checkQuota({ tenant, entries: messages(1n) });
      return decision?.reason === "TENANT_NOT_ACTIVE";
    });
    expect(performance.now() - suspendedAt).toBeLessThan(1_000);
    const enforced = await refusal(quotas().checkQuota({ tenant, entries: messages(1n), enforce: true }));
    expect(enforced).toMatchObject({ code: "PermissionDenied", reason: "TENANT_NOT_ACTIVE" });
  });
});

describe("enforcing", () => {
  async function exhausted(): Promise<string> {
    const tenant = await newTenant();
    await quotas().checkQuota({
      tenant,
      entries: [...messages(100n), { meter: "api.calls", amount: 10n }, { meter: "storage.bytes", amount: 990n }],
    });
    return tenant;
  }

  it("makes a denial an error that names each limit, and when to come again where waiting helps", async () => {
    const tenant = await exhausted();
    const entries = [{ meter: "api.calls" }, { meter: "messages" }];
    const error = await quotas()
      .checkQuota({ tenant, entries, enforce: true })
      .then(() => undefined, ConnectError.from);
    const [failure] = error?.findDetails(QuotaFailureSchema) ?? [];
    const [retry] = error?.findDetails(RetryInfoSchema) ?? [];
    expect(failure?.violations).toMatchObject([
      {
        subject: tenant,
        apiService: "tenantplane.v1.QuotaService",
        quotaMetric: "api.calls",
        quotaId: "api.calls",
        quotaDimensions: { tenant },
        quotaValue: 60n,
      },
      { quotaMetric: "messages", quotaValue: 100n },
    ]);
    // The next month is further than the next call.
    expect(Number(retry?.retryDelay?.seconds)).toBeGreaterThan(60);
  });

  it("does not ask to wait for a gauge", async () => {
    const tenant = await exhausted();
    const request = { tenant, entries: [{ meter: "storage.bytes", amount: 11n }], enforce: true };
    const error = await quotas()
      .checkQuota(request)
      .then(() => undefined, ConnectError.from);
    expect([error?.findDetails(QuotaFailureSchema).length, error?.findDetails(RetryInfoSchema)]).toEqual([1, []]);
  });

  it("tells grpc-js and buf curl the same", async () => {
    const tenant = await exhausted();
    const clients = createClients({ address: `http://127.0.0.1:${app.grpcPort}`, apiKey: key });
    const request = { tenant, entries: [{ meter: "messages" }], enforce: true };
    const error = await clients.quotas.checkQuota(request).then(() => undefined, ConnectError.from);
    clients.close();
    const flags = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", "-H", `Authorization: Bearer ${key}`];
    const url = `http://127.0.0.1:${app.grpcPort}/tenantplane.v1.QuotaService/CheckQuota`;
    const curl = await promisify(execFile)("node_modules/.bin/buf", [
      ...flags,
      "-d",
      JSON.stringify(request),
      url,
    ]).then(
      () => undefined,
      ({ stderr }: { stderr: string }) =>
        JSON.parse(stderr) as { code: string; message: string; details: { type: string }[] },
    );
    expect([error?.code, error?.rawMessage]).toEqual([Code.ResourceExhausted, curl?.message]);
    expect(curl?.code).toBe("resource_exhausted");
    expect(curl?.details.map(({ type }) => type)).toEqual(
      error?.details.map((detail) => ("type" in detail ? detail.type : "")),
    );
    expect(error?.findDetails(QuotaFailureSchema)[0]?.violations[0]?.quotaValue).toBe(100n);
  });

  it("is 429 with Retry-After and the RateLimit fields over HTTP, which an admission has too", async () => {
    const tenant = await newTenant();
    const post = (amount: number) =>
      fetch(`http://127.0.0.1:${app.httpPort}/tenantplane.v1.QuotaService/CheckQuota`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: JSON.stringify({ tenant, entries: [{ meter: "api.calls", amount }], enforce: true }),
      });
    const admitted = await post(10);
    const denied = await post(1);
    const body = (await denied.json()) as { code: string; details: { type: string }[] };
    expect([admitted.status, denied.status, body.code]).toEqual([200, 429, "resource_exhausted"]);
    expect(body.details.map(({ type }) => type)).toEqual(
      expect.arrayContaining(["google.rpc.QuotaFailure", "google.rpc.RetryInfo", "google.rpc.ErrorInfo"]),
    );
    const read = (answer: Response, name: string) =>
      parseList(answer.headers.get(name) ?? "").map(([policy, fields]) => [policy, Object.fromEntries(fields)]);
    expect(read(admitted, "ratelimit-policy")).toEqual([["api.calls", { q: 60, w: 3_600 }]]);
    expect(read(admitted, "ratelimit")).toMatchObject([["api.calls", { r: 0 }]]);
    expect(read(denied, "ratelimit")).toMatchObject([["api.calls", { r: 0, t: 60 }]]);
    expect([admitted.headers.get("retry-after"), denied.headers.get("retry-after")]).toEqual([null, "60"]);
  });
});

describe("several checks at once", () => {
  it("are decided each by itself, in their order: answers, refusals and strangers side by side", async () => {
    const tenant = await newTenant();
    const requests = [
      { tenant, entries: messages(60n) },
      { tenant, entries: [{ meter: "nothing" }] },
      { tenant: "tenants/nobody-here", entries: messages(1n) },
      { tenant: "acme", entries: messages(1n) },
      { tenant, entries: messages(60n) },
      { tenant, entries: messages(40n) },
    ];
    const { results } = await quotas().batchCheckQuota({ requests });
    expect(
      results.map(({ result }) => (result.case === "decision" ? result.value.outcome : result.value?.reason)),
    ).toEqual([Outcome.ALLOW, "INVALID_FIELDS", "RESOURCE_NOT_FOUND", "INVALID_FIELDS", Outcome.DENY, Outcome.ALLOW]);
    expect(await used(tenant, "messages")).toBe(100n);
  });

  it("are at most 1,000 and at least one", async () => {
    const requests = Array.from({ length: 1_001 }, () => ({ tenant: "tenants/acme", entries: messages(1n) }));
    expect((await refusal(quotas().batchCheckQuota({ requests }))).fields).toEqual(["requests"]);
    expect((await refusal(quotas().batchCheckQuota({}))).fields).toEqual(["requests"]);
  });

  it("are refused to whoever may not check, before anything else is looked at", async () => {
    const { secret } = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "tenant.admin", scope: await newTenant() },
    });
    const requests = [{ tenant: "tenants/nobody-here", entries: messages(-1n) }];
    const call = app.clients(secret).of(QuotaService).batchCheckQuota({ requests });
    expect((await refusal(call)).reason).toBe("PERMISSION_DENIED");
  });

  it.each(["grpc", "http"])("come and are answered on a stream, on the %s port", async (port) => {
    const tenant = await newTenant();
    const http = createClient(
      QuotaService,
      createConnectTransport({ baseUrl: `http://127.0.0.1:${app.httpPort}`, httpVersion: "2" }),
    );
    const client = port === "grpc" ? quotas() : http;
    async function* checks() {
      for (const id of [1n, 2n, 3n]) {
        yield create(StreamQuotaChecksRequestSchema, {
          checks: [
            { id, request: { tenant, entries: messages(40n) } },
            { id: id + 10n, request: { tenant, entries: [{ meter: "nothing" }] } },
          ],
        });
      }
    }
    const outcomes = new Map<bigint, unknown>();
    for await (const { results } of client.streamQuotaChecks(checks(), {
      headers: { authorization: `Bearer ${key}` },
    })) {
      for (const { id, result } of results) {
        outcomes.set(
          id,
          result?.result.case === "decision" ? result.result.value.outcome : result?.result.value?.reason,
        );
      }
    }
    const numbered = [1n, 2n, 3n, 11n, 12n, 13n].map((id) => outcomes.get(id));
    expect(numbered.slice(3)).toEqual(Array.from({ length: 3 }, () => "INVALID_FIELDS"));
    expect(numbered.slice(0, 3).filter((outcome) => outcome === Outcome.ALLOW)).toHaveLength(2);
    expect(await used(tenant, "messages")).toBe(80n);
  });
});
