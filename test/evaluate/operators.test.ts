import type { Clause } from "@tenantplane/sdk/evaluate";
import { describe, expect, it } from "vitest";
import { ACME, evaluatorWith, flagOf } from "../support/flag-set.ts";

const NOW = Date.UTC(2026, 0, 15, 12, 0, 0) + 750;

/** An operator with its values, what satisfies it and what doesn't. */
const TABLE: readonly (readonly [string, Omit<Clause, "attribute">, readonly unknown[], readonly unknown[]])[] = [
  ["EXISTS", { operator: "EXISTS" }, ["", 0, false, [], {}], [null, undefined, () => 1]],
  [
    "IN, in type too",
    { operator: "IN", values: ["5", true] },
    ["5", true, ["x", "5"]],
    [5, "true", null, {}, ["x"], [["5"]]],
  ],
  ["IN, many", { operator: "IN", values: ["a", "b", "c", "d", 5] }, ["d", 5, [9, 5]], ["e", "5", "A"]],
  [
    "IN without case",
    { operator: "IN", values: ["Straße", 5], ignoreCase: true },
    ["STRAßE", "straße", 5],
    ["strasse", "5"],
  ],
  ["CONTAINS", { operator: "CONTAINS", values: ["b", "zz"] }, ["abc", ["x", "b"], "zz"], ["aBc", 5, null, [["b"]]]],
  ["CONTAINS without case", { operator: "CONTAINS", values: ["B"], ignoreCase: true }, ["abc", "aBc"], ["ac"]],
  ["STARTS_WITH", { operator: "STARTS_WITH", values: ["ab"] }, ["abc"], ["bab", "Abc"]],
  ["ENDS_WITH", { operator: "ENDS_WITH", values: [".com", ""] }, ["a.com", ""], [null, 3]],
  ["MATCHES", { operator: "MATCHES", values: ["^a+$", "\\d{3}"] }, ["aaa", "x123"], ["aab", 123, "a".repeat(2_000)]],
  ["MATCHES without case", { operator: "MATCHES", values: ["^ABC$"], ignoreCase: true }, ["abc"], ["abcd"]],
  ["LESS", { operator: "LESS", values: [10] }, [9.5, -1, [11, 3]], [10, "9", null, true, Number.NaN]],
  ["GREATER_OR_EQUAL", { operator: "GREATER_OR_EQUAL", values: [10] }, [10, 1e300], [9.9, "10", {}]],
  [
    "SEMVER_EQUAL",
    { operator: "SEMVER_EQUAL", values: ["1.2.0", "3"] },
    ["1.2", "v1.2.0+build.7", 3, "3.0.0"],
    ["1.2.0-rc", "1.2.0.0", ["1.2.0"], null],
  ],
  [
    "SEMVER_LESS",
    { operator: "SEMVER_LESS", values: ["1.0.0"] },
    ["1.0.0-rc.1", "0.9"],
    ["1.0.0", "01.0.0", "x", true],
  ],
  [
    "SEMVER_GREATER",
    { operator: "SEMVER_GREATER", values: ["1.0.0-alpha.9"] },
    ["1.0.0-alpha.10", "1.0.0-alpha.beta", "1.0.0"],
    ["1.0.0-alpha.8", "1.0.0-1"],
  ],
  [
    "IN_CIDR",
    { operator: "IN_CIDR", values: ["10.1.0.0/16", "2001:db8::/33", "192.0.2.7"] },
    ["10.1.255.255", "::ffff:10.1.2.3", "2001:DB8:7fff::1", "192.0.2.7", ["8.8.8.8", "10.1.0.0"]],
    ["10.2.0.0", "2001:db8:8000::1", "010.1.0.0", "10.1.0", "192.0.2.8", "x", 5],
  ],
  ["IN_CIDR, all", { operator: "IN_CIDR", values: ["0.0.0.0/0"] }, ["255.255.255.255"], ["::1", ""]],
  [
    "BEFORE",
    { operator: "BEFORE", values: ["2026-01-15T12:00:00Z"] },
    ["2026-01-15T12:59:59.999+01:00", 0, "2026-01-15t11:00:00z"],
    ["2026-01-15T12:00:00Z", "2026-02-30T00:00:00Z", "2026-01-15", "yesterday", null],
  ],
  [
    "AFTER now",
    { operator: "AFTER", values: ["now"] },
    ["2026-01-15T12:00:01Z", NOW],
    ["2026-01-15T12:00:00Z", NOW - 1_000],
  ],
  ["SEGMENT", { operator: "SEGMENT", values: ["none", "all"] }, [undefined], []],
  ["ENTITLED", { operator: "ENTITLED", values: ["nothing", "seats"] }, [undefined], []],
  ["not ENTITLED", { operator: "ENTITLED", values: ["beta", "toString", "constructor"] }, [], [undefined]],
];

describe("operators", () => {
  for (const [title, clause, satisfied, unsatisfied] of TABLE) {
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
        evaluator.evaluate("flag", { attribute }, ACME, NOW).variant === "green",
        evaluator.evaluate("negated", { attribute }, ACME, NOW).variant === "red",
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
    ["$flagd.timestamp", Math.floor(NOW / 1_000)],
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
      expect(evaluator.evaluate("flag", context, ACME, NOW).variant).toBe("green");
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
      expect(evaluator.evaluate("flag", own, undefined, NOW).variant, name).toBe("green");
      expect(evaluator.evaluate("flag", {}, undefined, NOW).variant, name).toBe("red");
    }
  });
});
