import { createEvaluator, importFlagd, type RampStep, SHARES } from "@tenantplane/sdk/evaluate";
import { re2 } from "@tenantplane/sdk/regex";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { documents, NOW } from "../support/flag-arbitraries.ts";
import { ACME, evaluatorWith, flagOf } from "../support/flag-set.ts";

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const REASONS = ["STATIC", "TARGETING_MATCH", "SPLIT", "DEFAULT", "DISABLED", "ERROR"];
const whenLogic = (logic: unknown) =>
  flagOf({ rules: [{ id: "r", match: { logic: logic as never }, serve: { variant: "green" } }] });

describe("whatever it is given", () => {
  it(`the evaluator takes any JSON for a document and throws nothing (SEED=${seed})`, () => {
    const names = fc.constantFrom(
      "key",
      "kind",
      "state",
      "variants",
      "rules",
      "match",
      "clauses",
      "serve",
      "logic",
      "$ref",
      "var",
      "__proto__",
      "flags",
      "salt",
    );
    const hostile = fc.letrec((tie) => ({
      any: fc.oneof(
        { depthSize: "medium" },
        fc.constantFrom(null, true, "ENABLED", "flag", "boolean", 1, -1, ""),
        fc.array(tie("any"), { maxLength: 3 }),
        tie("object"),
      ),
      object: fc.array(fc.tuple(names, tie("any")), { maxLength: 6 }).map((entries) => Object.fromEntries(entries)),
    })).object;
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 4 }), hostile, (put, document) => {
        const broken = put.map((one) => ({ ...flagOf(), ...one }));
        for (const mode of ["strict", "lenient"] as const) {
          const evaluator = createEvaluator({ regex: re2 });
          const every = { put: [...put, ...broken] };
          evaluator.apply(
            {
              flags: every,
              segments: { put },
              groups: { put },
              overrides: { put },
              memberships: { put, patch: put },
              metadata: document,
            },
            mode,
          );
          const imported = importFlagd(document, "daemon", { logic: mode });
          evaluator.apply({ flags: { put: imported.flags }, segments: { put: imported.segments } }, mode);
          for (const key of evaluator.keys()) {
            expect(REASONS).toContain(evaluator.evaluate(key, document, ACME, NOW).reason);
            evaluator.explain(key, document, ACME, NOW);
            evaluator.lowerFlag(key, ACME);
          }
        }
      }),
      { numRuns: 300, seed },
    );
  });

  it(`an evaluation takes anything for a context and throws nothing (SEED=${seed})`, () => {
    fc.assert(
      fc.property(documents, fc.anything(), fc.anything(), (set, context, key) => {
        const evaluator = evaluatorWith({
          flags: { put: set.flags },
          segments: { put: set.segments },
          groups: { put: set.groups },
          overrides: { put: set.overrides },
        });
        for (const flag of [...set.flags.map(({ key }) => key), key as string]) {
          expect(REASONS).toContain(evaluator.evaluate(flag, context as never, ACME, NOW).reason);
          expect(REASONS).toContain(
            evaluator.explain(flag, { plan: context, age: context }, undefined, NOW).evaluation.reason,
          );
        }
      }),
      { numRuns: 200, seed },
    );
  });

  it("a context that throws, a context of depth 1,000 and no context are answered", () => {
    const deep = JSON.parse(`${'{"a":'.repeat(1_000)}1${"}".repeat(1_000)}`) as Record<string, unknown>;
    const rude = {
      get a(): never {
        throw new Error("secret");
      },
    };
    const clause = { attribute: "a.a", operator: "IN" as const, values: [1] };
    const evaluator = evaluatorWith({
      flags: {
        put: [
          flagOf({ rules: [{ id: "r", match: { clauses: [clause] }, serve: { variant: "green" } }] }),
          { ...whenLogic({ cat: [{ var: "a" }] }), key: "logic" },
        ],
      },
    });
    expect(evaluator.evaluate("flag", deep, ACME, NOW).variant).toBe("red");
    expect(evaluator.evaluate("logic", deep, ACME, NOW).variant).toBe("green");
    const failed = evaluator.evaluate("flag", rude, ACME, NOW);
    expect(failed).toMatchObject({ reason: "ERROR", errorCode: "GENERAL" });
    expect(failed.errorMessage).not.toContain("secret");
    expect(evaluator.explain("flag", rude, ACME, NOW).evaluation).toEqual(failed);
    for (const context of [null, undefined, 5, "text"]) {
      expect(evaluator.evaluate("flag", context as never, ACME, NOW).errorCode).toBe("INVALID_CONTEXT");
    }
  });

  it("logic that would loop, grow or nest without end is ended", () => {
    const list = { var: "list" };
    const doubled = (operator: string) => ({
      reduce: [list, { [operator]: [{ var: "accumulator" }, { var: "accumulator" }] }, "xxxxxxxx"],
    });
    const ENDLESS = [
      { all: [{ var: "nested" }, { none: [{ var: "" }, { "===": [{ var: "" }, -1] }] }] },
      doubled("cat"),
      doubled("merge"),
      { reduce: [list, { map: [{ var: "accumulator" }, [{ var: "" }]] }, [1]] },
    ];
    const numbers = Array.from({ length: 1_000 }, (_, number) => number);
    const context = { list: numbers, nested: numbers.map(() => numbers) };
    for (const logic of ENDLESS) {
      const result = evaluatorWith({ flags: { put: [whenLogic(logic)] } }).evaluate("flag", context, ACME, NOW);
      expect(result.errorCode, JSON.stringify(logic)).toBe("GENERAL");
    }
  });

  it("names that objects inherit are names like any other", () => {
    const variants = JSON.parse('{"__proto__": "p", "constructor": "c"}') as Record<string, string>;
    const evaluator = evaluatorWith({
      flags: {
        put: ["__proto__", "constructor", "toString"].map((key) => ({
          ...flagOf({ key, offVariant: "constructor", defaultServe: { variant: "__proto__" } }),
          variants,
        })),
      },
      segments: { put: [{ key: "__proto__" }] },
    });
    expect(evaluator.evaluate("__proto__", {}, ACME, NOW)).toMatchObject({ variant: "__proto__", value: "p" });
    expect(evaluator.evaluate("toString", {}, { ...ACME, state: "SUSPENDED" }, NOW).value).toBe("c");
    expect(evaluator.evaluate("valueOf", {}, ACME, NOW).errorCode).toBe("FLAG_NOT_FOUND");
    expect(({} as Record<string, unknown>).p).toBeUndefined();
  });
});

describe("ramps", () => {
  const steps = fc
    .uniqueArray(fc.integer({ min: 0, max: 10_000 }), { minLength: 1, maxLength: 5 })
    .chain((times) =>
      fc
        .array(fc.integer({ min: 0, max: SHARES }), { minLength: times.length, maxLength: times.length })
        .map((shares) => ({ times, shares })),
    );

  it(`never take away what they gave as they go up, nor give again as they go down (SEED=${seed})`, () => {
    fc.assert(
      fc.property(
        steps,
        fc.boolean(),
        fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 10 }),
        ({ times, shares }, up, units) => {
          const sorted = shares.toSorted((a, b) => (up ? a - b : b - a));
          const ramp: RampStep[] = times
            .toSorted((a, b) => a - b)
            .map((at, index) => ({ at: NOW + at * 1_000, share: sorted[index] ?? 0 }));
          const evaluator = evaluatorWith({
            flags: { put: [flagOf({ defaultServe: { ramp: { variant: "green", otherwise: "red", steps: ramp } } })] },
          });
          for (const targetingKey of units) {
            const seen = Array.from(
              { length: 60 },
              (_, index) => evaluator.evaluate("flag", { targetingKey }, ACME, NOW + index * 200_000 - 500_000).variant,
            );
            const turns = seen.filter((variant, index) => index > 0 && variant !== seen[index - 1]).length;
            expect(turns).toBeLessThanOrEqual(1);
            if (turns === 1) expect(seen[0]).toBe(up ? "red" : "green");
          }
        },
      ),
      { numRuns: 100, seed },
    );
  });

  it("reach their shares at their steps, and not before", () => {
    const ramp: RampStep[] = [
      { at: NOW, share: 0 },
      { at: NOW + 3_000, share: SHARES },
    ];
    const evaluator = evaluatorWith({
      flags: { put: [flagOf({ defaultServe: { ramp: { variant: "green", otherwise: "red", steps: ramp } } })] },
    });
    const share = (ms: number) => evaluator.explain("flag", { targetingKey: "a" }, ACME, NOW + ms).bucket?.share;
    expect([-1, 0, 999, 1_000, 2_000, 2_999, 3_000, 1e9].map(share)).toEqual([
      0,
      0,
      0,
      33_333,
      66_666,
      66_666,
      SHARES,
      SHARES,
    ]);
    const first = { targetingKey: "user-66789" };
    expect(evaluator.explain("flag", first, ACME, NOW).bucket?.bucket).toBe(0);
    expect(evaluator.evaluate("flag", first, ACME, NOW).variant).toBe("red");
    expect(evaluator.evaluate("flag", first, ACME, NOW + 1_000).variant).toBe("green");
    const units = Array.from({ length: 10_000 }, (_, index) => ({ targetingKey: `user-${index}` }));
    const given = units.filter(
      (unit) => evaluator.evaluate("flag", unit, ACME, NOW + 1_000).variant === "green",
    ).length;
    expect(given / units.length).toBeCloseTo(1 / 3, 1);
  });
});
