import {
  QuotaDecision_Outcome as Outcome,
  QuotaReservation_State as State,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { createMeteredTenant, createMeters, PATIENT, serviceKey } from "../support/quota.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let service: Clients;
let tenants = 0;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database, { settings: PATIENT });
  await createMeters(app.admin);
  service = app.clients(await serviceKey(app));
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const quotas = () => service.of(QuotaService);
const newTenant = () => {
  tenants += 1;
  return createMeteredTenant(app, `holding-${tenants}`);
};
const messages = (amount: bigint) => [{ meter: "messages", amount }];
const NO_UUID = "00000000-0000-4000-8000-000000000000";

async function state(tenant: string, meter: string) {
  const [limit] = (await quotas().getTenantQuotas({ name: tenant, meters: [meter] })).limits;
  return { used: limit?.used, held: limit?.held };
}

async function reserve(tenant: string, amount: bigint): Promise<string> {
  const { reservation } = await quotas().reserveQuota({ parent: tenant, entries: messages(amount) });
  return reservation?.name ?? "none";
}

describe("a reservation", () => {
  it("sets an amount aside until it is used, of the actual amount, or given back", async () => {
    const tenant = await newTenant();
    const made = await quotas().reserveQuota({ parent: tenant, entries: messages(70n), ttl: { seconds: 60n } });
    const denied = await quotas().reserveQuota({ parent: tenant, entries: messages(31n) });
    expect([made.decision?.outcome, made.reservation?.state]).toEqual([Outcome.ALLOW, State.HELD]);
    expect([denied.decision?.outcome, denied.reservation]).toEqual([Outcome.DENY, undefined]);
    expect(await state(tenant, "messages")).toEqual({ used: 0n, held: 70n });
    const name = made.reservation?.name ?? "";
    const { reservation } = await quotas().commitReservation({ name, actualEntries: messages(50n) });
    expect(reservation).toMatchObject({ state: State.COMMITTED, late: false });
    const cancelled = await quotas().cancelReservation({ name: await reserve(tenant, 20n) });
    expect(cancelled.reservation?.state).toBe(State.CANCELLED);
    expect(await state(tenant, "messages")).toEqual({ used: 50n, held: 0n });
  });

  it("is an error instead when it is enforced and refused", async () => {
    const tenant = await newTenant();
    const call = quotas().reserveQuota({ parent: tenant, entries: messages(101n), enforce: true });
    expect(await refusal(call)).toMatchObject({ code: "ResourceExhausted", reason: "QUOTA_EXHAUSTED" });
  });

  it("is resolved once, lasts longer when it is extended, and its requests can be repeated", async () => {
    const tenant = await newTenant();
    const requestId = crypto.randomUUID();
    const request = { parent: tenant, entries: messages(10n), requestId };
    const [first, second] = [await quotas().reserveQuota(request), await quotas().reserveQuota(request)];
    const name = first.reservation?.name ?? "";
    expect([second.reservation?.name, (await state(tenant, "messages")).held]).toEqual([name, 10n]);
    const { reservation } = await quotas().extendReservation({ name, ttl: { seconds: 3_600n } });
    expect(Number(reservation?.expireTime?.seconds)).toBeGreaterThan(
      Number(first.reservation?.expireTime?.seconds) + 3_000,
    );
    await quotas().commitReservation({ name });
    const again = await Promise.all([
      refusal(quotas().commitReservation({ name })),
      refusal(quotas().cancelReservation({ name })),
      refusal(quotas().extendReservation({ name, ttl: { seconds: 5n } })),
    ]);
    expect(new Set(again.map(({ reason }) => reason))).toEqual(new Set(["RESERVATION_RESOLVED"]));
    expect(await state(tenant, "messages")).toEqual({ used: 10n, held: 0n });
  });

  it("of another tenant is not found, and whoever may not check is refused in the same words whether it is there or not", async () => {
    const [tenant, other] = [await newTenant(), await newTenant()];
    const id = (await reserve(tenant, 5n)).split("/").at(-1);
    const foreign = `${other}/reservations/${id}`;
    const { secret } = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "tenant.admin", scope: other },
    });
    const stranger = app.clients(secret).of(QuotaService);
    const verbs = (name: string, client = quotas()) =>
      Promise.all([
        refusal(client.commitReservation({ name })),
        refusal(client.cancelReservation({ name })),
        refusal(client.extendReservation({ name, ttl: { seconds: 5n } })),
      ]);
    expect(new Set((await verbs(foreign)).map(({ reason }) => reason))).toEqual(new Set(["RESOURCE_NOT_FOUND"]));
    const refusals = [
      ...(await verbs(`${tenant}/reservations/${id}`, stranger)),
      ...(await verbs(`${tenant}/reservations/${NO_UUID}`, stranger)),
    ];
    expect(new Set(refusals.map(({ reason }) => reason))).toEqual(new Set(["PERMISSION_DENIED"]));
    expect((await state(tenant, "messages")).held).toBe(5n);
  });

  it.each([
    ["a name that is none", () => quotas().commitReservation({ name: "tenants/acme" }), ["name"]],
    [
      "too short a time",
      () => quotas().reserveQuota({ parent: "tenants/acme", entries: messages(1n), ttl: { nanos: 1 } }),
      ["ttl"],
    ],
    [
      "too long a time",
      () => quotas().reserveQuota({ parent: "tenants/acme", entries: messages(1n), ttl: { seconds: 86_401n } }),
      ["ttl"],
    ],
    [
      "an extension without a time",
      () => quotas().extendReservation({ name: `tenants/acme/reservations/${NO_UUID}` }),
      ["ttl"],
    ],
    [
      "a meter twice",
      () => quotas().reserveQuota({ parent: "tenants/acme", entries: [...messages(1n), ...messages(1n)] }),
      ["entries[1].meter"],
    ],
    [
      "a bad actual amount",
      () => quotas().commitReservation({ name: `tenants/acme/reservations/${NO_UUID}`, actualEntries: messages(-1n) }),
      ["actual_entries[0].amount"],
    ],
  ])("is refused with %s, by the field", async (_, call, fields) => {
    expect(await refusal(call())).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields });
  });
});

describe("gauges and slots", () => {
  it("are given back", async () => {
    const tenant = await newTenant();
    const entries = [
      { meter: "storage.bytes", amount: 600n },
      { meter: "jobs", slot: "job-1" },
    ];
    await quotas().checkQuota({ tenant, entries });
    const { decision } = await quotas().releaseQuota({
      tenant,
      entries: [
        { meter: "storage.bytes", amount: 200n },
        { meter: "jobs", slot: "job-1" },
      ],
    });
    expect(decision?.outcome).toBe(Outcome.ALLOW);
    expect([await state(tenant, "storage.bytes"), await state(tenant, "jobs")]).toMatchObject([
      { used: 400n },
      { used: 0n },
    ]);
  });

  it("are set to what was observed, by the newest observation", async () => {
    const tenant = await newTenant();
    const now = Math.floor(Date.now() / 1_000);
    const observe = (usedAmount: bigint, at: number) =>
      quotas().setGauge({ tenant, meter: "storage.bytes", usedAmount, observeTime: { seconds: BigInt(at) } });
    await observe(700n, now);
    await observe(100n, now - 10);
    expect((await state(tenant, "storage.bytes")).used).toBe(700n);
    const { decision } = await observe(1_500n, now + 1);
    expect(decision?.limits[0]).toMatchObject({ used: 1_500n, remaining: 0n, exceeded: true });
  });

  it.each([
    [
      "a period",
      () => newTenant().then((tenant) => quotas().releaseQuota({ tenant, entries: messages(1n) })),
      ["entries[0].meter"],
    ],
    [
      "a slot without its name",
      () => newTenant().then((tenant) => quotas().releaseQuota({ tenant, entries: [{ meter: "jobs" }] })),
      ["entries[0].slot"],
    ],
    [
      "an observation of the future",
      () =>
        quotas().setGauge({
          tenant: "tenants/acme",
          meter: "storage.bytes",
          usedAmount: 1n,
          observeTime: { seconds: 4_000_000_000n },
        }),
      ["observe_time"],
    ],
    [
      "a negative observation",
      () => quotas().setGauge({ tenant: "tenants/acme", meter: "storage.bytes", usedAmount: -1n }),
      ["used_amount"],
    ],
    [
      "an observation of a period",
      () => newTenant().then((tenant) => quotas().setGauge({ tenant, meter: "messages", usedAmount: 1n })),
      ["meter"],
    ],
  ])("refuse %s, by the field", async (_, call, fields) => {
    expect(await refusal(call())).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields });
  });
});

describe("a lease", () => {
  const acquire = (parent: string, wantedAmount: bigint) =>
    quotas().acquireLease({ parent, meter: "messages", wantedAmount, ttl: { seconds: 60n } });

  it("counts as used at once; renewed it grows, and what is left comes back", async () => {
    const tenant = await newTenant();
    const { lease } = await acquire(tenant, 40n);
    expect([lease?.amount, lease?.spentAmount, await state(tenant, "messages")]).toEqual([
      40n,
      0n,
      { used: 40n, held: 0n },
    ]);
    const name = lease?.name ?? "";
    const renewed = await quotas().renewLease({ name, spentAmount: 30n, wantedAmount: 40n });
    expect([renewed.lease?.amount, renewed.lease?.spentAmount]).toEqual([70n, 30n]);
    const { returnedAmount } = await quotas().returnLease({ name, spentAmount: 50n });
    expect([returnedAmount, await state(tenant, "messages")]).toEqual([20n, { used: 50n, held: 0n }]);
  });

  it("leaves something to others while there is something, and is none when nothing is left", async () => {
    const tenant = await newTenant();
    const amounts: bigint[] = [];
    for (let lease = (await acquire(tenant, 1_000n)).lease; lease; lease = (await acquire(tenant, 1_000n)).lease) {
      amounts.push(lease.amount);
    }
    expect(amounts.reduce((sum, amount) => sum + amount, 0n)).toBe(100n);
    expect([amounts.length > 1, (await acquire(tenant, 1n)).decision?.outcome]).toEqual([true, Outcome.DENY]);
  });

  it("of another tenant is not found, and refused first to whoever may not check", async () => {
    const [tenant, other] = [await newTenant(), await newTenant()];
    const id = (await acquire(tenant, 10n)).lease?.name.split("/").at(-1);
    const name = `${other}/leases/${id}`;
    const foreign = [
      await refusal(quotas().renewLease({ name, spentAmount: 1n, wantedAmount: 1n })),
      await refusal(quotas().returnLease({ name, spentAmount: 1n })),
    ];
    expect(foreign.map(({ reason }) => reason)).toEqual(["RESOURCE_NOT_FOUND", "RESOURCE_NOT_FOUND"]);
    const { secret } = await app.admin.access.createApiKey({
      apiKey: { displayName: "k", role: "tenant.admin", scope: other },
    });
    const call = app
      .clients(secret)
      .of(QuotaService)
      .returnLease({ name: `${tenant}/leases/${id}`, spentAmount: 0n });
    expect((await refusal(call)).reason).toBe("PERMISSION_DENIED");
  });

  it.each([
    ["of nothing", () => acquire("tenants/acme", 0n), ["wanted_amount"]],
    ["of 2^53", () => acquire("tenants/acme", 2n ** 53n), ["wanted_amount"]],
    [
      "for too long",
      () =>
        quotas().acquireLease({
          parent: "tenants/acme",
          meter: "messages",
          wantedAmount: 1n,
          ttl: { seconds: 3_601n },
        }),
      ["ttl"],
    ],
    [
      "of slots",
      () => newTenant().then((parent) => quotas().acquireLease({ parent, meter: "jobs", wantedAmount: 1n })),
      ["meter"],
    ],
    [
      "with a negative report",
      () => quotas().returnLease({ name: `tenants/acme/leases/${NO_UUID}`, spentAmount: -1n }),
      ["spent_amount"],
    ],
  ])("%s is refused, by the field", async (_, call, fields) => {
    expect(await refusal(call())).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields });
  });
});
