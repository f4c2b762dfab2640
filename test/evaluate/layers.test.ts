import { orDefault, SHARES } from "@tenantplane/sdk/evaluate";
import { describe, expect, it } from "vitest";
import { ALL, CONTEXT, EXPERIMENTS, LAYER_CASES, LAYER_NOW, PARENT, RULE } from "../support/flag-cases.ts";
import { ACME, evaluatorWith, flagOf } from "../support/flag-set.ts";

describe("the steps of a decision, in order", () => {
  for (const [title, { flag, parent = {}, override, context = CONTEXT, gives, ...rest }] of Object.entries(
    LAYER_CASES,
  )) {
    it(title, () => {
      const evaluator = evaluatorWith({
        flags: { put: [JSON.parse(JSON.stringify(flagOf(flag))), { ...PARENT, ...parent }] },
        groups: { put: [EXPERIMENTS] },
        ...(override === undefined ? {} : { overrides: { put: [override] } }),
      });
      const tenant = "tenant" in rest ? rest.tenant : ACME;
      const { variant, reason, layer, ruleId } = evaluator.evaluate("flag", context, tenant, LAYER_NOW);
      expect([variant, reason, layer, ruleId]).toEqual([...gives, undefined].slice(0, 4));
      expect(evaluator.explain("flag", context, tenant, LAYER_NOW).evaluation).toEqual(
        evaluator.evaluate("flag", context, tenant, LAYER_NOW),
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
    const result = evaluator.evaluate("flag", {}, ACME, LAYER_NOW);
    expect(result.flagMetadata).toEqual({ set: "x", owner: "a" });
    expect(evaluator.evaluate("flag", {}, ACME, LAYER_NOW)).toBe(result);
    expect(() => Object.assign(result, { value: 1 })).toThrow(TypeError);
    expect(() => ((result.value as unknown as { list: number[] }).list[0] = 2)).toThrow(TypeError);
  });

  it("take the caller's default, and refuse another type", () => {
    const evaluator = evaluatorWith({ flags: { put: [flagOf(), flagOf({ key: "none", state: "DISABLED" })] } });
    const of = (key: string) => evaluator.evaluate(key, {}, ACME, LAYER_NOW);
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
                      { at: LAYER_NOW, share: 0 },
                      { at: LAYER_NOW + 10_000, share: SHARES },
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
    const explanation = evaluator.explain("flag", CONTEXT, ACME, LAYER_NOW);
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
    expect(evaluator.explain("flag", CONTEXT, ACME, LAYER_NOW + 10_000)).toMatchObject({
      evaluation: { variant: "green", ruleId: "ramp" },
      bucket: { of: SHARES, share: SHARES },
    });
  });
});
