import { createEvaluator, type Evaluator, type FlagChanges, type FlagDefinition } from "@tenantplane/sdk/evaluate";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { documents, type FlagDocuments, NOW, tenant } from "../support/flag-arbitraries.ts";
import { ACME, evaluatorWith, flagOf } from "../support/flag-set.ts";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const inSegment = (key: string): Partial<FlagDefinition> => ({
  rules: [{ id: "r", match: { clauses: [{ operator: "SEGMENT", values: [key] }] }, serve: { variant: "green" } }],
});
const variantOf = (evaluator: Evaluator, key = "flag", context = {}) =>
  evaluator.evaluate(key, context, ACME, NOW).variant;

describe("a change", () => {
  it("reaches everything that depends on it, and names the flags that it may have changed", () => {
    const evaluator = evaluatorWith({
      flags: {
        put: [
          flagOf({ key: "parent", ...inSegment("inner") }),
          flagOf({ prerequisites: [{ flag: "parent", variants: ["green"] }] }),
          flagOf({ key: "aside" }),
        ],
      },
      segments: {
        put: [{ key: "outer" }, { key: "inner", matches: [{ clauses: [{ operator: "SEGMENT", values: ["outer"] }] }] }],
      },
    });
    expect(variantOf(evaluator)).toBe("blue");
    const everybody = { segments: { put: [{ key: "outer", matches: [{ clauses: [] }] }] } };
    expect(evaluator.apply(everybody, "strict").changedFlags).toEqual(["parent", "flag"]);
    expect(variantOf(evaluator)).toBe("red");
    expect(
      evaluator.apply({ flags: { put: [flagOf({ key: "parent", killed: true })] } }, "strict").changedFlags,
    ).toEqual(["parent", "flag"]);
    expect(variantOf(evaluator)).toBe("blue");
    expect(evaluator.apply({ flags: { put: [flagOf({ key: "aside" })] } }, "strict").changedFlags).toEqual(["aside"]);
  });

  it("that ends a reference frees what it referred to", () => {
    const evaluator = evaluatorWith({
      flags: { put: [flagOf({ key: "parent" }), flagOf({ prerequisites: [{ flag: "parent", variants: ["red"] }] })] },
    });
    evaluator.apply({ flags: { put: [flagOf()] } }, "strict");
    expect(evaluator.apply({ flags: { delete: ["parent"] } }, "strict")).toEqual({
      applied: true,
      problems: [],
      changedFlags: ["parent"],
    });
  });

  it("of members by name costs their number: excluded, included, forgotten", () => {
    const evaluator = evaluatorWith({ flags: { put: [flagOf(inSegment("s"))] }, segments: { put: [{ key: "s" }] } });
    const variantsAfter = (changes: FlagChanges) => {
      expect(evaluator.apply(changes, "strict")).toMatchObject({ applied: true, changedFlags: ["flag"] });
      return ["a", "b"].map((targetingKey) => variantOf(evaluator, "flag", { targetingKey }));
    };
    expect(variantsAfter({ memberships: { put: [{ segment: "s", included: ["a"] }] } })).toEqual(["green", "red"]);
    expect(variantsAfter({ memberships: { patch: [{ segment: "s", include: ["b"], exclude: ["a"] }] } })).toEqual([
      "red",
      "green",
    ]);
    expect(variantsAfter({ memberships: { patch: [{ segment: "s", remove: ["b"] }] } })).toEqual(["red", "red"]);
    expect(variantsAfter({ segments: { put: [{ key: "s", matches: [{ clauses: [] }] }] } })).toEqual(["red", "green"]);
  });

  it("of overrides takes effect and ends with its flag", () => {
    const evaluator = evaluatorWith({ flags: { put: [flagOf()] } });
    const override = { tenant: "acme", flag: "flag", serve: { variant: "green" } };
    evaluator.apply({ overrides: { put: [override] } }, "strict");
    expect(variantOf(evaluator)).toBe("green");
    evaluator.apply({ overrides: { delete: [{ tenant: "acme", flag: "flag" }] } }, "strict");
    expect(evaluator.evaluate("flag", {}, ACME, NOW)).toMatchObject({ variant: "red", reason: "STATIC" });
    evaluator.apply({ overrides: { put: [override] } }, "strict");
    evaluator.apply({ flags: { delete: ["flag"] } }, "strict");
    evaluator.apply({ flags: { put: [flagOf()] } }, "strict");
    expect(variantOf(evaluator)).toBe("red");
  });

  it("that takes away what others need is refused, and changes nothing", () => {
    const evaluator = evaluatorWith({
      flags: {
        put: [
          flagOf({ key: "parent" }),
          flagOf({ ...inSegment("s"), prerequisites: [{ flag: "parent", variants: ["red"] }] }),
        ],
      },
      segments: { put: [{ key: "s", matches: [{ clauses: [] }] }] },
    });
    const { green, blue } = flagOf().variants;
    const REFUSED: readonly FlagChanges[] = [
      { flags: { delete: ["parent"] } },
      { segments: { delete: ["s"] } },
      {
        flags: {
          put: [{ ...flagOf({ key: "parent", defaultServe: { variant: "green" } }), variants: { green, blue } }],
        },
      },
      { flags: { put: [flagOf({ key: "new" }), flagOf({ key: "bad", offVariant: "pink" })] } },
      { flags: { put: [flagOf({ key: "new" }), flagOf({ key: "new" })] } },
      { flags: { put: [flagOf({ prerequisites: [{ flag: "unheard-of", variants: ["red"] }] })] } },
    ];
    for (const changes of REFUSED) {
      const { applied, problems } = evaluator.apply(changes, "strict");
      expect({ applied, some: problems.length > 0 }).toEqual({ applied: false, some: true });
      expect([evaluator.size, variantOf(evaluator), variantOf(evaluator, "new")]).toEqual([2, "green", undefined]);
    }
    expect(
      evaluator.apply({ flags: { delete: ["flag", "parent"] }, segments: { delete: ["s"] } }, "strict").problems,
    ).toEqual([]);
    expect(evaluator.size).toBe(0);
  });

  it("that is taken leniently makes fail what can't be read, and nothing else", () => {
    const evaluator = createEvaluator();
    const put = [
      flagOf(),
      { ...flagOf({ key: "newer" }), strategy: "of a later version" },
      flagOf({ key: "lost", ...inSegment("absent") }),
      flagOf({ key: "a", prerequisites: [{ flag: "b", variants: ["red"] }] }),
      flagOf({ key: "b", prerequisites: [{ flag: "a", variants: ["red"] }] }),
      flagOf({
        key: "regex",
        rules: [
          {
            id: "r",
            match: { clauses: [{ attribute: "x", operator: "MATCHES", values: ["a"] }] },
            serve: { variant: "red" },
          },
        ],
      }),
      null,
    ];
    expect(evaluator.apply({ flags: { put } }, "lenient").applied).toBe(true);
    expect(variantOf(evaluator)).toBe("red");
    for (const key of ["newer", "lost", "a", "b", "regex"]) {
      expect(evaluator.evaluate(key, {}, ACME, NOW), key).toMatchObject({ reason: "ERROR", errorCode: "PARSE_ERROR" });
    }
    evaluator.apply(
      {
        flags: { put: [flagOf({ key: "newer" }), flagOf({ key: "b" }), put[3]] },
        segments: { put: [{ key: "absent" }] },
      },
      "lenient",
    );
    expect(["newer", "lost", "a", "b"].map((key) => variantOf(evaluator, key))).toEqual(["red", "red", "red", "red"]);
  });

  it("of the set's metadata is in every result, and a snapshot forgets what it doesn't have", () => {
    const evaluator = evaluatorWith({ flags: { put: [flagOf(), flagOf({ key: "gone" })] }, metadata: { version: 1 } });
    evaluator.apply({ metadata: { version: 2 } }, "strict");
    expect(evaluator.evaluate("gone", {}, ACME, NOW).flagMetadata).toEqual({ version: 2 });
    const { changedFlags } = evaluator.apply({ reset: true, flags: { put: [flagOf()] } }, "strict");
    expect(changedFlags.toSorted()).toEqual(["flag", "gone"]);
    expect([...evaluator.keys()]).toEqual(["flag"]);
    expect(evaluator.evaluate("flag", {}, ACME, NOW).flagMetadata).toEqual({});
  });
});

describe("a set", () => {
  it(`is the same whether it came at once or in pieces, through refused changes (SEED=${seed})`, () => {
    fc.assert(
      fc.property(
        documents,
        documents,
        tenant,
        fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }),
        (old, set, facts, order) => {
          const whole = evaluatorWith(changesOf(set));
          const pieces = evaluatorWith(changesOf(old));
          pieces.apply({ groups: { put: set.groups }, segments: { put: set.segments } }, "lenient");
          for (const index of order) {
            pieces.apply(
              { flags: { put: [{ ...set.flags[index], offVariant: "pink" }], delete: ["flag-0"] } },
              "strict",
            );
            pieces.apply({ flags: { put: [set.flags[index]] } }, "lenient");
          }
          const gone = old.overrides.map(({ tenant, flag }) => ({ tenant, flag }));
          pieces.apply({ overrides: { delete: gone, put: set.overrides } }, "lenient");
          pieces.apply({ memberships: { put: [{ segment: "staff" }, ...set.memberships] } }, "lenient");
          const contexts = [
            {},
            { targetingKey: "user-1", plan: "pro", country: "DE" },
            { targetingKey: "b", country: "x", age: 18 },
          ];
          for (const { key } of set.flags) {
            for (const context of contexts) {
              expect(pieces.evaluate(key, context, facts, NOW)).toEqual(whole.evaluate(key, context, facts, NOW));
            }
          }
        },
      ),
      { numRuns: 150, seed },
    );
  });
});

function changesOf({ flags, segments, groups, overrides, memberships }: FlagDocuments): FlagChanges {
  return {
    flags: { put: flags },
    segments: { put: segments },
    groups: { put: groups },
    overrides: { put: overrides },
    memberships: { put: memberships },
  };
}
