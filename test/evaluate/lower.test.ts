import { FlagdCore } from "@openfeature/flagd-core";
import { createEvaluator, type Evaluation, importFlagd } from "@tenantplane/sdk/evaluate";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { context, documents, NOW, tenant } from "../support/flag-arbitraries.ts";
import { ACME, evaluatorWith, flagOf } from "../support/flag-set.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

beforeAll(() => {
  vi.useFakeTimers({ now: NOW, toFake: ["Date"] });
});
afterAll(() => {
  vi.useRealTimers();
});

describe("flags in flagd's JSON", () => {
  it(`give flagd-core, compiled and interpreted, what they give us (SEED=${seed})`, () => {
    fc.assert(
      fc.property(documents, tenant, fc.array(context, { minLength: 1, maxLength: 5 }), (set, facts, contexts) => {
        const evaluator = createEvaluator();
        const { flags, segments, groups, overrides, memberships } = set;
        const applied = evaluator.apply(
          {
            flags: { put: flags },
            segments: { put: segments },
            groups: { put: groups },
            overrides: { put: overrides },
            memberships: { put: memberships },
          },
          "strict",
        );
        expect(applied.problems).toEqual([]);
        const { document, left } = evaluator.lower(facts);
        expect(left).toEqual([]);
        expect(importFlagd(document, "provider").problems).toEqual([]);
        const text = JSON.stringify(document);
        for (const disableDynamicCodeGeneration of [false, true]) {
          const core = new FlagdCore(undefined, quiet, { disableDynamicCodeGeneration });
          core.setConfigurations(text);
          for (const { key } of flags) {
            for (const attributes of contexts) {
              const ours = evaluator.evaluate(key, attributes, facts, NOW);
              const theirs = core.resolveStringEvaluation(key, "caller's", attributes as never, quiet);
              expect({ key, value: theirs.value, variant: theirs.variant }).toEqual({
                key,
                value: ours.value ?? "caller's",
                variant: ours.variant,
              });
              expect(reasonsFor(ours)).toContain(theirs.reason);
            }
          }
        }
      }),
      { numRuns: 300, seed },
    );
  });
});

describe("flagd's JSON, read and written again", () => {
  const shared = { in: ["@example.com", { var: ["email"] }] };
  const flag = (rest: object) => ({ state: "ENABLED", variants: { on: true, off: false }, ...rest });
  const flags = {
    static: flag({ defaultVariant: "on", metadata: { owner: "a" } }),
    none: flag({}),
    disabled: { ...flag({ defaultVariant: "off" }), state: "DISABLED" },
    targeted: flag({ defaultVariant: "off", targeting: { if: [shared, "on", null] } }),
    split: flag({
      targeting: {
        fractional: [
          ["on", 1],
          ["off", { "-": [{ var: "$flagd.timestamp" }, 1] }],
        ],
      },
    }),
    object: { state: "ENABLED", variants: { one: { a: [1, { b: null }] } }, defaultVariant: "one" },
  };
  const roundTrip = (document: object) => {
    const { flags, segments, metadata, problems } = importFlagd(document, "provider");
    expect(problems).toEqual([]);
    const evaluator = createEvaluator();
    expect(
      evaluator.apply({ flags: { put: flags }, segments: { put: segments }, metadata }, "strict").problems,
    ).toEqual([]);
    return evaluator.lower(undefined);
  };

  it("is the same", () => {
    expect(roundTrip({ flags, metadata: { version: "1" } })).toEqual({
      document: { flags, metadata: { version: "1" } },
      left: [],
    });
  });

  it("has shared evaluators in the place of their references", () => {
    const targeted = flag({ defaultVariant: "off", targeting: { if: [{ $ref: "shared" }, "on", null] } });
    const { document } = roundTrip({ flags: { targeted }, $evaluators: { shared } });
    expect(document).toEqual({ flags: { targeted: flags.targeted } });
  });
});

describe("what flagd can't say", () => {
  const clauseOf = (clause: object) =>
    ({ id: "r", match: { clauses: [clause] }, serve: { variant: "green" } }) as never;
  const LEFT: Readonly<Record<string, object>> = {
    "flagd can't ignore case": { attribute: "a", operator: "IN", values: ["x"], ignoreCase: true },
    "flagd has nothing like MATCHES": { attribute: "a", operator: "MATCHES", values: ["x"] },
    "flagd has nothing like IN_CIDR": { attribute: "a", operator: "IN_CIDR", values: ["::/0"] },
    "flagd can't read dates": { attribute: "a", operator: "BEFORE", values: ["now"] },
    'the segment "large" has more than 1000 members by name': { operator: "SEGMENT", values: ["large"] },
  };
  for (const [why, clause] of Object.entries(LEFT)) {
    it(`is left out with its reason, and so is what needs it: ${why}`, () => {
      const evaluator = evaluatorWith({
        flags: {
          put: [
            flagOf({ rules: [clauseOf(clause)] }),
            flagOf({ key: "dependent", prerequisites: [{ flag: "flag", variants: ["red"] }] }),
            flagOf({ key: "aside" }),
          ],
        },
        segments: { put: [{ key: "large" }] },
        memberships: { put: [{ segment: "large", included: Array.from({ length: 1_001 }, (_, n) => `${n}`) }] },
      });
      const { document, left } = evaluator.lower(ACME);
      expect(left).toEqual([
        { flag: "flag", why },
        { flag: "dependent", why },
      ]);
      expect(Object.keys(document.flags)).toEqual(["aside"]);
    });
  }

  it("is said all the same where only the tenant decides", () => {
    const clause = { attribute: "$tenant.plan", operator: "MATCHES", values: ["^PRO$"], ignoreCase: true };
    const evaluator = evaluatorWith({ flags: { put: [flagOf({ rules: [clauseOf(clause)] })] } });
    expect(evaluator.lowerFlag("flag", ACME)).toMatchObject({ flag: { state: "ENABLED", defaultVariant: "green" } });
    expect(evaluator.lowerFlag("flag", { ...ACME, plan: "basic" })).toMatchObject({ flag: { defaultVariant: "red" } });
    expect(evaluator.lowerFlag("absent", ACME)).toEqual({ left: "there is no such flag, or it can't be read" });
  });
});

/** The reasons that flagd may give for the same result: it knows no splits, and not that the tenant has decided. */
function reasonsFor({ reason, variant, errorCode }: Evaluation): string[] {
  if (errorCode === "TARGETING_KEY_MISSING") return ["DEFAULT"];
  if (variant === undefined) return [reason, "DEFAULT", "DISABLED"];
  switch (reason) {
    case "STATIC":
      return ["STATIC"];
    case "DISABLED":
      return ["STATIC"];
    case "SPLIT":
      return ["TARGETING_MATCH", "STATIC"];
    case "DEFAULT":
      return ["DEFAULT", "TARGETING_MATCH", "STATIC"];
    default:
      return [reason, "STATIC"];
  }
}
