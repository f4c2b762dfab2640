import { type FlagDefinition, orDefault, SHARES, type TenantFacts } from "@tenantplane/sdk/evaluate";
import { describe, expect, it } from "vitest";
import { ACME, evaluatorWith, flagOf } from "../support/flag-set.ts";

const NOW = Date.UTC(2026, 0, 1);
const CONTEXT = { targetingKey: "user-1", country: "DE" };
const RULE = {
  id: "german",
  match: { clauses: [{ attribute: "country", operator: "IN" as const, values: ["DE"] }] },
  serve: { variant: "green" },
};
const PARENT = flagOf({ key: "parent" });
const EXPERIMENTS = { key: "experiments", salt: "e", bucketing: 1 };
const OVERRIDE = { tenant: "acme", flag: "flag", serve: { variant: "green" } };
const SUSPENDED: TenantFacts = { ...ACME, state: "SUSPENDED" };
/** Everything at once: each step wins over those after it. */
const ALL: Partial<FlagDefinition> = {
  prerequisites: [{ flag: "parent", variants: ["red"] }],
  entitlement: { feature: "sso", otherwise: "green" },
  group: { group: "experiments", from: 0, to: SHARES },
  rules: [RULE],
};

interface Case {
  readonly flag: Partial<FlagDefinition>;
  readonly parent?: Partial<FlagDefinition>;
  readonly override?: object;
  readonly tenant?: TenantFacts | undefined;
  readonly context?: Record<string, unknown>;
  readonly gives: readonly (string | undefined)[];
}

const CASES: Readonly<Record<string, Case>> = {
  "static: nothing could give another answer": { flag: {}, gives: ["red", "STATIC", "DEFAULT"] },
  "no default: the caller's": { flag: { defaultServe: undefined } as never, gives: [undefined, "DEFAULT", "DEFAULT"] },
  "disabled, above all": {
    flag: { ...ALL, state: "DISABLED", killed: true },
    tenant: SUSPENDED,
    gives: [undefined, "DISABLED", "STATE"],
  },
  "killed: the off variant, override or not": {
    flag: { ...ALL, killed: true },
    override: OVERRIDE,
    gives: ["blue", "DISABLED", "STATE"],
  },
  "a suspended tenant": { flag: ALL, override: OVERRIDE, tenant: SUSPENDED, gives: ["blue", "DISABLED", "TENANT"] },
  "a suspended tenant and a static flag": { flag: {}, tenant: SUSPENDED, gives: ["blue", "DISABLED", "TENANT"] },
  "an unmet prerequisite": {
    flag: ALL,
    parent: { defaultServe: { variant: "green" } },
    override: OVERRIDE,
    gives: ["blue", "TARGETING_MATCH", "PREREQUISITE"],
  },
  "a prerequisite that is off meets nothing": {
    flag: ALL,
    parent: { killed: true, offVariant: "red" },
    gives: ["blue", "TARGETING_MATCH", "PREREQUISITE"],
  },
  "a prerequisite that is disabled meets nothing": {
    flag: ALL,
    parent: { state: "DISABLED" },
    gives: ["blue", "TARGETING_MATCH", "PREREQUISITE"],
  },
  "an override, before entitlement and group": {
    flag: { ...ALL, entitlement: { feature: "beta" } },
    override: OVERRIDE,
    gives: ["green", "TARGETING_MATCH", "OVERRIDE"],
  },
  "another tenant's override": {
    flag: {},
    override: { ...OVERRIDE, tenant: "globex" },
    gives: ["red", "DEFAULT", "DEFAULT"],
  },
  "no entitlement": {
    flag: { ...ALL, entitlement: { feature: "beta" } },
    gives: ["blue", "TARGETING_MATCH", "ENTITLEMENT"],
  },
  "no entitlement, with a variant for that": {
    flag: { ...ALL, entitlement: { feature: "beta", otherwise: "green" } },
    gives: ["green", "TARGETING_MATCH", "ENTITLEMENT"],
  },
  "no tenant has no entitlement": { flag: ALL, tenant: undefined, gives: ["green", "TARGETING_MATCH", "ENTITLEMENT"] },
  "outside of the group's range": {
    flag: { ...ALL, group: { group: "experiments", from: 0, to: 1 } },
    gives: ["blue", "TARGETING_MATCH", "GROUP"],
  },
  "a rule": { flag: ALL, gives: ["green", "TARGETING_MATCH", "RULE", "german"] },
  "the default behind a rule": {
    flag: ALL,
    context: { ...CONTEXT, country: "FR" },
    gives: ["red", "DEFAULT", "DEFAULT"],
  },
  "a split": {
    flag: { rules: [{ id: "all", serve: { split: [{ variant: "green", weight: 1 }] } }] },
    gives: ["green", "SPLIT", "RULE", "all"],
  },
  "a split of nobody": {
    flag: { defaultServe: { split: [{ variant: "green", weight: 1 }] } },
    context: {},
    gives: [undefined, "ERROR", "ERROR"],
  },
  "a ramp that has not begun asks on": {
    flag: { rules: [{ id: "ramp", serve: { ramp: { variant: "green", steps: [{ at: NOW, share: 0 }] } } }, RULE] },
    gives: ["green", "TARGETING_MATCH", "RULE", "german"],
  },
  "a ramp with something for the others": {
    flag: {
      rules: [{ id: "ramp", serve: { ramp: { variant: "green", otherwise: "red", steps: [{ at: NOW, share: 0 }] } } }],
    },
    gives: ["red", "SPLIT", "RULE", "ramp"],
  },
  "logic that gives null asks on": {
    flag: { rules: [{ id: "logic", serve: { logic: { var: "absent" } } }, RULE] },
    gives: ["green", "TARGETING_MATCH", "RULE", "german"],
  },
  "logic that gives a name": {
    flag: {
      rules: [{ id: "logic", serve: { logic: { if: [{ "===": [{ var: "$tenant.plan" }, "pro"] }, "green"] } } }],
    },
    gives: ["green", "TARGETING_MATCH", "RULE", "logic"],
  },
  "no off variant: the caller's default": {
    flag: { ...ALL, offVariant: undefined, entitlement: { feature: "beta" } } as never,
    gives: [undefined, "DEFAULT", "ENTITLEMENT"],
  },
};

describe("the steps of a decision, in order", () => {
  for (const [title, { flag, parent = {}, override, context = CONTEXT, gives, ...rest }] of Object.entries(CASES)) {
    it(title, () => {
      const evaluator = evaluatorWith({
        flags: { put: [JSON.parse(JSON.stringify(flagOf(flag))), { ...PARENT, ...parent }] },
        groups: { put: [EXPERIMENTS] },
        ...(override === undefined ? {} : { overrides: { put: [override] } }),
      });
      const tenant = "tenant" in rest ? rest.tenant : ACME;
      const { variant, reason, layer, ruleId } = evaluator.evaluate("flag", context, tenant, NOW);
      expect([variant, reason, layer, ruleId]).toEqual([...gives, undefined].slice(0, 4));
      expect(evaluator.explain("flag", context, tenant, NOW).evaluation).toEqual(
        evaluator.evaluate("flag", context, tenant, NOW),
      );
    });
  }
});

describe("results", () => {
  it("are frozen and shared, values and all", () => {
    const evaluator = evaluatorWith({
      flags: {
        put: [flagOf({ kind: "object", variants: { red: { list: [1] }, blue: {} }, metadata: { owner: "a" } })],
      },
      metadata: { set: "x", owner: "set" },
    });
    const result = evaluator.evaluate("flag", {}, ACME, NOW);
    expect(result.flagMetadata).toEqual({ set: "x", owner: "a" });
    expect(evaluator.evaluate("flag", {}, ACME, NOW)).toBe(result);
    expect(() => Object.assign(result, { value: 1 })).toThrow(TypeError);
    expect(() => ((result.value as unknown as { list: number[] }).list[0] = 2)).toThrow(TypeError);
  });

  it("take the caller's default, and refuse another type", () => {
    const evaluator = evaluatorWith({ flags: { put: [flagOf(), flagOf({ key: "none", state: "DISABLED" })] } });
    const of = (key: string) => evaluator.evaluate(key, {}, ACME, NOW);
    expect(orDefault(of("flag"), "mine")).toMatchObject({ value: "#f00", reason: "STATIC" });
    expect(orDefault(of("flag"), 5)).toMatchObject({
      value: 5,
      variant: undefined,
      reason: "ERROR",
      errorCode: "TYPE_MISMATCH",
    });
    expect(orDefault(of("none"), 5)).toMatchObject({ value: 5, reason: "DISABLED" });
    expect(orDefault(of("absent"), true)).toMatchObject({ value: true, reason: "ERROR", errorCode: "FLAG_NOT_FOUND" });
  });
});

describe("explanations", () => {
  it("name the prerequisites, the rules and their clauses, and the bucket", () => {
    const french = {
      clauses: [
        { attribute: "country", operator: "IN" as const, values: ["DE"] },
        { attribute: "plan", operator: "EXISTS" as const },
      ],
    };
    const evaluator = evaluatorWith({
      flags: {
        put: [
          PARENT,
          flagOf({
            ...ALL,
            rules: [
              { id: "first", match: french, serve: { variant: "red" } },
              {
                id: "ramp",
                serve: {
                  ramp: {
                    variant: "green",
                    steps: [
                      { at: NOW, share: 0 },
                      { at: NOW + 10_000, share: SHARES },
                    ],
                  },
                },
              },
              {
                id: "half",
                match: RULE.match,
                serve: {
                  split: [
                    { variant: "red", weight: 1 },
                    { variant: "green", weight: 1 },
                  ],
                },
              },
            ],
          }),
        ],
      },
      groups: { put: [EXPERIMENTS] },
    });
    const explanation = evaluator.explain("flag", CONTEXT, ACME, NOW);
    expect(explanation).toMatchObject({
      evaluation: { reason: "SPLIT", ruleId: "half" },
      prerequisites: [{ flag: "parent", variant: "red", met: true, because: { evaluation: { layer: "DEFAULT" } } }],
      entitlement: { feature: "sso", entitled: true },
      group: { group: "experiments", unit: "user-1", of: SHARES },
      rules: [
        { id: "first", clauses: [true, false], outcome: "NOT_MATCHED" },
        { id: "ramp", clauses: [], outcome: "MATCHED" },
        { id: "half", clauses: [true], outcome: "SERVED" },
      ],
      bucket: { unit: "user-1", of: 2 },
    });
    const variants = ["red", "green"];
    expect(explanation.evaluation.variant).toBe(variants[explanation.bucket?.bucket ?? 2]);
    expect(evaluator.explain("flag", CONTEXT, ACME, NOW + 10_000)).toMatchObject({
      evaluation: { variant: "green", ruleId: "ramp" },
      bucket: { of: SHARES, share: SHARES },
    });
  });
});
