import { FlagdCore } from "@openfeature/flagd-core";
import { createEvaluator, type Evaluation, importFlagd } from "@tenantplane/sdk/evaluate";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { context, documents, NOW, tenant } from "../support/flag-arbitraries.ts";

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
