import { FlagdCore } from "@openfeature/flagd-core";
import { createEvaluator, importFlagd, type JsonValue } from "@tenantplane/sdk/evaluate";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { context, NOW } from "../support/flag-arbitraries.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));

beforeAll(() => {
  vi.useFakeTimers({ now: NOW, toFake: ["Date"] });
});
afterAll(() => {
  vi.useRealTimers();
});

const path = fc.constantFrom(
  "plan",
  "country",
  "age",
  "tags",
  "version",
  "user.name",
  "absent",
  "$flagd.timestamp",
  "$flagd.flagKey",
);
const literal = fc.constantFrom<JsonValue>(null, true, false, 0, 1, -2, 3.5, "", "a", "1", "pro", "1.2.3", "=", "<");
const list = fc.oneof(
  fc.array(literal, { maxLength: 3 }),
  fc.constantFrom<JsonValue>({ var: "tags" }, { var: "absent" }, { merge: [{ var: "tags" }, 1] }),
);

const expression: fc.Arbitrary<JsonValue> = fc.letrec<{ any: JsonValue; operation: JsonValue }>((tie) => {
  const args = (min: number, max: number) => fc.array(tie("any"), { minLength: min, maxLength: max });
  const operation = (operators: readonly string[], min: number, max: number) =>
    fc
      .tuple(fc.constantFrom(...operators), args(min, max))
      .map(([operator, list]): JsonValue => ({ [operator]: list }));
  // Within a loop, `var` reads the element; flagd's own operators fail there.
  const body = fc.constantFrom<JsonValue>(
    { var: "" },
    { ">": [{ var: "" }, 0] },
    { "!": [{ var: "" }] },
    { "+": [{ var: "" }, 1] },
    { in: [{ var: "" }, ["a", "1", 1]] },
  );
  return {
    any: fc.oneof(
      { weight: 3, arbitrary: literal },
      { weight: 2, arbitrary: path.map((name): JsonValue => ({ var: name })) },
      { weight: 3, arbitrary: tie("operation") },
    ),
    operation: fc.oneof(
      { depthSize: "small" },
      path.map((name): JsonValue => ({ var: [name, "none"] })),
      operation(["if"], 1, 5),
      operation(["and", "or"], 1, 3),
      operation(["==", "!=", "===", "!==", ">", ">="], 2, 2),
      operation(["<", "<="], 2, 3),
      operation(["+", "*", "-", "/", "%"], 2, 3),
      operation(["max", "min"], 1, 3),
      operation(["!", "!!"], 1, 1),
      operation(["merge"], 1, 3),
      // Of null, flagd-core makes "null" when it compiles and fails when it interprets; we make nothing of it, as JsonLogic's own does.
      fc
        .array(
          fc.oneof(
            literal.map((value) => value ?? "null"),
            path.map((name): JsonValue => ({ if: [{ var: name }, { var: name }, "none"] })),
          ),
          {
            minLength: 1,
            maxLength: 3,
          },
        )
        .map((args): JsonValue => ({ cat: args })),
      operation(["starts_with", "ends_with"], 2, 2),
      operation(["sem_ver"], 3, 3),
      fc.tuple(tie("any"), list).map(([item, items]): JsonValue => ({ in: [item, items] })),
      fc
        .tuple(tie("any"), fc.integer({ min: -3, max: 3 }))
        .map(([text, from]): JsonValue => ({ substr: [text, from] })),
      fc
        .tuple(tie("any"), fc.integer({ min: -3, max: 3 }), fc.integer({ min: -3, max: 3 }))
        .map(([text, from, length]): JsonValue => ({ substr: [text, from, length] })),
      fc
        .tuple(fc.constantFrom("map", "filter", "some", "none", "all"), list, body)
        .map(([loop, items, test]): JsonValue => ({ [loop]: [items, test] })),
      fc.tuple(list, fc.constantFrom("+", "cat", "max"), fc.constantFrom(0, 1)).map(
        ([items, operator, start]): JsonValue => ({
          reduce: [items, { [operator]: [{ var: "current" }, { var: "accumulator" }] }, start],
        }),
      ),
      fc.array(path, { maxLength: 3 }).map((paths): JsonValue => ({ missing: paths })),
      fc
        .tuple(fc.integer({ min: 0, max: 3 }), fc.array(path, { maxLength: 3 }))
        .map(([needed, paths]): JsonValue => ({ missing_some: [needed, paths] })),
      fc
        .array(fc.tuple(tie("any"), fc.integer({ min: 0, max: 50 })), { minLength: 1, maxLength: 3 })
        .map((buckets): JsonValue => ({ fractional: buckets })),
    ),
  };
}).operation;

describe("JsonLogic", () => {
  it(`is what flagd-core makes of it, in one of its two modes where they differ (SEED=${seed})`, () => {
    let agreed = 0;
    let compared = 0;
    fc.assert(
      fc.property(expression, context, (targeting, attributes) => {
        const text = JSON.stringify(documentOf(targeting));
        fc.pre(!operationsOf(targeting).some((part) => isConstant(part) && isPeculiar(part)));
        // Text is a list of its characters to the interpreter only; of what is no list, all elements hold to it, and none do to us and JsonLogic's own.
        fc.pre(typeof attributes.tags !== "string" && (Array.isArray(attributes.tags) || !/"(all|reduce)"/.test(text)));
        // The interpreter takes the elements of a list for the arguments of these, as JsonLogic's own doesn't.
        fc.pre(!/"(cat|!!?)"/.test(text) || !JSON.stringify(attributes).includes("["));
        const ours = evaluate(targeting, attributes);
        const theirs = [false, true].map((disableDynamicCodeGeneration) => {
          const core = new FlagdCore(undefined, quiet, { disableDynamicCodeGeneration });
          core.setConfigurations(text);
          return outcome(core.resolveStringEvaluation("flag", "", attributes as never, quiet));
        });
        compared += 1;
        if (theirs[0] === theirs[1]) agreed += 1;
        expect(theirs).toContain(ours);
      }),
      { numRuns: 3_000, seed },
    );
    expect(agreed / compared).toBeGreaterThan(0.9);
  });
});

function documentOf(targeting: JsonValue): object {
  return { flags: { flag: { state: "ENABLED", variants: { none: "none" }, defaultVariant: "none", targeting } } };
}

function evaluate(targeting: JsonValue, attributes: Record<string, unknown>): string {
  const evaluator = createEvaluator();
  const { flags } = importFlagd(documentOf(targeting), "provider", { logic: "lenient" });
  evaluator.apply({ flags: { put: flags } }, "lenient");
  return outcome(evaluator.evaluate("flag", attributes, undefined, NOW));
}

/** flagd-core evaluates constant parts beforehand: then it fails for those that are never reached, and takes a list's first element for the list. */
function isPeculiar(part: JsonValue): boolean {
  return (
    evaluate(part, {}) === "failed" ||
    /^\{"!!?":\[?\{"(merge|map|filter|if|and|or|reduce|max|min)"/.test(JSON.stringify(part))
  );
}

/** Without anything of the context. */
function isConstant(part: JsonValue): boolean {
  return !/"var":\[?"(?!current|accumulator|")|"missing/.test(JSON.stringify(part));
}

function operationsOf(logic: JsonValue): JsonValue[] {
  if (typeof logic !== "object" || logic === null) return [];
  const inner = Object.values(logic).flatMap((part: JsonValue) => operationsOf(part));
  return Array.isArray(logic) ? inner : [logic, ...inner];
}

interface Result {
  readonly variant?: string | undefined;
  readonly reason?: string | undefined;
  readonly errorCode?: string | undefined;
  readonly errorMessage?: string | undefined;
}

/** What the targeting gave: of names that are no variants, both tell in their message. */
function outcome({ variant, reason, errorCode, errorMessage = "" }: Result): string {
  const unknown = /^Variant '(.*)' not found|has no variant "(.*)"$/s.exec(errorMessage);
  if (unknown !== null) return `chose ${unknown[1] ?? unknown[2]}`;
  return errorCode === undefined ? `${reason} ${variant}` : "failed";
}
