import { type Clause, type FlagDefinition, SHARES, type TenantFacts } from "@tenantplane/sdk/evaluate";
import { ACME, flagOf } from "./flag-set.ts";

/** The time of the operators' cases, not a whole second. */
export const OPERATOR_NOW = Date.UTC(2026, 0, 15, 12, 0, 0) + 750;
/** The time of the layers' cases. */
export const LAYER_NOW = Date.UTC(2026, 0, 1);

/** Operators with their values, what satisfies them and what doesn't. */
export const OPERATOR_CASES: readonly (readonly [
  string,
  Omit<Clause, "attribute">,
  readonly unknown[],
  readonly unknown[],
])[] = [
  ["EXISTS", { operator: "EXISTS" }, ["", 0, false, [], {}], [null, undefined]],
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
  ["LESS", { operator: "LESS", values: [10] }, [9.5, -1, [11, 3]], [10, "9", null, true]],
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
    ["2026-01-15T12:00:01Z", OPERATOR_NOW],
    ["2026-01-15T12:00:00Z", OPERATOR_NOW - 1_000],
  ],
  ["SEGMENT", { operator: "SEGMENT", values: ["none", "all"] }, [undefined], []],
  ["ENTITLED", { operator: "ENTITLED", values: ["nothing", "seats"] }, [undefined], []],
  ["not ENTITLED", { operator: "ENTITLED", values: ["beta", "toString", "constructor"] }, [], [undefined]],
];

export const CONTEXT = { targetingKey: "user-1", country: "DE" };
export const RULE = {
  id: "german",
  match: { clauses: [{ attribute: "country", operator: "IN" as const, values: ["DE"] }] },
  serve: { variant: "green" },
};
export const PARENT = flagOf({ key: "parent" });
export const EXPERIMENTS = { key: "experiments", salt: "e", bucketing: 1 };
const OVERRIDE = { tenant: "acme", flag: "flag", serve: { variant: "green" } };
const SUSPENDED: TenantFacts = { ...ACME, state: "SUSPENDED" };
/** Everything at once: each step wins over those after it. */
export const ALL: Partial<FlagDefinition> = {
  prerequisites: [{ flag: "parent", variants: ["red"] }],
  entitlement: { feature: "sso", otherwise: "green" },
  group: { group: "experiments", from: 0, to: SHARES },
  rules: [RULE],
};

export interface LayerCase {
  readonly flag: Partial<FlagDefinition>;
  readonly parent?: Partial<FlagDefinition>;
  readonly override?: object;
  readonly tenant?: TenantFacts | undefined;
  readonly context?: Record<string, unknown>;
  readonly gives: readonly (string | undefined)[];
}

/** Flags with everything around them, and what they give: variant, reason, layer and rule. */
export const LAYER_CASES: Readonly<Record<string, LayerCase>> = {
  "static: nothing could give another answer": { flag: {}, gives: ["red", "STATIC", "DEFAULT"] },
  "no default: the caller's": { flag: { defaultServe: undefined } as never, gives: [undefined, "DEFAULT", "DEFAULT"] },
  "disabled, above all": {
    flag: { ...ALL, state: "DISABLED", killed: true },
    tenant: SUSPENDED,
    gives: [undefined, "DISABLED", "STATE"],
  },
  "killed: the off variant, override or not": {
    flag: { ...ALL, killed: true },
    override: OVERRIDE,
    gives: ["blue", "DISABLED", "STATE"],
  },
  "a suspended tenant": { flag: ALL, override: OVERRIDE, tenant: SUSPENDED, gives: ["blue", "DISABLED", "TENANT"] },
  "a suspended tenant and a static flag": { flag: {}, tenant: SUSPENDED, gives: ["blue", "DISABLED", "TENANT"] },
  "an unmet prerequisite": {
    flag: ALL,
    parent: { defaultServe: { variant: "green" } },
    override: OVERRIDE,
    gives: ["blue", "TARGETING_MATCH", "PREREQUISITE"],
  },
  "a prerequisite that is off meets nothing": {
    flag: ALL,
    parent: { killed: true, offVariant: "red" },
    gives: ["blue", "TARGETING_MATCH", "PREREQUISITE"],
  },
  "a prerequisite that is disabled meets nothing": {
    flag: ALL,
    parent: { state: "DISABLED" },
    gives: ["blue", "TARGETING_MATCH", "PREREQUISITE"],
  },
  "an override, before entitlement and group": {
    flag: { ...ALL, entitlement: { feature: "beta" } },
    override: OVERRIDE,
    gives: ["green", "TARGETING_MATCH", "OVERRIDE"],
  },
  "another tenant's override": {
    flag: {},
    override: { ...OVERRIDE, tenant: "globex" },
    gives: ["red", "DEFAULT", "DEFAULT"],
  },
  "no entitlement": {
    flag: { ...ALL, entitlement: { feature: "beta" } },
    gives: ["blue", "TARGETING_MATCH", "ENTITLEMENT"],
  },
  "no entitlement, with a variant for that": {
    flag: { ...ALL, entitlement: { feature: "beta", otherwise: "green" } },
    gives: ["green", "TARGETING_MATCH", "ENTITLEMENT"],
  },
  "no tenant has no entitlement": { flag: ALL, tenant: undefined, gives: ["green", "TARGETING_MATCH", "ENTITLEMENT"] },
  "outside of the group's range": {
    flag: { ...ALL, group: { group: "experiments", from: 0, to: 1 } },
    gives: ["blue", "TARGETING_MATCH", "GROUP"],
  },
  "a rule": { flag: ALL, gives: ["green", "TARGETING_MATCH", "RULE", "german"] },
  "the default behind a rule": {
    flag: ALL,
    context: { ...CONTEXT, country: "FR" },
    gives: ["red", "DEFAULT", "DEFAULT"],
  },
  "a split": {
    flag: { rules: [{ id: "all", serve: { split: [{ variant: "green", weight: 1 }] } }] },
    gives: ["green", "SPLIT", "RULE", "all"],
  },
  "a split of nobody": {
    flag: { defaultServe: { split: [{ variant: "green", weight: 1 }] } },
    context: {},
    gives: [undefined, "ERROR", "ERROR"],
  },
  "a ramp that has not begun asks on": {
    flag: {
      rules: [{ id: "ramp", serve: { ramp: { variant: "green", steps: [{ at: LAYER_NOW, share: 0 }] } } }, RULE],
    },
    gives: ["green", "TARGETING_MATCH", "RULE", "german"],
  },
  "a ramp with something for the others": {
    flag: {
      rules: [
        { id: "ramp", serve: { ramp: { variant: "green", otherwise: "red", steps: [{ at: LAYER_NOW, share: 0 }] } } },
      ],
    },
    gives: ["red", "SPLIT", "RULE", "ramp"],
  },
  "logic that gives null asks on": {
    flag: { rules: [{ id: "logic", serve: { logic: { var: "absent" } } }, RULE] },
    gives: ["green", "TARGETING_MATCH", "RULE", "german"],
  },
  "logic that gives a name": {
    flag: {
      rules: [{ id: "logic", serve: { logic: { if: [{ "===": [{ var: "$tenant.plan" }, "pro"] }, "green"] } } }],
    },
    gives: ["green", "TARGETING_MATCH", "RULE", "logic"],
  },
  "no off variant: the caller's default": {
    flag: { ...ALL, offVariant: undefined, entitlement: { feature: "beta" } } as never,
    gives: [undefined, "DEFAULT", "ENTITLEMENT"],
  },
};
