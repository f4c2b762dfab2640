import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Limit, LimitSchema } from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import { type CreateMeterRequestSchema, Meter_Kind } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Clients, createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  const kinds = { calls: "RATE", messages: "PERIOD", bytes: "GAUGE", jobs: "CONCURRENCY" } as const;
  for (const [meterId, kind] of Object.entries(kinds)) {
    await app.admin.quotas.createMeter({ meterId, meter: { displayName: meterId, kind: Meter_Kind[kind], unit: "1" } });
  }
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

type LimitInit = MessageInitShape<typeof LimitSchema>;

const second = { seconds: 1n, nanos: 0 };
const rate = (value: object = {}): LimitInit => ({ rule: { case: "rate", value: { window: second, ...value } } });
const period = (value: object = {}): LimitInit => ({ rule: { case: "period", value: { duration: "P1M", ...value } } });

let plans = 0;
function createPlan(limits: LimitInit[]) {
  plans += 1;
  return app.admin.plans.createPlan({ planId: `plan-${plans}`, plan: { displayName: "P", limits } });
}

describe("meters", () => {
  it("can be read and listed by name, the server's own among them", async () => {
    const { meters } = await app.admin.quotas.listMeters({});
    expect(
      meters.map(({ name, kind }) => [name, Meter_Kind[kind as unknown as keyof typeof Meter_Kind] ?? kind]),
    ).toEqual([
      ["meters/bytes", Meter_Kind.GAUGE],
      ["meters/calls", Meter_Kind.RATE],
      ["meters/jobs", Meter_Kind.CONCURRENCY],
      ["meters/messages", Meter_Kind.PERIOD],
      ["meters/seats", Meter_Kind.GAUGE],
    ]);
    const first = await app.admin.quotas.listMeters({ pageSize: 4 });
    const rest = await app.admin.quotas.listMeters({ pageSize: 4, pageToken: first.nextPageToken });
    expect(rest.meters.map(({ name }) => name)).toEqual(["meters/seats"]);
    expect((await app.admin.quotas.getMeter({ name: "meters/calls" })).meter).toMatchObject({ unit: "1" });
  });

  it.each<[MessageInitShape<typeof CreateMeterRequestSchema>, string[]]>([
    [{ meterId: "Calls", meter: { displayName: "C", kind: Meter_Kind.RATE } }, ["meter_id"]],
    [{ meterId: "a-b", meter: { displayName: "C", kind: Meter_Kind.RATE } }, ["meter_id"]],
    [{ meterId: "__proto__", meter: { displayName: "C", kind: Meter_Kind.RATE } }, ["meter_id"]],
    [
      { meterId: "x".repeat(64), meter: { displayName: "", kind: 0 } },
      ["meter_id", "meter.display_name", "meter.kind"],
    ],
    [
      { meterId: "x", meter: { displayName: "x", kind: 9 as Meter_Kind, unit: "u".repeat(33) } },
      ["meter.unit", "meter.kind"],
    ],
    [{ meterId: "x", meter: { displayName: "x", kind: 1, description: "d\u0000" } }, ["meter.description"]],
    [{ meterId: "x" }, ["meter"]],
  ])("refuse %j", async (request, fields) => {
    expect(await refusal(app.admin.quotas.createMeter(request))).toEqual({
      code: "InvalidArgument",
      reason: "INVALID_FIELDS",
      fields,
    });
  });

  it("keep their kind", async () => {
    const meter = { name: "meters/calls", displayName: "Calls of the API", kind: Meter_Kind.GAUGE };
    const update = (paths: string[]) => app.admin.quotas.updateMeter({ meter, updateMask: { paths } });
    expect((await refusal(update(["kind"]))).fields).toEqual(["update_mask"]);
    const { meter: after } = await update(["display_name"]);
    expect(after).toMatchObject({ displayName: "Calls of the API", kind: Meter_Kind.RATE, unit: "1" });
  });

  it("are the platform's to write, and everybody's to read", async () => {
    await app.admin.plans.createPlan({ planId: "none", plan: { displayName: "None" } });
    await app.admin.tenants.createTenant({
      tenantId: "reader",
      tenant: { displayName: "R", plan: "plans/none" },
      activate: true,
    });
    const apiKey = { displayName: "k", role: "tenant.admin", scope: "tenants/reader" };
    const own = app.clients((await app.admin.access.createApiKey({ apiKey })).secret).quotas;
    const meter = { name: "meters/calls", displayName: "Mine" };
    const tried = [own.updateMeter({ meter }), own.deleteMeter({ name: "meters/calls" })];
    expect(await Promise.all(tried.map(async (call) => (await refusal(call)).reason))).toEqual(
      Array(2).fill("PERMISSION_DENIED"),
    );
    expect((await own.listMeters({})).meters.length).toBeGreaterThan(4);
  });

  it("can be deleted only when no plan in any version, no integrator and no override names them", async () => {
    const { quotas, plans: admin } = app.admin;
    const make = async (id: string) => {
      await quotas.createMeter({ meterId: id, meter: { displayName: "M", kind: Meter_Kind.GAUGE } });
      return { name: `meters/${id}` };
    };
    const [planned, shared, overridden, free] = await Promise.all(
      ["planned", "shared", "overridden", "free"].map(make),
    );
    await admin.createPlan({
      planId: "naming",
      plan: { displayName: "N", limits: [{ meter: "planned", amount: 1n }] },
    });
    await admin.updatePlan({ plan: { name: "plans/naming" }, updateMask: { paths: ["limits"] } });
    const limits = [{ meter: "shared", amount: 1n }];
    await app.admin.integrators.createIntegrator({ integratorId: "naming", integrator: { displayName: "N", limits } });
    const limit = { meter: "overridden", amount: 1n };
    const quotaOverride = { limit, reason: "why" };
    await quotas.createQuotaOverride({ parent: "tenants/reader", quotaOverride });
    const refused = [planned, shared, overridden, { name: "meters/seats" }].map((meter) =>
      refusal(quotas.deleteMeter(meter ?? {})),
    );
    expect((await Promise.all(refused)).map(({ reason }) => reason)).toEqual(Array(4).fill("HAS_DEPENDENTS"));
    await quotas.deleteMeter(free ?? {});
    expect((await refusal(quotas.getMeter(free ?? {}))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("are not deleted under a plan that is being made of them", async () => {
    for (let round = 0; round < 8; round += 1) {
      const meterId = `raced.${round}`;
      await app.admin.quotas.createMeter({ meterId, meter: { displayName: "M", kind: Meter_Kind.GAUGE } });
      const outcomes = await Promise.allSettled([
        createPlan([{ meter: meterId, amount: 1n }]),
        app.admin.quotas.deleteMeter({ name: `meters/${meterId}` }),
      ]);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    }
  });
});

describe("the limits of a plan", () => {
  it("come back as they were written, one for each kind", async () => {
    const limits = [
      { meter: "calls", amount: 100n, ...rate({ burst: 200n }) },
      { meter: "messages", limitId: "messages-monthly", amount: 2n ** 63n - 1n, ...period({ rolloverMax: 10n }) },
      { meter: "bytes", amount: 0n, warningPercents: [90, 50, 90] },
      { meter: "jobs", amount: 5n, rule: { case: "concurrency" as const, value: { slotTtl: second } } },
    ];
    const { plan } = await createPlan(limits);
    const brief = ({ limitId, amount, rule, warningPercents }: Limit) => [limitId, amount, rule.case, warningPercents];
    expect(plan?.limits.map(brief)).toEqual([
      ["calls", 100n, "rate", []],
      ["messages-monthly", 2n ** 63n - 1n, "period", []],
      ["bytes", 0n, undefined, [50, 90]],
      ["jobs", 5n, "concurrency", []],
    ]);
  });

  it.each<[string, LimitInit, string]>([
    ["a meter that is not there", { meter: "nothing", amount: 1n }, "meter"],
    ["a meter called constructor", { meter: "constructor", amount: 1n }, "meter"],
    ["a rate for a period's meter", { meter: "messages", amount: 1n, ...rate() }, "rule"],
    ["no rule for a rate's meter", { meter: "calls", amount: 1n }, "rule"],
    ["a period for a gauge", { meter: "bytes", amount: 1n, ...period() }, "rule"],
    ["a duration of seconds", { meter: "messages", amount: 1n, ...period({ duration: "PT90S" }) }, "period.duration"],
    [
      "a period that divides nothing",
      { meter: "messages", amount: 1n, ...period({ duration: "P5M" }) },
      "period.duration",
    ],
    [
      "a rollover each hour",
      { meter: "messages", amount: 1n, ...period({ duration: "PT1H", rolloverMax: 1n }) },
      "period.rollover_max",
    ],
    ["a negative amount", { meter: "bytes", amount: -1n }, "amount"],
  ])("refuse %s", async (_, limit, field) => {
    expect(await refusal(createPlan([{ meter: "bytes", limitId: "fine" }, limit]))).toEqual({
      code: "InvalidArgument",
      reason: "INVALID_FIELDS",
      fields: [`plan.limits[1].${field}`],
    });
  });
});

describe("the limits of an integrator", () => {
  const limits = [{ meter: "bytes", amount: 7n }];
  let partner: Clients;

  beforeAll(async () => {
    await app.admin.integrators.createIntegrator({ integratorId: "partner", integrator: { displayName: "P", limits } });
    const apiKey = { displayName: "k", role: "integrator.admin", scope: "integrators/partner" };
    partner = app.clients((await app.admin.access.createApiKey({ apiKey })).secret);
  });

  const update = (clients: Clients, integrator: object, paths?: string[]) =>
    clients.integrators.updateIntegrator({
      integrator: { name: "integrators/partner", ...integrator },
      ...(paths ? { updateMask: { paths } } : {}),
    });

  it("are written by the platform, and not by the integrator itself, which may write the rest", async () => {
    const raised = { limits: [{ meter: "bytes", amount: 8n }] };
    const refused = [update(partner, raised), update(partner, { displayName: "Q" }, ["limits"])].map(refusal);
    expect((await Promise.all(refused)).map(({ reason }) => reason)).toEqual(Array(2).fill("PERMISSION_DENIED"));
    await update(partner, { displayName: "New", limits });
    await update(app.admin, raised);
    const { integrator } = await partner.integrators.getIntegrator({ name: "integrators/partner" });
    expect([integrator?.displayName, integrator?.limits[0]?.amount]).toEqual(["New", 8n]);
    await update(app.admin, { limits }, ["limits"]);
  });

  it.each<[string, LimitInit, string]>([
    ["a meter that is not there", { meter: "nothing", amount: 1n }, "meter"],
    ["a rollover", { meter: "messages", amount: 1n, ...period({ rolloverMax: 1n }) }, "period.rollover_max"],
  ])("refuse %s", async (_, limit, field) => {
    const refused = await refusal(update(app.admin, { limits: [limit] }));
    expect([refused.reason, refused.fields]).toEqual(["INVALID_FIELDS", [`integrator.limits[0].${field}`]]);
  });
});
