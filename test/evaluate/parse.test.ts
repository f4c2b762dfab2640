import { createEvaluator, type FlagChanges } from "@tenantplane/sdk/evaluate";
import { re2 } from "@tenantplane/sdk/regex";
import { describe, expect, it } from "vitest";
import { evaluatorWith, flagOf } from "../support/flag-set.ts";

function problemsOf(changes: FlagChanges): string[] {
  const { applied, problems } = createEvaluator({ regex: re2 }).apply(changes, "strict");
  expect(applied).toBe(problems.length === 0);
  return problems.map(({ field, description }) => `${field}: ${description}`);
}

const clauses = (...list: unknown[]): object => ({
  rules: [{ id: "r", match: { clauses: list }, serve: { variant: "red" } }],
});

describe("a flag that is wrong", () => {
  it("has each of its problems named by its field", () => {
    const flag = {
      ...flagOf(),
      kind: "number",
      killed: "yes",
      offVariant: "pink",
      surprise: 1,
      salt: "",
      bucketing: 2,
      group: { group: "g", from: 5, to: 5 },
      prerequisites: [{ flag: "flag", variants: [] }],
      metadata: { nested: {} },
      rules: [
        {
          id: "a",
          match: { clauses: [{ attribute: "a..b", operator: "LESS", values: ["1", 2] }] },
          serve: { variant: "pink" },
        },
        { id: "a", match: {}, serve: { split: [{ variant: "red", weight: 0 }] } },
        {
          id: "c",
          serve: {
            ramp: {
              variant: "red",
              steps: [
                { at: 2_000, share: 1 },
                { at: 1_000, share: 200_000 },
              ],
            },
          },
        },
        { id: "d", serve: { variant: "red", split: [] } },
      ],
    };
    expect(problemsOf({ flags: { put: [flag] } })).toEqual([
      'flags["flag"].surprise: is not known',
      'flags["flag"].variants["red"]: must be a number, as the flag\'s kind says',
      'flags["flag"].variants["green"]: must be a number, as the flag\'s kind says',
      'flags["flag"].variants["blue"]: must be a number, as the flag\'s kind says',
      'flags["flag"].salt: must not be empty',
      'flags["flag"].bucketing: must be 1, the only version there is',
      'flags["flag"].killed: must be a boolean',
      'flags["flag"].offVariant: the flag has no variant "pink"',
      'flags["flag"].prerequisites[0].variants: must name at least one variant',
      'flags["flag"].group.to: must be above `from`',
      'flags["flag"].rules[0].match.clauses[0].attribute: must be names joined by dots, none of them empty',
      'flags["flag"].rules[0].match.clauses[0].values[0]: must be a number',
      'flags["flag"].rules[0].match.clauses[0].values: must have exactly one value',
      'flags["flag"].rules[0].serve.variant: the flag has no variant "pink"',
      'flags["flag"].rules[1].id: is the id of an earlier rule',
      'flags["flag"].rules[1].match: must have either clauses or logic',
      'flags["flag"].rules[1].serve.split: the weights must come to 1 to 2147483647 together',
      'flags["flag"].rules[2].serve.ramp.steps[1].share: must be a whole number from 0 to 100000',
      'flags["flag"].rules[3].serve: must have one of variant, split, ramp, logic',
      'flags["flag"].metadata["nested"]: must be a string, a number or a boolean',
    ]);
  });

  const WRONG_CLAUSES: readonly (readonly [object, string])[] = [
    [{ attribute: "a", operator: "LIKE", values: ["x"] }, ".operator: must be one of EXISTS"],
    [{ attribute: "a", operator: "EXISTS", values: ["x"] }, ".values: must have no value"],
    [{ attribute: "a", operator: "IN", values: [] }, ".values: must have at least one value"],
    [{ attribute: "a", operator: "IN", values: [null] }, ".values[0]: must be a string, a number or a boolean"],
    [{ attribute: "a", operator: "MATCHES", values: ["(a"] }, ".values[0]: error parsing regexp"],
    [{ attribute: "a", operator: "MATCHES", values: ["(?=a)"] }, ".values[0]: error parsing regexp"],
    [{ attribute: "a", operator: "MATCHES", values: ["(a|b){900}"] }, ".values[0]: is too large an expression"],
    [{ attribute: "a", operator: "IN_CIDR", values: ["10.0.0.0/33"] }, ".values[0]: must be a block of addresses"],
    [{ attribute: "a", operator: "SEMVER_EQUAL", values: ["1.2.3.4"] }, ".values[0]: must be a semantic version"],
    [{ attribute: "a", operator: "AFTER", values: ["2026-02-30T00:00:00Z"] }, ".values[0]: must be RFC 3339"],
    [{ attribute: "a", operator: "LESS", values: [1], ignoreCase: true }, ".ignoreCase: has no meaning for LESS"],
    [{ attribute: "a", operator: "SEGMENT", values: ["s"] }, ".attribute: has no meaning here"],
    [{ attribute: "$flagd.flagKey", operator: "EXISTS" }, ".attribute: of $flagd, only $flagd.timestamp"],
    [{ attribute: "$tenant", operator: "EXISTS" }, ".attribute: must name one of the tenant's facts"],
  ];
  for (const [clause, problem] of WRONG_CLAUSES) {
    it(`is refused for ${JSON.stringify(clause)}`, () => {
      const [first = ""] = problemsOf({ flags: { put: [flagOf(clauses(clause))] } });
      expect(first.startsWith(`flags["flag"].rules[0].match.clauses[0]${problem}`), first).toBe(true);
    });
  }
});

describe("references", () => {
  it("to what isn't there, or has no such variant, are named", () => {
    const changes: FlagChanges = {
      flags: {
        put: [
          flagOf({
            key: "a",
            prerequisites: [
              { flag: "b", variants: ["red", "pink"] },
              { flag: "c", variants: ["red"] },
            ],
            group: { group: "g", from: 0, to: 1 },
          }),
          flagOf({
            key: "b",
            ...clauses({ operator: "SEGMENT", values: ["s"] }, { operator: "SEGMENT", values: ["t"] }),
          }),
        ],
      },
      segments: { put: [{ key: "s", matches: [{ logic: { $ref: "u" } }] }] },
      overrides: {
        put: [
          { tenant: "acme", flag: "a", serve: { variant: "pink" } },
          { tenant: "acme", flag: "z", serve: { variant: "red" } },
        ],
      },
      memberships: { put: [{ segment: "v", included: ["x"] }] },
    };
    expect(problemsOf(changes).sort()).toEqual([
      'flags["a"].group.group: there is no group "g"',
      'flags["a"].prerequisites[0].variants: the flag "b" has no variant "pink"',
      'flags["a"].prerequisites[1].flag: there is no flag "c"',
      'flags["b"]: there is no segment "t"',
      'memberships["v"]: there is no such segment',
      'overrides["acme/a"].serve: the flag "a" has no variant "pink"',
      'overrides["acme/z"].flag: there is no flag "z"',
      'segments["s"]: there is no segment "u"',
    ]);
  });

  it("round in a circle are refused with the way round", () => {
    const requires = (key: string, flag: string) => flagOf({ key, prerequisites: [{ flag, variants: ["red"] }] });
    expect(
      problemsOf({ flags: { put: [requires("a", "b"), requires("b", "c"), requires("c", "a"), requires("d", "a")] } }),
    ).toContain('flags["a"]: its references go round in a circle: a → b → c → a');
    const segment = (key: string, other: string) => ({
      key,
      matches: [{ clauses: [{ operator: "SEGMENT", values: [other] }] }],
    });
    expect(problemsOf({ segments: { put: [segment("s", "s")] } })).toEqual([
      'segments["s"]: its references go round in a circle: s → s',
    ]);
  });

  it("that would take for ever are refused: diamonds and long chains", () => {
    const level = (number: number, width: number) =>
      flagOf({
        key: `f${number}`,
        prerequisites:
          number === 0 ? [] : Array.from({ length: width }, () => ({ flag: `f${number - 1}`, variants: ["red"] })),
      });
    const levels = (count: number, width: number) => Array.from({ length: count }, (_, number) => level(number, width));
    expect(problemsOf({ flags: { put: levels(18, 2) } }).join()).toContain("more than 100000 steps");
    expect(problemsOf({ flags: { put: levels(5_000, 1) } }).join()).toContain(
      "more than 20 references follow each other",
    );
    expect(problemsOf({ flags: { put: levels(20, 1) } })).toEqual([]);
  });

  it("of a group's flags must not overlap", () => {
    const flag = (key: string, from: number, to: number) => flagOf({ key, group: { group: "g", from, to } });
    const groups = { put: [{ key: "g", salt: "g", bucketing: 1 }] };
    const evaluator = evaluatorWith({ flags: { put: [flag("a", 0, 50), flag("b", 50, 100)] }, groups });
    const { problems } = evaluator.apply({ flags: { put: [flag("c", 99, 200)] } }, "strict");
    expect(problems).toEqual([{ field: 'flags["c"].group', description: 'the range overlaps that of the flag "b"' }]);
  });
});

describe("bounds", () => {
  const deep = (depth: number): unknown => JSON.parse(`${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`);
  const object = (value: unknown) => ({ ...flagOf(), kind: "object", variants: { red: value, blue: {} } });
  const TOO_MUCH: Readonly<Record<string, () => unknown>> = {
    "a value of depth 1,000": () => object(deep(1_000)),
    "a value of 10 MB of text": () => object({ text: "x".repeat(10_000_000) }),
    "a list of 10 MB": () => object({ list: Array.from({ length: 5_000_000 }, () => 1) }),
    "logic of depth 10,000": () =>
      flagOf({ rules: [{ id: "r", serve: { logic: JSON.parse(`${'{"!":'.repeat(10_000)}1${"}".repeat(10_000)}`) } }] }),
    "2,000 values": () =>
      flagOf(clauses({ attribute: "a", operator: "IN", values: Array.from({ length: 2_000 }, (_, n) => n) })),
    "1,000 rules": () =>
      flagOf({ rules: Array.from({ length: 1_000 }, (_, n) => ({ id: `${n}`, serve: { variant: "red" } })) }),
    "60 regular expressions": () =>
      flagOf(clauses({ attribute: "a", operator: "MATCHES", values: Array.from({ length: 60 }, (_, n) => `a${n}`) })),
    "a name of 1,000 characters": () => flagOf({ key: "k".repeat(1_000) }),
  };
  for (const [title, make] of Object.entries(TOO_MUCH)) {
    it(`refuse ${title}`, () => {
      const flag = make();
      const problems = problemsOf({ flags: { put: [flag] } });
      expect(problems).not.toEqual([]);
      expect(JSON.stringify(problems).length).toBeLessThan(100_000);
    });
  }

  it("leave room for a membership of 100,000 and no more", () => {
    const members = Array.from({ length: 100_000 }, (_, n) => `user-${n}`);
    const evaluator = evaluatorWith({
      segments: { put: [{ key: "s" }] },
      memberships: { put: [{ segment: "s", included: members }] },
    });
    expect(
      evaluator.apply({ memberships: { patch: [{ segment: "s", include: ["user-5", "one-more"] }] } }, "strict")
        .problems,
    ).toEqual([
      { field: 'memberships["s"].include', description: "the segment would have more than 100000 members by name" },
    ]);
    expect(
      problemsOf({
        segments: { put: [{ key: "s" }] },
        memberships: { put: [{ segment: "s", included: [...members, "x"] }] },
      }),
    ).toEqual(['memberships["s"].included: must have at most 100000 entries']);
  });
});
