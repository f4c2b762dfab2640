import type { Clause } from "@tenantplane/sdk/evaluate";
import { describe, expect, it } from "vitest";
import { OPERATOR_CASES, OPERATOR_NOW } from "../support/flag-cases.ts";
import { ACME, evaluatorWith, flagOf } from "../support/flag-set.ts";

describe("operators", () => {
  for (const [title, clause, satisfied, unsatisfied] of OPERATOR_CASES) {
    it(title, () => {
      const takesAttribute = !["SEGMENT", "ENTITLED"].includes(clause.operator);
      const positive: Clause = { ...clause, ...(takesAttribute ? { attribute: "attribute" } : {}) };
      const rules = (negate: boolean) => [
        {
          id: "rule",
          match: { clauses: [{ ...positive, ...(negate ? { negate } : {}) }] },
          serve: { variant: "green" },
        },
      ];
      const evaluator = evaluatorWith({
        flags: { put: [flagOf({ rules: rules(false) }), flagOf({ key: "negated", rules: rules(true) })] },
        segments: { put: [{ key: "all", matches: [{ clauses: [] }] }, { key: "none" }] },
      });
      const holds = (attribute: unknown) => [
        evaluator.evaluate("flag", { attribute }, ACME, OPERATOR_NOW).variant === "green",
        evaluator.evaluate("negated", { attribute }, ACME, OPERATOR_NOW).variant === "red",
      ];
      for (const value of satisfied) expect(holds(value), String(value)).toEqual([true, true]);
      for (const value of unsatisfied) expect(holds(value), String(value)).toEqual([false, false]);
    });
  }
});

describe("attributes", () => {
  const context = {
    user: { "first.name": "Ada", tags: ["x"] },
    back: { "\\": "slash" },
    $tenant: { plan: "fake" },
    $flagd: { timestamp: 0 },
  };
  const PATHS: readonly (readonly [string, unknown])[] = [
    ["user.first\\.name", "Ada"],
    ["user.tags.0", "x"],
    ["user.tags.length", 1],
    ["back.\\\\", "slash"],
    ["$tenant.plan", "pro"],
    ["$tenant.labels.tier", "gold"],
    ["$tenant.entitlements.seats", 10],
    ["$flagd.timestamp", Math.floor(OPERATOR_NOW / 1_000)],
    ["constructor", undefined],
    ["__proto__", undefined],
    ["user.toString", undefined],
    ["user.tags.map", undefined],
    ["user.absent.deeper", undefined],
  ];
  for (const [path, expected] of PATHS) {
    it(`${path} is ${expected}`, () => {
      const clause: Clause =
        expected === undefined
          ? { attribute: path, operator: "EXISTS", negate: true }
          : { attribute: path, operator: "IN", values: [expected as string] };
      const evaluator = evaluatorWith({
        flags: {
          put: [flagOf({ rules: [{ id: "rule", match: { clauses: [clause] }, serve: { variant: "green" } }] })],
        },
      });
      expect(evaluator.evaluate("flag", context, ACME, OPERATOR_NOW).variant).toBe("green");
    });
  }

  it("of any name can be a context's own, also those that objects inherit", () => {
    const names = ["__proto__", "constructor", "toString", "length", "map"];
    const own = JSON.parse(`{${names.map((name) => `"${name}":"own"`).join()}}`) as Record<string, unknown>;
    for (const name of names) {
      const match = { clauses: [{ attribute: name, operator: "IN" as const, values: ["own"] }] };
      const evaluator = evaluatorWith({
        flags: { put: [flagOf({ rules: [{ id: "rule", match, serve: { variant: "green" } }] })] },
      });
      expect(evaluator.evaluate("flag", own, undefined, OPERATOR_NOW).variant, name).toBe("green");
      expect(evaluator.evaluate("flag", {}, undefined, OPERATOR_NOW).variant, name).toBe("red");
    }
  });
});
