import { type FeatureApiResponse, GrowthBookClient } from "@growthbook/growthbook";
import { init as initLaunchDarkly } from "@launchdarkly/node-server-sdk";
import { TestData } from "@launchdarkly/node-server-sdk/integrations";
import { FlagdCore } from "@openfeature/flagd-core";
import { createEvaluator, type FlagDefinition } from "@tenantplane/sdk/evaluate";
import { InMemStorageProvider, Unleash } from "unleash-client";

/** What is measured, each a flag that every engine can say. */
export const SHAPES = ["static", "two conditions", "25 % split", "semver"] as const;
export type Shape = (typeof SHAPES)[number];

/** Whom flags are evaluated for. */
export interface Subject {
  readonly targetingKey: string;
  readonly plan: string;
  readonly country: string;
  readonly version: string;
}

/** One flag engine with its flags in memory. Flags are named by shape and number. */
export interface FlagEngine {
  /** Makes what evaluates flags for one subject: whether they are on, at once or later. */
  readonly evaluateFor: (subject: Subject) => (key: string) => unknown;
  /** Takes over a changed flag; engines that only know whole sets take the set. Undefined where nothing can be put by hand. */
  readonly change: ((round: number) => unknown) | undefined;
  readonly close: () => void;
}

/** The key of a flag. */
export function keyOf(shape: Shape, number: number): string {
  return `${shape.replaceAll(/\W+/g, "-")}-${number}`;
}

/** Flags of all shapes in turn, made by `make`, as they come from a server: what several have in common is there several times. */
function all<T>(count: number, make: (shape: Shape, key: string) => T): T[] {
  return Array.from({ length: count }, (_, index) => {
    const shape = SHAPES[index % SHAPES.length] ?? "static";
    return JSON.parse(JSON.stringify(make(shape, keyOf(shape, Math.floor(index / SHAPES.length))))) as T;
  });
}

/** A peer logs to nobody. */
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export const ENGINES: Readonly<Record<string, (count: number) => Promise<FlagEngine>>> = {
  async tenantplane(count) {
    const evaluator = createEvaluator();
    const tenant = { id: "acme", state: "ACTIVE", plan: "pro" } as const;
    evaluator.apply({ flags: { put: all(count, ourFlag) } }, "strict");
    const now = 1_790_000_000_000;
    return {
      evaluateFor: (subject) => {
        const context = { ...subject };
        return (key) => evaluator.evaluate(key, context, tenant, now).value;
      },
      change: (round) => {
        const put = [{ ...ourFlag("two conditions", keyOf("two conditions", 1)), metadata: { round } }];
        return evaluator.apply({ flags: { put } }, "strict");
      },
      close() {},
    };
  },
  async "flagd-core"(count) {
    const core = new FlagdCore(undefined, quiet);
    const configure = (round: number) => {
      const flags = all(count, (shape, key) => [key, { ...flagdFlag(shape), metadata: { round } }]);
      core.setConfigurations(JSON.stringify({ flags: Object.fromEntries(flags) }));
    };
    configure(0);
    return {
      evaluateFor: (subject) => {
        const context = { ...subject };
        return (key) => core.resolveBooleanEvaluation(key, false, context, quiet).value;
      },
      change: configure,
      close() {},
    };
  },
  async growthbook(count) {
    const client = new GrowthBookClient();
    const payload = (round: number): FeatureApiResponse => {
      const features = all(count, (shape, key) => [key, { ...growthbookFeature(shape), project: `${round}` }]);
      return { features: Object.fromEntries(features) as FeatureApiResponse["features"] & object };
    };
    client.initSync({ payload: payload(0) });
    return {
      evaluateFor: ({ targetingKey, ...rest }) => {
        const context = { attributes: { id: targetingKey, ...rest } };
        return (key) => client.evalFeature(key, context).value;
      },
      change: (round) => client.setPayload(payload(round)),
      close: () => client.destroy(),
    };
  },
  async launchdarkly(count) {
    const data = new TestData();
    for (const flag of all(count, launchdarklyFlag)) data.usePreconfiguredFlag(flag);
    const client = initLaunchDarkly("sdk-key", {
      updateProcessor: data.getFactory(),
      sendEvents: false,
      diagnosticOptOut: true,
      logger: quiet,
    });
    await client.waitForInitialization({ timeout: 10 });
    return {
      evaluateFor: ({ targetingKey, ...rest }) => {
        const context = { kind: "user", key: targetingKey, ...rest };
        return (key) => client.variation(key, context, false);
      },
      change: (round) =>
        data.usePreconfiguredFlag({
          ...launchdarklyFlag("two conditions", keyOf("two conditions", 1)),
          version: round + 2,
        }),
      close: () => client.close(),
    };
  },
  async unleash(count) {
    const client = new Unleash({
      appName: "bench",
      url: "http://127.0.0.1:1/api",
      refreshInterval: 0,
      disableMetrics: true,
      skipInstanceCountWarning: true,
      storageProvider: new InMemStorageProvider(),
      bootstrap: { data: all(count, unleashToggle) },
    });
    client.on("error", () => {});
    await new Promise((resolve) => client.once("ready", resolve));
    return {
      evaluateFor: ({ targetingKey, ...properties }) => {
        const context = { userId: targetingKey, properties };
        return (key) => client.isEnabled(key, context);
      },
      change: undefined,
      close: () => client.destroy(),
    };
  },
};

function ourFlag(shape: Shape, key: string): FlagDefinition {
  const on = { variant: "on" };
  const rules: Record<Shape, FlagDefinition["rules"] | undefined> = {
    static: undefined,
    "two conditions": [
      {
        id: "rule",
        match: {
          clauses: [
            { attribute: "plan", operator: "IN", values: ["pro"] },
            { attribute: "country", operator: "IN", values: ["DE", "AT", "CH"] },
          ],
        },
        serve: on,
      },
    ],
    "25 % split": [
      {
        id: "rule",
        serve: {
          split: [
            { variant: "on", weight: 25 },
            { variant: "off", weight: 75 },
          ],
        },
      },
    ],
    semver: [
      {
        id: "rule",
        match: { clauses: [{ attribute: "version", operator: "SEMVER_GREATER_OR_EQUAL", values: ["2.3.0"] }] },
        serve: on,
      },
    ],
  };
  return {
    key,
    kind: "boolean",
    state: "ENABLED",
    variants: { on: true, off: false },
    defaultServe: { variant: shape === "static" ? "on" : "off" },
    salt: key,
    bucketing: 1,
    ...(rules[shape] === undefined ? {} : { rules: rules[shape] }),
  };
}

function flagdFlag(shape: Shape): object {
  const rules: Record<Shape, object | undefined> = {
    static: undefined,
    "two conditions": {
      if: [{ and: [{ "==": [{ var: "plan" }, "pro"] }, { in: [{ var: "country" }, ["DE", "AT", "CH"]] }] }, "on"],
    },
    "25 % split": {
      fractional: [
        ["on", 25],
        ["off", 75],
      ],
    },
    semver: { if: [{ sem_ver: [{ var: "version" }, ">=", "2.3.0"] }, "on"] },
  };
  const targeting = rules[shape];
  return {
    state: "ENABLED",
    variants: { on: true, off: false },
    defaultVariant: shape === "static" ? "on" : "off",
    ...(targeting === undefined ? {} : { targeting }),
  };
}

function growthbookFeature(shape: Shape): object {
  const rules: Record<Shape, object[] | undefined> = {
    static: undefined,
    "two conditions": [{ condition: { plan: "pro", country: { $in: ["DE", "AT", "CH"] } }, force: true }],
    "25 % split": [{ force: true, coverage: 0.25, hashAttribute: "id" }],
    semver: [{ condition: { version: { $vgte: "2.3.0" } }, force: true }],
  };
  return { defaultValue: shape === "static", ...(rules[shape] === undefined ? {} : { rules: rules[shape] }) };
}

function launchdarklyFlag(shape: Shape, key: string) {
  const clause = (attribute: string, op: string, values: readonly string[]) => ({
    contextKind: "user",
    attribute,
    op,
    values,
  });
  const rules: Record<Shape, object[]> = {
    static: [],
    "two conditions": [
      {
        id: "rule",
        clauses: [clause("plan", "in", ["pro"]), clause("country", "in", ["DE", "AT", "CH"])],
        variation: 0,
      },
    ],
    "25 % split": [
      {
        id: "rule",
        clauses: [],
        rollout: {
          variations: [
            { variation: 0, weight: 25_000 },
            { variation: 1, weight: 75_000 },
          ],
        },
      },
    ],
    // The SDK has no "or equal": the least of all prereleases comes to the same.
    semver: [{ id: "rule", clauses: [clause("version", "semVerGreaterThan", ["2.3.0-0"])], variation: 0 }],
  };
  return {
    key,
    version: 1,
    on: true,
    variations: [true, false],
    offVariation: 1,
    fallthrough: { variation: shape === "static" ? 0 : 1 },
    salt: key,
    prerequisites: [],
    targets: [],
    contextTargets: [],
    rules: rules[shape],
  };
}

function unleashToggle(shape: Shape, name: string) {
  const constraint = (contextName: string, operator: string, rest: object) =>
    ({ contextName, operator, inverted: false, ...rest }) as never;
  const constraints: Record<Shape, never[]> = {
    static: [],
    "two conditions": [
      constraint("plan", "IN", { values: ["pro"] }),
      constraint("country", "IN", { values: ["DE", "AT", "CH"] }),
    ],
    "25 % split": [],
    semver: [constraint("version", "SEMVER_GT", { value: "2.3.0-0", values: [] })],
  };
  const rollout = shape === "25 % split" ? "25" : "100";
  const strategy =
    shape === "25 % split"
      ? { name: "flexibleRollout", parameters: { rollout, stickiness: "userId", groupId: name }, constraints: [] }
      : { name: "default", parameters: {}, constraints: constraints[shape] };
  return {
    name,
    type: "release",
    enabled: true,
    stale: false,
    impressionData: false,
    strategies: [strategy],
    variants: [],
  } as never;
}
