import { Code, ConnectError } from "@connectrpc/connect";
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
  const { admin } = app;
  await admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  await admin.tenants.createTenant({
    tenantId: "acme",
    tenant: { displayName: "A", plan: "plans/basic" },
    activate: true,
  });
  await admin.flags.createFlag({ flagId: "there", flag: { ...BOOLEAN_FLAG, clientVisible: true } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

/** JSON posted as it is: what no client of ours would send. */
async function post(rpc: string, body: string): Promise<{ status: number; code: string }> {
  const headers = { authorization: `Bearer ${app.adminKey}`, "content-type": "application/json" };
  const url = `http://127.0.0.1:${app.httpPort}/tenantplane.v1.FlagService/${rpc}`;
  const answer = await fetch(url, { method: "POST", headers, body });
  return { status: answer.status, code: ((await answer.json()) as { code?: string }).code ?? "ok" };
}

const asked = { tenant: "tenants/acme", flag: "flags/there" };
const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;

describe("what nobody should send", () => {
  it("is refused by its size or depth, at once, and the server goes on", async () => {
    const startedAt = performance.now();
    const huge = await post("EvaluateFlag", JSON.stringify({ ...asked, context: { text: "x".repeat(10_000_000) } }));
    const deep = await post(
      "EvaluateFlag",
      `{"tenant":"tenants/acme","flag":"flags/there","context":${nested(1_000)}}`,
    );
    const deeper = await post(
      "EvaluateFlag",
      `{"tenant":"tenants/acme","flag":"flags/there","context":${nested(300_000)}}`,
    );
    const overGrpc = await app.admin.flags
      .evaluateFlag({ ...asked, context: { text: "x".repeat(10_000_000) } })
      .catch((error: unknown) => ConnectError.from(error).code);
    expect([huge.code, deep.code, deeper.code, overGrpc]).toEqual([
      "resource_exhausted",
      "invalid_argument",
      "invalid_argument",
      Code.ResourceExhausted,
    ]);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect((await app.admin.flags.evaluateFlag(asked)).evaluation?.variant).toBe("off");
  });

  it("in names, is a name: prototypes are not touched, and no name escapes its place", async () => {
    const { flags } = app.admin;
    for (const key of [
      "__proto__",
      "constructor",
      "toString",
      "a'; drop table flag; --",
      "../../x",
      "%2e",
      "ключ",
      "a b",
    ]) {
      const name = `flags/${key}`;
      const variants = Object.fromEntries([
        [key, true],
        ["off", false],
      ]);
      const { revision } = await flags.createFlag({
        flagId: key,
        flag: { ...BOOLEAN_FLAG, variants, offVariant: "off", defaultServe: serving(key) },
      });
      const { evaluation } = await flags.evaluateFlag({ ...asked, flag: name, minRevision: revision });
      expect([evaluation?.variant, evaluation?.value?.kind.value]).toEqual([key, true]);
      expect(Object.keys((await flags.getFlag({ name })).flag?.variants ?? {}).sort()).toEqual([key, "off"].sort());
      expect((await flags.listFlagRevisions({ name })).flagRevisions).toHaveLength(1);
    }
    expect((await flags.evaluateFlag({ ...asked, flag: "flags/hasOwnProperty" })).evaluation?.errorCode).toBe(
      "FLAG_NOT_FOUND",
    );
    const context = JSON.parse('{"__proto__":{"polluted":true},"targetingKey":"u"}') as Record<string, never>;
    await flags.evaluateFlag({ ...asked, context });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    const { flags: listed } = await flags.listFlags({ pageSize: 1_000 });
    expect(listed.length).toBe(9);
  });

  it("in texts, is refused by field", async () => {
    const { flags } = app.admin;
    const fieldsOf = async (flagId: string, flag: object) =>
      (await refusal(flags.createFlag({ flagId, flag: { ...BOOLEAN_FLAG, ...flag } }))).fields;
    expect(await fieldsOf("", {})).toEqual(["flag_id"]);
    expect(await fieldsOf("x".repeat(257), {})).toEqual(["flag_id"]);
    expect(await fieldsOf("a\u0000b", {})).toEqual(["flag_id"]);
    expect(await fieldsOf("nul", { variants: { "a\u0000": true }, offVariant: "", defaultServe: undefined })).toEqual([
      "flag",
    ]);
    expect(await fieldsOf("nul", { metadata: { a: "b\u0000" } })).toEqual(["flag"]);
    expect(
      await fieldsOf("deep", {
        kind: Kind.OBJECT,
        variants: { on: JSON.parse(nested(27)) },
        offVariant: "",
        defaultServe: undefined,
      }),
    ).toEqual(["flag.variants"]);
    expect(
      await fieldsOf("many", { variants: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`v${i}`, true])) }),
    ).toContain("flag.variants");
    expect(
      await fieldsOf("logic", {
        rules: [{ id: "r", match: logic("{nope"), serve: serving("on") }],
      }),
    ).toEqual(["flag.rules[0].match"]);
  });

  it("as logic, may be deep and is evaluated as it is; deeper is refused", async () => {
    const { flags } = app.admin;
    const nestedIf = (depth: number) => `${'{"if":[false,"off",'.repeat(depth)}"on"${"]}".repeat(depth)}`;
    const flag = (depth: number) => ({
      ...BOOLEAN_FLAG,
      rules: [{ id: "deep", serve: { serve: { case: "logic" as const, value: nestedIf(depth) } } }],
    });
    const { revision } = await flags.createFlag({ flagId: "deep-logic", flag: flag(90) });
    const { evaluation } = await flags.evaluateFlag({ ...asked, flag: "flags/deep-logic", minRevision: revision });
    expect([evaluation?.variant, evaluation?.ruleId]).toEqual(["on", "deep"]);
    expect((await flags.getFlag({ name: "flags/deep-logic" })).flag?.rules[0]?.serve?.serve.value).toBe(nestedIf(90));
    expect((await refusal(flags.createFlag({ flagId: "deeper-logic", flag: flag(5_000) }))).code).toBe(
      "InvalidArgument",
    );
  });

  it("as a segment that refers to itself, is refused as a circle", async () => {
    const { flags } = app.admin;
    const refers = (key: string) => [logic(JSON.stringify({ $ref: key }))];
    await flags.createFlagSegment({ flagSegmentId: "one", flagSegment: {} });
    await flags.createFlagSegment({ flagSegmentId: "two", flagSegment: { matches: refers("one") } });
    for (const key of ["one", "two"]) {
      const update = flags.updateFlagSegment({ flagSegment: { name: "flagSegments/one", matches: refers(key) } });
      expect((await refusal(update)).code).toBe("InvalidArgument");
    }
  });

  it("as an expression, is refused or takes linear time", async () => {
    const { flags } = app.admin;
    const rules = (pattern: string) => [
      { id: "re", match: when(clause("a", "MATCHES", pattern)), serve: serving("on") },
    ];
    const { revision } = await flags.createFlag({
      flagId: "regex",
      flag: { ...BOOLEAN_FLAG, rules: rules("^(a+)+$") },
    });
    const startedAt = performance.now();
    const context = { a: `${"a".repeat(1_000)}!` };
    await flags.evaluateFlag({ ...asked, flag: "flags/regex", context, minRevision: revision });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    for (const pattern of ["(", "(?=x)", "\\1", "a{5000}{5000}"]) {
      const refused = await refusal(
        flags.createFlag({ flagId: "bad-regex", flag: { ...BOOLEAN_FLAG, rules: rules(pattern) } }),
      );
      expect(refused.fields).toEqual(["flag.rules[0].match.clauses.clauses[0].values[0]"]);
    }
  });
});
