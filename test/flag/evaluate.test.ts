import { Flag_Kind as Kind } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { FlagEvaluation_Layer as Layer } from "@tenantplane/sdk/gen/tenantplane/v1/flag_evaluation_pb";
import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG, clause, serving, when } from "../support/flags.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  const { admin } = app;
  const entitlements = { sso: { value: { case: "boolValue" as const, value: true } } };
  await admin.plans.createPlan({ planId: "pro", plan: { displayName: "Pro", entitlements } });
  await admin.plans.createPlan({ planId: "free", plan: { displayName: "Free" } });
  const tenant = { displayName: "T", labels: { tier: "gold" } };
  await admin.tenants.createTenant({ tenantId: "acme", tenant: { ...tenant, plan: "plans/pro" }, activate: true });
  await admin.tenants.createTenant({ tenantId: "blue", tenant: { ...tenant, plan: "plans/free" }, activate: true });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

async function evaluate(flag: string, tenant: string, context = {}, minRevision = "") {
  const request = { tenant: `tenants/${tenant}`, flag: `flags/${flag}`, context, minRevision };
  return (await app.admin.flags.evaluateFlag(request)).evaluation;
}

describe("an evaluation on the server", () => {
  it("goes by the plan's entitlements, and by facts that callers can't change", async () => {
    const rules = [{ id: "gold", match: when(clause("$tenant.labels.tier", "IN", "gold")), serve: serving("on") }];
    const flag = { ...BOOLEAN_FLAG, entitlement: { feature: "sso" }, rules };
    const { revision } = await app.admin.flags.createFlag({ flagId: "sso", flag });
    const forged = { $tenant: { labels: { tier: "gold" }, entitlements: { sso: true }, id: "acme" } };
    expect([await evaluate("sso", "acme", {}, revision), await evaluate("sso", "blue", forged)]).toMatchObject([
      { variant: "on", layer: Layer.RULE, ruleId: "gold" },
      { variant: "off", layer: Layer.ENTITLEMENT },
    ]);
    await app.admin.tenants.updateTenant({
      tenant: { name: "tenants/blue", plan: "plans/pro", labels: { tier: "tin" } },
    });
    await expect.poll(async () => (await evaluate("sso", "blue", forged))?.layer).toBe(Layer.DEFAULT);
  });

  it("gives off variants, with the reason, for a tenant that is not ACTIVE, and comes back with it", async () => {
    const { revision } = await app.admin.flags.createFlag({
      flagId: "life",
      flag: { ...BOOLEAN_FLAG, defaultServe: serving("on") },
    });
    expect((await evaluate("life", "acme", {}, revision))?.variant).toBe("on");
    await app.admin.tenants.suspendTenant({ name: "tenants/acme", suspension: Suspension_Reason.POLICY });
    const off = { variant: "off", reason: "DISABLED", layer: Layer.TENANT };
    await expect.poll(() => evaluate("life", "acme"), { timeout: 1_000 }).toMatchObject(off);
    await app.admin.tenants.resumeTenant({ name: "tenants/acme", suspension: Suspension_Reason.POLICY });
    await app.admin.tenants.archiveTenant({ name: "tenants/acme" });
    await expect.poll(() => evaluate("life", "acme"), { timeout: 1_000 }).toMatchObject(off);
    await app.admin.tenants.unarchiveTenant({ name: "tenants/acme" });
    await expect.poll(async () => (await evaluate("life", "acme"))?.variant, { timeout: 1_000 }).toBe("on");
  });

  it("answers every kind of value exactly, and says what is of another kind than wanted", async () => {
    const { flags } = app.admin;
    const nested = { a: [1.5, -0.25, 1e21, null, { "": "x", ünï: "✓" }], big: 9_007_199_254_740_991, empty: {} };
    for (const [flagId, kind, value] of [
      ["text", Kind.STRING, "grüße"],
      ["number", Kind.NUMBER, 0.1],
      ["object", Kind.OBJECT, nested],
    ] as const) {
      const flag = { kind, variants: { only: value }, defaultServe: serving("only") };
      const { revision } = await flags.createFlag({ flagId, flag });
      const request = { tenant: "tenants/acme", flag: `flags/${flagId}`, minRevision: revision };
      const { evaluations } = await flags.evaluateAllFlags({
        tenant: "tenants/acme",
        flags: [request.flag],
        minRevision: revision,
      });
      const { evaluation } = await flags.evaluateFlag({ ...request, expectedKind: kind });
      expect(evaluation).toEqual(evaluations[0]);
      const wrong = await flags.evaluateFlag({ ...request, expectedKind: Kind.BOOLEAN });
      expect([wrong.evaluation?.errorCode, wrong.evaluation?.value]).toEqual(["TYPE_MISMATCH", undefined]);
      const read = await flags.getFlag({ name: request.flag });
      expect(read.flag?.variants).toEqual({ only: value });
    }
    expect((await evaluate("nothing", "acme"))?.errorCode).toBe("FLAG_NOT_FOUND");
  });

  it("says by its version whether anything that it depends on has changed", async () => {
    const versionOf = async (tenant: string) => (await app.admin.flags.evaluateAllFlags({ tenant })).version;
    const [acme, blue] = [await versionOf("tenants/acme"), await versionOf("tenants/blue")];
    await app.admin.flags.createFlagOverride({
      parent: "tenants/acme",
      flagOverrideId: "life",
      flagOverride: { serve: serving("off") },
    });
    await expect.poll(() => versionOf("tenants/acme")).not.toBe(acme);
    expect(await versionOf("tenants/blue")).toBe(blue);
    await app.admin.flags.updateFlag({ flag: { name: "flags/life", description: "no evaluator reads this" } });
    await app.admin.flags.killFlag({ name: "flags/life" });
    await expect.poll(() => versionOf("tenants/blue")).not.toBe(blue);
  });
});

describe("a preview", () => {
  it("tells what a draft would change for whom, and changes nothing", async () => {
    const { flags } = app.admin;
    await flags.createFlagSegment({ flagSegmentId: "early", flagSegment: {} });
    await flags.addFlagSegmentMembers({ name: "flagSegments/early", keys: ["u1"] });
    const { revision } = await flags.createFlag({ flagId: "drafted", flag: BOOLEAN_FLAG });
    const rules = [
      {
        id: "early",
        match: when(clause("", "SEGMENT", "early")),
        serve: serving("on"),
      },
    ];
    const draft = { flag: { name: "flags/drafted", rules } };
    const subjects = ["u1", "u2"].map((targetingKey) => ({ tenant: "tenants/acme", context: { targetingKey } }));
    await evaluate("drafted", "acme", {}, revision);
    const { outcomes, changedCount } = await flags.previewFlag({ draft, subjects });
    expect([
      changedCount,
      outcomes.map(({ before, after, changed }) => [before?.variant, after?.variant, changed]),
    ]).toEqual([
      1,
      [
        ["off", "on", true],
        ["off", "off", false],
      ],
    ]);
    const added = await flags.previewFlag({ draft: { flag: { ...BOOLEAN_FLAG, name: "flags/not-there" } }, subjects });
    expect(added.outcomes.map(({ before, after }) => [before?.errorCode, after?.variant])).toEqual([
      ["FLAG_NOT_FOUND", "off"],
      ["FLAG_NOT_FOUND", "off"],
    ]);
    const wrong = flags.previewFlag({ draft: { flag: { name: "flags/drafted", offVariant: "gone" } }, subjects });
    expect((await refusal(wrong)).fields).toEqual(["draft.flag.off_variant"]);
    expect((await flags.getFlag({ name: "flags/drafted" })).flag?.revision).toBe(1n);
  });
});

describe("an explanation", () => {
  it("tells every step that was asked, prerequisites first, and the bucket", async () => {
    const { flags } = app.admin;
    await flags.createFlag({ flagId: "needed", flag: { ...BOOLEAN_FLAG, defaultServe: serving("on") } });
    const split = {
      serve: {
        case: "split" as const,
        value: {
          parts: [
            { variant: "on", weight: 1 },
            { variant: "off", weight: 1 },
          ],
        },
      },
    };
    const rules = [
      { id: "staff", match: when(clause("email", "ENDS_WITH", "@acme.org")), serve: serving("on") },
      { id: "half", serve: split },
    ];
    const prerequisites = [{ flag: "flags/needed", variants: ["on"] }];
    const flag = { ...BOOLEAN_FLAG, prerequisites, entitlement: { feature: "sso" }, rules };
    const { revision } = await flags.createFlag({ flagId: "told", flag });
    const request = {
      tenant: "tenants/acme",
      flag: "flags/told",
      context: { targetingKey: "u1" },
      minRevision: revision,
    };
    const { evaluation, steps } = await flags.explainFlag(request);
    expect(
      steps.map(({ flag: of, layer, ruleId, decided, description }) => [of, layer, ruleId, decided, description]),
    ).toEqual([
      ["flags/needed", Layer.DEFAULT, "", true, "nothing else decided"],
      ["flags/told", Layer.PREREQUISITE, "", false, 'flags/needed gave "on"; wanted: "on"'],
      ["flags/told", Layer.ENTITLEMENT, "", false, 'the tenant is entitled to "sso"'],
      ["flags/told", Layer.RULE, "staff", false, "did not match: condition 1 does not hold"],
      ["flags/told", Layer.RULE, "half", true, "matched, and served"],
    ]);
    const [last] = steps.slice(-1);
    expect([last?.bucketTotal, Number(last?.bucket) < 1 ? "on" : "off"]).toEqual([2n, evaluation?.variant]);
  });
});
