import { Flag_Kind as Kind } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG, clause, logic, serving, when } from "../support/flags.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  const tenant = { displayName: "A", plan: "plans/basic", labels: { tier: "gold" } };
  await app.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

/** What a flag gives to a context, with a write known. */
async function outcomeOf(flag: string, minRevision: string, context = {}) {
  const request = { tenant: "tenants/acme", flag: `flags/${flag}`, context, minRevision };
  const { evaluation } = await app.admin.flags.evaluateFlag(request);
  return [evaluation?.variant, evaluation?.reason, evaluation?.ruleId];
}

describe("a flag", () => {
  it("comes back as it was written, whatever it is made of, and evaluates", async () => {
    const { flags } = app.admin;
    await flags.createFlagSegment({
      flagSegmentId: "staff",
      flagSegment: { matches: [when(clause("email", "ENDS_WITH", "@acme.org"))] },
    });
    await flags.createFlagGroup({ flagGroupId: "layer", flagGroup: { salt: "pepper" } });
    await flags.createFlag({ flagId: "base", flag: { ...BOOLEAN_FLAG, defaultServe: serving("on") } });
    const flag = {
      ...BOOLEAN_FLAG,
      description: "Everything at once.",
      variants: { on: true, off: false, "": false },
      prerequisites: [{ flag: "flags/base", variants: ["on"] }],
      entitlement: { feature: "sso", otherwise: "off" },
      group: { group: "flagGroups/layer", from: 0, to: 50_000 },
      rules: [
        { id: "staff", description: "us", match: when(clause("", "SEGMENT", "staff")), serve: serving("on") },
        {
          id: "logic",
          match: logic('{"==":[{"var":"country"},"de"]}'),
          serve: { serve: { case: "logic" as const, value: '{"if":[true,"on","off"]}' } },
        },
        {
          id: "half",
          serve: {
            serve: {
              case: "split" as const,
              value: {
                parts: [
                  { variant: "on", weight: 1 },
                  { variant: "off", weight: 1 },
                ],
              },
            },
          },
        },
        {
          id: "ramp",
          serve: {
            serve: {
              case: "ramp" as const,
              value: {
                variant: "on",
                otherwise: "off",
                steps: [
                  { time: { seconds: 1_700_000_000n, nanos: 0 }, share: 0 },
                  { time: { seconds: 1_800_000_000n, nanos: 0 }, share: 100_000 },
                ],
              },
            },
          },
        },
      ],
      salt: "mine",
      bucketBy: "user.id",
      clientVisible: true,
      tenantOverridable: true,
      metadata: { team: "checkout", ticket: 42, hot: true },
      owner: "checkout@acme.org",
      labels: { area: "checkout" },
      expireTime: { seconds: 1_900_000_000n, nanos: 0 },
    };
    delete (flag.variants as Record<string, unknown>)[""];
    const made = await flags.createFlag({ flagId: "checkout/new ✓", flag });
    const read = await flags.getFlag({ name: "flags/checkout/new ✓" });
    expect(read.flag).toMatchObject({
      ...flag,
      name: "flags/checkout/new ✓",
      bucketing: 1,
      revision: 1n,
      killed: false,
    });
    expect(made.flag).toEqual(read.flag);
  });

  it("is told of with every bad field, by its path in the request, and nothing is written", async () => {
    const { flags } = app.admin;
    const flag = {
      kind: Kind.BOOLEAN,
      variants: { on: "yes", off: false },
      offVariant: "none",
      defaultServe: { serve: { case: "split" as const, value: { parts: [{ variant: "gone", weight: 1 }] } } },
      group: { group: "layer", from: 5, to: 5 },
      rules: [
        {
          id: "a",
          match: when(clause("", "IN", "x"), clause("version", "SEMVER_GREATER", "1.x")),
          serve: serving("on"),
        },
        { id: "a", match: logic('{"nope":[1]}'), serve: {} },
        { id: "r", serve: { serve: { case: "ramp" as const, value: { variant: "on", steps: [{ share: 200_000 }] } } } },
      ],
    };
    const refused = await refusal(flags.createFlag({ flagId: "bad", flag }));
    expect(refused).toEqual({
      code: "InvalidArgument",
      reason: "INVALID_FIELDS",
      fields: [
        'flag.variants["on"]',
        "flag.off_variant",
        "flag.default_serve.split.parts[0].variant",
        "flag.group.group",
        "flag.group.to",
        "flag.rules[0].match.clauses.clauses[0].attribute",
        "flag.rules[0].match.clauses.clauses[1].values[0]",
        "flag.rules[1].id",
        "flag.rules[1].match.logic",
        "flag.rules[1].serve",
        "flag.rules[2].serve.ramp.steps[0].time",
        "flag.rules[2].serve.ramp.steps[0].share",
        "flag.rules[2].serve.ramp.steps",
      ],
    });
    expect((await refusal(flags.getFlag({ name: "flags/bad" }))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("may be changed field by field; kind, salt and bucketing are fixed", async () => {
    const { flags } = app.admin;
    await flags.createFlag({
      flagId: "fields",
      flag: { ...BOOLEAN_FLAG, owner: "a", metadata: { a: 1 }, disabled: true },
    });
    const name = "flags/fields";
    const { revision } = await flags.updateFlag({
      flag: { name, defaultServe: serving("on"), owner: "ignored" },
      updateMask: { paths: ["default_serve", "disabled", "metadata"] },
    });
    const { flag } = await flags.getFlag({ name });
    expect([flag?.owner, flag?.disabled, flag?.metadata, flag?.revision]).toEqual(["a", false, undefined, 2n]);
    expect(await outcomeOf("fields", revision)).toEqual(["on", "STATIC", ""]);
    for (const path of ["kind", "salt", "bucketing", "nope"]) {
      expect((await refusal(flags.updateFlag({ flag: { name }, updateMask: { paths: [path] } }))).fields).toEqual([
        "update_mask",
      ]);
    }
    const partial = await refusal(
      flags.updateFlag({
        flag: { name, offVariant: "gone", owner: "x".repeat(300) },
        updateMask: { paths: ["off_variant"] },
      }),
    );
    expect(partial.fields).toEqual(["flag.off_variant"]);
  });

  it("is killed at once for everybody, and only a revival brings it back", async () => {
    const { flags } = app.admin;
    await flags.createFlag({ flagId: "kill", flag: { ...BOOLEAN_FLAG, defaultServe: serving("on") } });
    const killed = await flags.killFlag({ name: "flags/kill", reason: "it burns" });
    expect([killed.flag?.killed, await outcomeOf("kill", killed.revision)]).toEqual([true, ["off", "DISABLED", ""]]);
    await flags.updateFlag({ flag: { name: "flags/kill", description: "other" } });
    const rolled = await flags.rollbackFlag({ name: "flags/kill", toRevision: 1n });
    expect([rolled.flag?.killed, rolled.flag?.description]).toEqual([true, ""]);
    const revived = await flags.reviveFlag({ name: "flags/kill" });
    expect([revived.flag?.killed, await outcomeOf("kill", revived.revision)]).toEqual([false, ["on", "STATIC", ""]]);
    const { flagRevisions } = await flags.listFlagRevisions({ name: "flags/kill" });
    expect(flagRevisions.map(({ verb, reason, flag }) => [verb, reason, flag?.revision])).toEqual([
      ["revive", "", 5n],
      ["rollback", "", 4n],
      ["update", "", 3n],
      ["kill", "it burns", 2n],
      ["create", "", 1n],
    ]);
  });

  it("tells what changed between revisions, and rolls back to any of them", async () => {
    const { flags } = app.admin;
    const name = "flags/history";
    await flags.createFlag({ flagId: "history", flag: { ...BOOLEAN_FLAG, labels: { a: "1" } } });
    await flags.updateFlag({ flag: { name, variants: { on: true, off: false, maybe: true }, labels: { a: "2" } } });
    await flags.updateFlag({ flag: { name, defaultServe: serving("maybe") } });
    const whole = await flags.diffFlagRevisions({ name, fromRevision: 1n });
    expect(whole.differences.map(({ field, before, after }) => [field, before, after])).toEqual([
      ["default_serve.variant", '"off"', '"maybe"'],
      ["labels.a", '"1"', '"2"'],
      ["variants.maybe", "", "true"],
    ]);
    const last = await flags.diffFlagRevisions({ name });
    expect([last.fromRevision, last.toRevision, last.differences.map(({ field }) => field)]).toEqual([
      2n,
      3n,
      ["default_serve.variant"],
    ]);
    const { flag, revision } = await flags.rollbackFlag({ name, toRevision: 1n, reason: "back" });
    expect([flag?.revision, flag?.variants, flag?.labels]).toEqual([4n, { on: true, off: false }, { a: "1" }]);
    expect(await outcomeOf("history", revision)).toEqual(["off", "STATIC", ""]);
    expect((await refusal(flags.rollbackFlag({ name, toRevision: 99n }))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("is listed by filter and order, page by page", async () => {
    const { flags } = app.admin;
    for (const n of [1, 2, 3]) {
      await flags.createFlag({
        flagId: `listed-${n}`,
        flag: { ...BOOLEAN_FLAG, labels: { list: "yes" }, disabled: n === 2 },
      });
    }
    const names = async (request: object) =>
      (await flags.listFlags({ filter: "labels.list = yes", ...request })).flags.map(({ name }) => name);
    expect(await names({ orderBy: "create_time desc" })).toEqual([
      "flags/listed-3",
      "flags/listed-2",
      "flags/listed-1",
    ]);
    expect(await names({ filter: "labels.list = yes AND disabled = true" })).toEqual(["flags/listed-2"]);
    const first = await flags.listFlags({ filter: "labels.list = yes", pageSize: 2 });
    expect(await names({ pageSize: 2, pageToken: first.nextPageToken })).toEqual(["flags/listed-3"]);
  });
});

describe("references", () => {
  it("must lead somewhere: flags, their variants, segments, groups", async () => {
    const { flags } = app.admin;
    await flags.createFlag({ flagId: "there", flag: BOOLEAN_FLAG });
    const attempt = (flag: object) =>
      refusal(flags.createFlag({ flagId: "refers", flag: { ...BOOLEAN_FLAG, ...flag } }));
    expect((await attempt({ prerequisites: [{ flag: "flags/none", variants: ["on"] }] })).fields).toEqual([
      "flag.prerequisites[0].flag",
    ]);
    expect((await attempt({ prerequisites: [{ flag: "flags/there", variants: ["maybe"] }] })).fields).toEqual([
      "flag.prerequisites[0].variants",
    ]);
    expect((await attempt({ group: { group: "flagGroups/none", from: 0, to: 1 } })).fields).toEqual([
      "flag.group.group",
    ]);
    expect(
      (await attempt({ rules: [{ id: "s", match: when(clause("", "SEGMENT", "none")), serve: serving("on") }] }))
        .fields,
    ).toEqual(["flag"]);
    expect(
      (await attempt({ rules: [{ id: "s", match: logic('{"$ref":"none"}'), serve: serving("on") }] })).fields,
    ).toEqual(["flag"]);
  });

  it("hold what they refer to: it can't go, nor lose what is needed of it", async () => {
    const { flags } = app.admin;
    await flags.createFlagSegment({ flagSegmentId: "held", flagSegment: {} });
    await flags.createFlagSegment({
      flagSegmentId: "holds",
      flagSegment: { matches: [when(clause("", "SEGMENT", "held"))] },
    });
    await flags.createFlagGroup({ flagGroupId: "held", flagGroup: {} });
    await flags.createFlag({
      flagId: "held",
      flag: { ...BOOLEAN_FLAG, variants: { on: true, off: false, more: true } },
    });
    const prerequisites = [{ flag: "flags/held", variants: ["more"] }];
    await flags.createFlag({
      flagId: "holder",
      flag: { ...BOOLEAN_FLAG, prerequisites, group: { group: "flagGroups/held", from: 0, to: 9 } },
    });
    expect((await refusal(flags.deleteFlag({ name: "flags/held" }))).reason).toBe("HAS_DEPENDENTS");
    expect((await refusal(flags.deleteFlagSegment({ name: "flagSegments/held" }))).reason).toBe("HAS_DEPENDENTS");
    expect((await refusal(flags.deleteFlagGroup({ name: "flagGroups/held" }))).reason).toBe("HAS_DEPENDENTS");
    const lessened = flags.updateFlag({ flag: { name: "flags/held", variants: { on: true, off: false } } });
    expect((await refusal(lessened)).reason).toBe("HAS_DEPENDENTS");
    const parent = "tenants/acme";
    const flagOverride = { serve: serving("more") };
    await flags.updateFlag({
      flag: { name: "flags/holder", prerequisites: [] },
      updateMask: { paths: ["prerequisites"] },
    });
    await flags.createFlagOverride({ parent, flagOverrideId: "held", flagOverride });
    const served = flags.updateFlag({ flag: { name: "flags/held", variants: { on: true, off: false } } });
    expect((await refusal(served)).fields).toEqual(["flag.variants"]);
    expect((await refusal(flags.deleteFlag({ name: "flags/held" }))).reason).toBe("HAS_DEPENDENTS");
    await flags.deleteFlagOverride({ name: "tenants/acme/flagOverrides/held" });
    await flags.deleteFlag({ name: "flags/held" });
  });

  it("never go round in a circle, not even by two writes at once", async () => {
    const { flags } = app.admin;
    for (const flagId of ["x", "y", "z"]) await flags.createFlag({ flagId, flag: BOOLEAN_FLAG });
    const refer = (from: string, to: string) =>
      flags.updateFlag({ flag: { name: `flags/${from}`, prerequisites: [{ flag: `flags/${to}`, variants: ["on"] }] } });
    await refer("x", "y");
    await refer("y", "z");
    expect((await refusal(refer("z", "x"))).reason).toBe("INVALID_FIELDS");
    expect((await refusal(refer("z", "z"))).reason).toBe("INVALID_FIELDS");
    for (let round = 0; round < 10; round += 1) {
      const [a, b] = [`r${round}-a`, `r${round}-b`];
      for (const flagId of [a, b]) await flags.createFlag({ flagId, flag: BOOLEAN_FLAG });
      const outcomes = await Promise.allSettled([refer(a, b), refer(b, a)]);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    }
  });

  it("of groups never overlap", async () => {
    const { flags } = app.admin;
    await flags.createFlagGroup({ flagGroupId: "thirds", flagGroup: {} });
    const within = (from: number, to: number) => ({ ...BOOLEAN_FLAG, group: { group: "flagGroups/thirds", from, to } });
    await flags.createFlag({ flagId: "third-1", flag: within(0, 33_000) });
    await flags.createFlag({ flagId: "third-2", flag: within(33_000, 66_000) });
    expect((await refusal(flags.createFlag({ flagId: "third-3", flag: within(65_999, 100_000) }))).fields).toEqual([
      "flag.group",
    ]);
  });
});
