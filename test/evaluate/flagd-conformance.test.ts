import type { Pickle } from "@cucumber/messages";
import { createEvaluator, type Evaluation, importFlagd, orDefault } from "@tenantplane/sdk/evaluate";
import { describe, expect, it } from "vitest";
import { describeConformance, jsonFilesOf, scenariosOf } from "../support/conformance.ts";

/** The hash that flagd used before March 2026, and the one that it hasn't adopted yet. */
const NOT_OURS = ["@fractional-v1", "@fractional-v3"];
const NOW = Date.UTC(2026, 8, 1);

describeConformance("flagd's evaluator suite", "flagd/evaluator", (place) => {
  const document = jsonFilesOf(place).find(({ file }) => file === "testkit-flags.json")?.content;
  const evaluator = createEvaluator();
  const { flags, segments, metadata } = importFlagd(document, "provider", { logic: "lenient" });
  evaluator.apply({ flags: { put: flags }, segments: { put: segments }, metadata }, "lenient");

  for (const { feature, scenarios } of scenariosOf(place)) {
    describe(feature, () => {
      for (const [index, scenario] of scenarios.entries()) {
        if (scenario.tags.some(({ name }) => NOT_OURS.includes(name))) continue;
        it(`${scenario.name} (${index})`, () => play(scenario, evaluator));
      }
    });
  }
});

describeConformance("flagd's schema suite", "flagd/schemas/test", (place) => {
  for (const { file, content } of jsonFilesOf(place)) {
    const [kind, verdict] = file.split("/");
    it(`${verdict === "positive" ? "accepts" : "refuses"} ${file}`, () => {
      const form = JSON.stringify(content).includes("/flagd.json") ? "daemon" : "provider";
      const { flags, segments, metadata, problems } = importFlagd(documentOf(kind, content), form);
      if (verdict === "negative") expect(problems).not.toEqual([]);
      else {
        expect(problems).toEqual([]);
        const applied = createEvaluator().apply(
          { flags: { put: flags }, segments: { put: segments }, metadata },
          "strict",
        );
        expect(applied.problems).toEqual([]);
      }
    });
  }
});

/** A targeting of the suite stands in a flag, with the evaluator that one of them refers to. */
function documentOf(kind: string | undefined, content: unknown): unknown {
  if (kind !== "targeting") return content;
  const variants = { one: "1" };
  return {
    flags: { flag: { state: "ENABLED", variants, defaultVariant: "one", targeting: content } },
    $evaluators: { "some-ref": { "!": [true] } },
  };
}

type Step = (world: World, ...words: string[]) => void;

interface World {
  key: string;
  fallback: unknown;
  context: Record<string, unknown>;
  readonly evaluate: (world: World) => Evaluation<unknown>;
  result: Evaluation<unknown> | undefined;
  table: readonly (readonly string[])[];
}

const STEPS: readonly (readonly [RegExp, Step])[] = [
  [/^an evaluator$/, () => {}],
  [
    /^a (\w+)-flag with key "(.*)" and a fallback value "(.*)"$/,
    (world, type = "", key = "", fallback = "") => {
      world.key = key;
      world.fallback = parseValue(type, fallback);
    },
  ],
  [
    /^a context containing a key "(.*)", with type "(.*)" and with value "(.*)"$/,
    (world, key = "", type = "", value = "") => {
      world.context[key] = parseValue(type, value);
    },
  ],
  [
    /^a context containing a nested property with outer key "(.*)" and inner key "(.*)", with value "(.*)"$/,
    (world, outer = "", inner = "", value = "") => {
      world.context[outer] = { [inner]: value };
    },
  ],
  [
    /^a context containing a targeting key with value "(.*)"$/,
    (world, value) => {
      world.context.targetingKey = value;
    },
  ],
  [
    /^the flag was evaluated with details$/,
    (world) => {
      world.result = world.evaluate(world);
    },
  ],
  [
    /^the resolved details value should be "(.*)"$/,
    (world, value = "") => expect(world.result?.value).toEqual(parseValue(typeof world.fallback, value)),
  ],
  [/^the reason should be "(.*)"$/, (world, reason) => expect(world.result?.reason).toBe(reason)],
  [/^the error-code should be "(.*)"$/, (world, code) => expect(world.result?.errorCode).toBe(code)],
  [/^the resolved metadata is empty$/, (world) => expect(world.result?.flagMetadata).toEqual({})],
  [
    /^the resolved metadata should contain$/,
    (world) => {
      const wanted = world.table.slice(1).map(([key = "", type = "", value = ""]) => [key, parseValue(type, value)]);
      expect(world.result?.flagMetadata).toMatchObject(Object.fromEntries(wanted));
    },
  ],
];

function play(scenario: Pickle, evaluator: ReturnType<typeof createEvaluator>): void {
  const evaluate = ({ key, context, fallback }: World) =>
    orDefault<unknown>(evaluator.evaluate(key, context, undefined, NOW), fallback);
  const world: World = { key: "", fallback: undefined, context: {}, evaluate, result: undefined, table: [] };
  for (const { text, argument } of scenario.steps) {
    world.table = (argument?.dataTable?.rows ?? []).map(({ cells }) => cells.map(({ value }) => value));
    const found = STEPS.map(([pattern, step]) => ({ words: pattern.exec(text), step })).find(
      ({ words }) => words !== null,
    );
    if (found?.words == null) throw new Error(`no step for: ${text}`);
    found.step(world, ...found.words.slice(1));
  }
}

function parseValue(type: string, text: string): unknown {
  switch (type.toLowerCase()) {
    case "boolean":
      return text === "true";
    case "integer":
    case "float":
    case "number":
      return Number(text);
    case "object":
      return JSON.parse(text.replaceAll('\\"', '"')) as unknown;
    default:
      return text;
  }
}
