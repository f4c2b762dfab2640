import type { MessageInitShape } from "@bufbuild/protobuf";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  RateLimitResponse_Code as Code,
  type RateLimitRequestSchema,
  RateLimitService,
} from "../../src/compat/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { createMeteredTenant, createMeters, PATIENT, serviceKey } from "../support/quota.ts";
import { until } from "../support/until.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let gateway: Clients;
let tenants = 0;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { settings: PATIENT });
  await createMeters(app.admin);
  gateway = app.clients(await serviceKey(app));
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const newTenant = () => {
  tenants += 1;
  return createMeteredTenant(app, `gateway-${tenants}`);
};
const ask = (request: Omit<MessageInitShape<typeof RateLimitRequestSchema>, "$typeName">) =>
  gateway.of(RateLimitService).shouldRateLimit({ domain: "gateway", ...request });

/** A descriptor of a tenant and a meter, and what else is said of it. */
function of(
  tenant: string,
  meter: string,
  more: { hitsAddend?: bigint; isNegativeHits?: boolean; mode?: string } = {},
) {
  const { mode, ...rest } = more;
  const entries = [
    { key: "remote_address", value: "203.0.113.7" },
    { key: "tenant", value: tenant },
    { key: "meter", value: meter },
  ];
  return { entries: mode === undefined ? entries : [...entries, { key: "mode", value: mode }], ...rest };
}

async function used(name: string, meter: string): Promise<number> {
  const { limits } = await gateway.of(QuotaService).getTenantQuotas({ name, meters: [meter] });
  return Number(limits[0]?.used);
}

describe("a gateway's request", () => {
  it("passes within every limit, and counts at none of them when one refuses", async () => {
    const tenant = await newTenant();
    const both = [of(tenant, "messages", { hitsAddend: 60n }), of(tenant, "storage.bytes", { hitsAddend: 10n })];
    const first = await ask({ descriptors: both });
    const second = await ask({ descriptors: both });
    expect([first.overallCode, first.statuses.map(({ code }) => code)]).toEqual([Code.OK, [Code.OK, Code.OK]]);
    expect([second.overallCode, second.statuses.map(({ code }) => code)]).toEqual([
      Code.OVER_LIMIT,
      [Code.OVER_LIMIT, Code.OK],
    ]);
    expect([await used(tenant, "messages"), await used(tenant, "storage.bytes")]).toEqual([60, 10]);
  });

  it("adds one hit, the request's, or the descriptor's own", async () => {
    const tenant = await newTenant();
    await ask({ descriptors: [of(tenant, "messages")] });
    await ask({ descriptors: [of(tenant, "messages")], hitsAddend: 3 });
    await ask({ descriptors: [of(tenant, "messages", { hitsAddend: 5n })], hitsAddend: 3 });
    expect(await used(tenant, "messages")).toBe(9);
  });

  it("looks without counting, until nothing is left", async () => {
    const tenant = await newTenant();
    const look = { descriptors: [of(tenant, "messages", { hitsAddend: 0n })] };
    expect((await ask(look)).statuses[0]).toMatchObject({ code: Code.OK, limitRemaining: 100 });
    await ask({ descriptors: [of(tenant, "messages", { hitsAddend: 100n })] });
    expect([(await ask(look)).overallCode, await used(tenant, "messages")]).toEqual([Code.OVER_LIMIT, 100]);
  });

  it("counts what has happened whatever the limits say, and gives back", async () => {
    const tenant = await newTenant();
    const happened = await ask({ descriptors: [of(tenant, "storage.bytes", { hitsAddend: 1_500n, mode: "FORCE" })] });
    expect([happened.overallCode, await used(tenant, "storage.bytes")]).toEqual([Code.OK, 1_500]);
    await ask({ descriptors: [of(tenant, "storage.bytes", { hitsAddend: 900n, isNegativeHits: true })] });
    expect(await used(tenant, "storage.bytes")).toBe(600);
  });

  it("is OK where nothing is limited", async () => {
    const { overallCode, statuses } = await ask({ descriptors: [{ entries: [{ key: "path", value: "/" }] }] });
    expect([overallCode, statuses.length, statuses[0]?.currentLimit]).toEqual([Code.OK, 1, undefined]);
  });

  it("is over for a tenant that is suspended, within a second, or that does not exist", async () => {
    const tenant = await newTenant();
    await app.admin.tenants.suspendTenant({ name: tenant, suspension: Suspension_Reason.SECURITY });
    const suspendedAt = performance.now();
    await until(async () => (await ask({ descriptors: [of(tenant, "messages")] })).overallCode === Code.OVER_LIMIT);
    expect(performance.now() - suspendedAt).toBeLessThan(1_000);
    for (const nobody of ["nobody-here", "../../etc", "__proto__"]) {
      const { overallCode, dynamicMetadata } = await ask({ descriptors: [of(nobody, "messages")] });
      expect([overallCode, dynamicMetadata?.reason]).toEqual([Code.OVER_LIMIT, "RESOURCE_NOT_FOUND"]);
    }
  });

  it("is an error with a meter that does not exist, without a key, and of a key that may not ask", async () => {
    const tenant = await newTenant();
    const request = { domain: "gateway", descriptors: [of(tenant, "nothing")] };
    const { secret } = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "tenant.admin", scope: tenant },
    });
    const reasons = [
      await refusal(ask(request)),
      await refusal(app.clients("").of(RateLimitService).shouldRateLimit(request)),
      await refusal(app.clients(secret).of(RateLimitService).shouldRateLimit(request)),
    ];
    expect(reasons.map(({ reason }) => reason)).toEqual(["INVALID_FIELDS", "CREDENTIALS_MISSING", "PERMISSION_DENIED"]);
  });
});
