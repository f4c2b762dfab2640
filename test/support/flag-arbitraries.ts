import type {
  Clause,
  FlagDefinition,
  GroupDefinition,
  JsonValue,
  Match,
  Operator,
  RampStep,
  SegmentDefinition,
  Serve,
  TenantFacts,
  TenantOverride,
} from "@tenantplane/sdk/evaluate";
import fc from "fast-check";

/** The time of the tests, in whole seconds as flagd has it. */
export const NOW = Date.UTC(2026, 8, 1, 12, 0, 0);

const VARIANTS = ["red", "green", "blue"] as const;
const ATTRIBUTES = [
  "plan",
  "country",
  "age",
  "email",
  "tags",
  "version",
  "user.name",
  "targetingKey",
  "absent",
] as const;
/** Values that attributes have and clauses ask for, few enough to meet. */
const TEXTS = ["pro", "basic", "DE", "a@corp.example", "b@home.example", "1.2.3", "2.0.0-rc.1", "v3", "10", "", "x"];
const NUMBERS = [0, 1, 2.5, 10, -3, 18, 1e21];
const scalar = fc.oneof(fc.constantFrom(...TEXTS), fc.constantFrom(...NUMBERS), fc.boolean());

/** Anything that may stand at an attribute. */
const attributeValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: scalar },
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: fc.array(scalar, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom([["pro"]], {}, { name: "pro" }, [{ a: 1 }], [null]) },
);

/** A context: any attribute may be missing, or be of the wrong type. */
export const context = fc
  .record(
    {
      // OpenFeature has it as text. What else flagd's evaluators make of it differs among them.
      targetingKey: fc.oneof(
        { weight: 5, arbitrary: fc.stringMatching(/^[!-~]{1,12}$/) },
        { weight: 1, arbitrary: fc.constantFrom("", 42, "pro") },
      ),
      plan: attributeValue,
      country: attributeValue,
      age: attributeValue,
      email: attributeValue,
      tags: attributeValue,
      version: attributeValue,
      // json-logic-engine, interpreting, gives 0 for "user.name" when the user is 0.
      user: fc.oneof(fc.record({ name: attributeValue }), fc.constantFrom("text", true, null)),
      $tenant: fc.constantFrom({ plan: "pro" }, "acme"),
    },
    { requiredKeys: [] },
  )
  .map((value) => value as Record<string, unknown>);

export const tenant: fc.Arbitrary<TenantFacts> = fc.record({
  id: fc.constantFrom("acme", "globex", "initech"),
  state: fc.constantFrom("ACTIVE", "ACTIVE", "ACTIVE", "SUSPENDED", "ARCHIVED"),
  plan: fc.constantFrom("pro", "basic"),
  labels: fc.constantFrom({}, { tier: "gold" }, { "team.name": "red" }),
  entitlements: fc.constantFrom({}, { sso: true }, { sso: false, seats: 10 }),
});

const OPERANDS: Readonly<Partial<Record<Operator, fc.Arbitrary<(string | number | boolean)[]>>>> = {
  EXISTS: fc.constant([]),
  IN: fc.array(scalar, { minLength: 1, maxLength: 5 }),
  CONTAINS: fc.array(fc.constantFrom("o", "corp", ".", "1"), { minLength: 1, maxLength: 2 }),
  STARTS_WITH: fc.array(fc.constantFrom("a", "p", "1", ""), { minLength: 1, maxLength: 2 }),
  ENDS_WITH: fc.array(fc.constantFrom("example", "o", "3"), { minLength: 1, maxLength: 2 }),
  LESS: fc.tuple(fc.constantFrom(...NUMBERS)),
  LESS_OR_EQUAL: fc.tuple(fc.constantFrom(...NUMBERS)),
  GREATER: fc.tuple(fc.constantFrom(...NUMBERS)),
  GREATER_OR_EQUAL: fc.tuple(fc.constantFrom(...NUMBERS)),
  SEMVER_EQUAL: fc.array(fc.constantFrom("1.2.3", "v3", "2.0.0-rc.1"), { minLength: 1, maxLength: 2 }),
  SEMVER_LESS: fc.tuple(fc.constantFrom("1.2", "2.0.0", "2.0.0-rc.2")),
  SEMVER_GREATER_OR_EQUAL: fc.tuple(fc.constantFrom("1.2", "2.0.0", "10")),
};

const operator = fc.constantFrom(...(Object.keys(OPERANDS) as (keyof typeof OPERANDS)[]));
const simpleClause: fc.Arbitrary<Clause> = fc
  .record({
    operator,
    attribute: fc.constantFrom(...ATTRIBUTES, "$tenant.plan", "$tenant.labels.tier", "$tenant.labels.team\\.name"),
    negate: fc.boolean(),
  })
  .chain(({ operator, attribute, negate }) =>
    (OPERANDS[operator] ?? fc.constant([])).map((values) => ({
      operator,
      attribute,
      ...(operator === "EXISTS" ? {} : { values }),
      ...(negate ? { negate } : {}),
    })),
  );
const timeClause: fc.Arbitrary<Clause> = fc.record({
  attribute: fc.constant("$flagd.timestamp"),
  operator: fc.constantFrom("BEFORE", "AFTER"),
  values: fc.constantFrom([NOW], ["2026-09-01T12:00:01Z"], ["2020-01-01T00:00:00+01:00"], ["now"]),
});
const entitledClause: fc.Arbitrary<Clause> = fc.constantFrom(
  { operator: "ENTITLED", values: ["sso"] },
  { operator: "ENTITLED", values: ["seats", "nothing"], negate: true },
);
const segmentClause: fc.Arbitrary<Clause> = fc.constantFrom(
  { operator: "SEGMENT", values: ["beta"] },
  { operator: "SEGMENT", values: ["staff", "beta"], negate: true },
);

function clauses(clause: fc.Arbitrary<Clause>): fc.Arbitrary<Match> {
  return fc.record({ clauses: fc.array(clause, { maxLength: 3 }) });
}

/** Logic that doesn't fail, whatever the context. */
const logic: fc.Arbitrary<JsonValue> = fc.constantFrom<JsonValue>(
  { "===": [{ var: "plan" }, { var: "$tenant.plan" }] },
  { in: [{ var: "country" }, ["DE", "x", 10]] },
  { starts_with: [{ var: "email" }, "a@"] },
  { and: [{ "!!": [{ var: "email" }] }, { $ref: "shared" }] },
  { "<": [{ var: "$flagd.timestamp" }, 1_800_000_000] },
  { "===": [{ var: "$flagd.flagKey" }, "flag-1"] },
  {
    fractional: [
      [true, 30],
      [false, 70],
    ],
  },
  { fractional: [{ cat: ["seed", { var: ["version", "none"] }] }, [true, 1], [false, 1]] },
);

const match = fc.oneof(
  {
    weight: 4,
    arbitrary: clauses(fc.oneof({ weight: 5, arbitrary: simpleClause }, timeClause, entitledClause, segmentClause)),
  },
  { weight: 1, arbitrary: fc.record({ logic }) },
);

const variant = fc.constantFrom(...VARIANTS);

const steps: fc.Arbitrary<RampStep[]> = fc
  .array(fc.record({ at: fc.integer({ min: -5_000, max: 5_000 }), share: fc.integer({ min: 0, max: 100_000 }) }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((points) => {
    const byTime = new Map(points.map(({ at, share }) => [at, share]));
    return [...byTime].sort(([a], [b]) => a - b).map(([at, share]) => ({ at: NOW + at * 1_000, share }));
  });

const choice: fc.Arbitrary<JsonValue> = fc.constantFrom<JsonValue>(
  { if: [{ "===": [{ var: "plan" }, "pro"] }, "red", null] },
  {
    fractional: [
      ["red", 25],
      ["green", 75],
    ],
  },
  { if: [{ $ref: "shared" }, "blue", { var: "country" }] },
);

export const serve: fc.Arbitrary<Serve> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ variant }) },
  {
    weight: 2,
    arbitrary: fc.record({
      split: fc
        .array(fc.record({ variant, weight: fc.integer({ min: 0, max: 1_000 }) }), { minLength: 1, maxLength: 4 })
        .filter((split) => split.some(({ weight }) => weight > 0)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ramp: fc.record({ variant, steps, otherwise: variant }, { requiredKeys: ["variant", "steps"] }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ logic: choice }) },
);

/** A flag of the given number: it may require flags of lower numbers. */
function flag(number: number): fc.Arbitrary<FlagDefinition> {
  const key = `flag-${number}`;
  const prerequisite = fc.record({
    flag: fc.integer({ min: 0, max: Math.max(0, number - 1) }).map((other) => `flag-${other}`),
    variants: fc.subarray([...VARIANTS], { minLength: 1 }),
  });
  return fc
    .record(
      {
        state: fc.constantFrom<FlagDefinition["state"]>("ENABLED", "ENABLED", "ENABLED", "DISABLED"),
        killed: fc.constantFrom(false, false, false, true),
        offVariant: variant,
        defaultServe: serve,
        prerequisites: fc.array(prerequisite, { maxLength: number === 0 ? 0 : 2 }),
        entitlement: fc.record(
          { feature: fc.constantFrom("sso", "seats"), otherwise: variant },
          { requiredKeys: ["feature"] },
        ),
        group: fc.constantFrom({ group: "experiments", from: number * 20_000, to: number * 20_000 + 20_000 }),
        rules: fc
          .array(fc.record({ match, serve }, { requiredKeys: ["serve"] }), { maxLength: 3 })
          .map((rules) => rules.map((rule, index) => ({ id: `rule-${index}`, ...rule }))),
        bucketBy: fc.constantFrom("targetingKey", "user.name", "age", "$tenant.id"),
        metadata: fc.constant({ owner: "team" }),
      },
      { requiredKeys: ["state"] },
    )
    .map((rest) => ({
      key,
      kind: "string",
      variants: { red: "#f00", green: "#0f0", blue: "#00f" },
      salt: `salt-${number}`,
      bucketing: 1,
      ...rest,
    }));
}

export interface FlagDocuments {
  readonly flags: readonly FlagDefinition[];
  readonly segments: readonly SegmentDefinition[];
  readonly groups: readonly GroupDefinition[];
  readonly overrides: readonly TenantOverride[];
  readonly memberships: readonly { segment: string; included: string[]; excluded: string[] }[];
}

/** Flags with all that they may refer to. */
export const documents: fc.Arbitrary<FlagDocuments> = fc.record({
  flags: fc.tuple(flag(0), flag(1), flag(2), flag(3)),
  segments: fc
    .record({ beta: fc.array(clauses(simpleClause), { maxLength: 2 }), staff: clauses(simpleClause) })
    .map(({ beta, staff }) => [
      { key: "shared", matches: [{ logic: { in: [{ var: "country" }, ["DE", "pro"]] } }] },
      { key: "staff", matches: [staff], memberBy: "country" },
      { key: "beta", matches: [...beta, { clauses: [{ operator: "SEGMENT", values: ["staff"] }] }] },
    ]),
  groups: fc.constantFrom(
    [{ key: "experiments", salt: "exp", bucketing: 1 }],
    [{ key: "experiments", salt: "exp", bucketing: 1, bucketBy: "country" }],
  ),
  overrides: fc.array(
    fc.record({ tenant: fc.constantFrom("acme", "globex"), flag: fc.constantFrom("flag-0", "flag-2"), serve }),
    {
      maxLength: 2,
    },
  ),
  memberships: fc.constantFrom([], [{ segment: "staff", included: ["DE", "x"], excluded: ["pro"] }]),
});
