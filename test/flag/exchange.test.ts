import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ImportFlagsRequest_Existing as Existing } from "@tenantplane/sdk/gen/tenantplane/v1/flag_admin_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { describeConformance } from "../support/conformance.ts";
import { refusal } from "../support/errors.ts";
import { BOOLEAN_FLAG } from "../support/flags.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  const tenant = { displayName: "A", plan: "plans/basic" };
  await app.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const STAFF = { ends_with: [{ var: "email" }, "@acme.org"] };
const SWITCH = {
  state: "ENABLED",
  variants: { on: true, off: false },
  defaultVariant: "off",
  targeting: { if: [{ $ref: "staff" }, "on", null] },
  metadata: { owner: "us" },
};
const NUMBERS = {
  state: "ENABLED",
  variants: { tiny: 1e-7, exact: 9007199254740991, whole: 3 },
  targeting: { fractional: [{ var: "targetingKey" }, ["tiny", 1], ["exact", 1]] },
};
const THINGS = {
  state: "DISABLED",
  variants: { deep: { "": [{ constructor: null }], é: "\u{1f600}" }, none: {} },
  defaultVariant: "none",
};
const SET = { $evaluators: { staff: STAFF }, flags: { switch: SWITCH, numbers: NUMBERS, things: THINGS } };

const importing = (set: object, existing: Existing = Existing.REFUSE) =>
  app.admin.flags.importFlags({ flagdJson: JSON.stringify(set), existing, owner: "us" });

async function exported(...keys: string[]) {
  let text = "";
  const omissions: string[] = [];
  for await (const piece of app.admin.flags.exportFlags({ flags: keys.map((key) => `flags/${key}`) })) {
    text += piece.flagdJson;
    omissions.push(...piece.omissions.map(({ flag, reason }) => `${flag}: ${reason}`));
  }
  const { $evaluators, flags } = JSON.parse(text);
  return { $evaluators, flags, omissions };
}

/** A flag set of one boolean flag. */
const one = (key: string, more: object = {}) => ({
  flags: { [key]: { state: "ENABLED", variants: { on: true, off: false }, defaultVariant: "off", ...more } },
});

const many = (count: number) => Array.from({ length: count }, (_, n) => one(`many-${n}`).flags);

describe("flags of flagd", () => {
  it("come back as they were brought in, and decide as they did", async () => {
    const { createdNames, revision } = await importing(SET);
    expect(createdNames.toSorted()).toEqual(["flagSegments/staff", "flags/numbers", "flags/switch", "flags/things"]);
    expect(await exported("switch", "numbers", "things")).toEqual({ ...SET, omissions: [] });
    const variantFor = async (email: string) => {
      const asked = { tenant: "tenants/acme", flag: "flags/switch", context: { email }, minRevision: revision };
      return (await app.admin.flags.evaluateFlag(asked)).evaluation?.variant;
    };
    expect([await variantFor("a@acme.org"), await variantFor("a@else.org")]).toEqual(["on", "off"]);
  });

  it("get the metadata of their set, where they have none of that name", async () => {
    await importing({ ...one("told", { metadata: { owner: "own" } }), metadata: { owner: "set", version: "2" } });
    expect((await exported("told")).flags.told.metadata).toEqual({ owner: "own", version: "2" });
  });

  it("that are there already are refused, replaced or kept, as asked", async () => {
    await importing(one("there"));
    const other = one("there", { defaultVariant: "on" });
    const defaultVariant = async () => (await exported("there")).flags.there.defaultVariant;
    expect((await refusal(importing({ flags: { ...one("fresh").flags, ...other.flags } }))).reason).toBe(
      "RESOURCE_EXISTS",
    );
    expect((await refusal(app.admin.flags.getFlag({ name: "flags/fresh" }))).reason).toBe("RESOURCE_NOT_FOUND");
    expect([(await importing(other, Existing.KEEP)).keptNames, await defaultVariant()]).toEqual([
      ["flags/there"],
      "off",
    ]);
    expect([(await importing(other, Existing.OVERWRITE)).updatedNames, await defaultVariant()]).toEqual([
      ["flags/there"],
      "on",
    ]);
  });

  it("replace what flagd can say, and leave the rest: salt, kill, who sees it", async () => {
    const flag = { ...BOOLEAN_FLAG, salt: "pepper", clientVisible: true, owner: "them" };
    await app.admin.flags.createFlag({ flagId: "mixed", flag });
    await app.admin.flags.killFlag({ name: "flags/mixed" });
    await importing(one("mixed"), Existing.OVERWRITE);
    const { flag: after } = await app.admin.flags.getFlag({ name: "flags/mixed" });
    expect(after).toMatchObject({ salt: "pepper", clientVisible: true, killed: true, owner: "them" });
    expect(await exported("mixed")).toMatchObject({ flags: {}, omissions: ["flags/mixed: it is killed"] });
  });

  it.each([
    [
      "another kind",
      { flags: { kept: { state: "ENABLED", variants: { a: "x" } } } },
      'flagd_json.flags["kept"].variants',
    ],
    ["no flags", { flags: {} }, "flagd_json"],
    ["a state that is none", one("bad", { state: "SOMETIMES" }), 'flagd_json.flags["bad"].state'],
    ["an evaluator that is not there", one("bad", { targeting: { $ref: "nobody" } }), 'flagd_json.flags["bad"]'],
    ["more than one write takes", { flags: Object.assign({}, ...many(1_001)) }, "flagd_json"],
  ])("are refused for %s, all of them", async (_, set, field) => {
    await importing(one("kept"), Existing.OVERWRITE);
    const fresh = { flags: { ...set.flags, ...(Object.keys(set.flags).length > 0 ? one("fresh").flags : {}) } };
    const refused = await refusal(importing(fresh, Existing.OVERWRITE));
    expect(refused).toMatchObject({ code: "InvalidArgument", reason: "INVALID_FIELDS" });
    expect(refused.fields?.join()).toContain(field);
    expect((await refusal(app.admin.flags.getFlag({ name: "flags/fresh" }))).reason).toBe("RESOURCE_NOT_FOUND");
  });

  it("are refused for text that is no JSON", async () => {
    const refused = await refusal(app.admin.flags.importFlags({ flagdJson: "{" }));
    expect(refused).toEqual({ code: "InvalidArgument", reason: "INVALID_FIELDS", fields: ["flagd_json"] });
  });
});

describe("the manifest", () => {
  it("tells the OpenFeature CLI each flag's type, and what to give while nobody can be asked", async () => {
    await importing(one("plain", { metadata: { a: 1 } }), Existing.OVERWRITE);
    await app.admin.flags.createFlag({ flagId: "dark", flag: { ...BOOLEAN_FLAG, description: "Dark mode." } });
    let text = "";
    for await (const piece of app.admin.flags.exportFlagManifest({})) text += piece.manifestJson;
    expect(JSON.parse(text).flags).toMatchObject({
      plain: { flagType: "boolean", defaultValue: false },
      dark: { flagType: "boolean", defaultValue: false, description: "Dark mode." },
      numbers: { flagType: "float", defaultValue: 0 },
      things: { flagType: "object", defaultValue: {} },
    });
  });
});

/** Flags whose targeting flagd's own schema refuses, or that refer to nothing: they are there to fail. */
const BROKEN = [
  "semver-invalid-operator-flag",
  "semver-v-prefix-flag",
  "semver-partial-version-flag",
  "semver-numeric-context-flag",
  "semver-wrong-args-flag",
  "starts-with-wrong-args-flag",
  "ends-with-wrong-args-flag",
  "fractional-negative-weight-flag",
  "ref-to-nonexistent-evaluator-flag",
];

describeConformance("the flag sets of flagd's own tests", "flagd", (folder) => {
  it.each(["evaluator/testkit-flags.json", "schemas/test/flags/positive/example.flagd.json"])(
    "come back as they were: %s",
    async (file) => {
      // To flagd a default that is null is one that is not there.
      const { $evaluators, flags } = JSON.parse(readFileSync(join(folder, file), "utf8"), (key, value) =>
        key === "defaultVariant" && value === null ? undefined : value,
      );
      for (const key of BROKEN) delete flags[key];
      await importing({ $evaluators, flags }, Existing.OVERWRITE);
      expect(await exported(...Object.keys(flags))).toEqual({ $evaluators, flags, omissions: [] });
    },
  );
});
