import { isEntitled } from "../compile/clause.ts";
import type { TenantFacts } from "../context.ts";
import {
  type FlagDefinition,
  type GroupRange,
  type Prerequisite,
  type Ramp,
  type Rule,
  type Serve,
  SHARES,
} from "../definition.ts";
import type { JsonObject, JsonValue } from "../json.ts";
import { DOCUMENT_MAX_CHARS } from "../parse/bounds.ts";
import type { FlagState } from "../set/state.ts";
import { and, not } from "./expression.ts";
import { lowerLogic } from "./lower-logic.ts";
import { lowerMatch, lowerSegment } from "./lower-match.ts";
import { lowerBuckets, lowerRest, lowerShare } from "./lower-serve.ts";
import { type LowerScope, NotLowerable } from "./scope.ts";

/** A flag as flagd's JSON has it. */
export interface FlagdFlag {
  readonly state: "ENABLED" | "DISABLED";
  readonly variants: FlagDefinition["variants"];
  readonly defaultVariant?: string;
  readonly targeting?: JsonObject;
  readonly metadata?: NonNullable<FlagDefinition["metadata"]>;
}

/** A flag for a tenant in flagd's JSON, or why there is none. */
export type LoweredFlag = { readonly flag: FlagdFlag } | { readonly left: string };

/** A set for a tenant in flagd's JSON. */
export interface Lowered {
  readonly document: {
    readonly flags: Readonly<Record<string, FlagdFlag>>;
    readonly metadata?: NonNullable<FlagDefinition["metadata"]>;
  };
  /** The flags that flagd can't evaluate as we do, with the reason. They are not in the document. */
  readonly left: readonly { readonly flag: string; readonly why: string }[];
}

/** Lowers all flags: see `Evaluator.lower`. */
export function lowerSet(state: FlagState, tenant: TenantFacts | undefined): Lowered {
  const flags: [string, FlagdFlag][] = [];
  const left: { flag: string; why: string }[] = [];
  for (const key of state.compiled.keys()) {
    const lowered = lowerFlag(state, key, tenant);
    if ("left" in lowered) left.push({ flag: key, why: lowered.left });
    else flags.push([key, lowered.flag]);
  }
  const metadata = Object.keys(state.metadata).length > 0 ? { metadata: state.metadata } : {};
  return { document: { ...metadata, flags: Object.fromEntries(flags) }, left };
}

/** Lowers one flag: see `Evaluator.lowerFlag`. */
export function lowerFlag(state: FlagState, key: string, tenant: TenantFacts | undefined): LoweredFlag {
  const flag = state.slots.flags.get(key)?.definition;
  if (flag === undefined) return { left: "there is no such flag, or it can't be read" };
  const scope: LowerScope = { state, tenant, flagKey: key, inlined: false, segment: lowerSegment };
  try {
    const lowered = assemble(flag, decisionOf(flag, scope));
    if (JSON.stringify(lowered).length > DOCUMENT_MAX_CHARS) return { left: "it becomes too long" };
    return { flag: lowered };
  } catch (error) {
    if (error instanceof NotLowerable) return { left: error.message };
    throw error;
  }
}

/**
 * How a flag is decided: by the first branch that holds, else by `end`. A branch serves a variant's name, null for the caller's
 * default, or logic that gives one of both. OFF is a flag that is not evaluated at all.
 */
type Decision = { readonly branches: readonly Branch[]; readonly end: string | null } | "OFF";

interface Branch {
  readonly when: JsonValue;
  readonly serve: JsonValue;
  /** Logic that decides nothing where it is null; `when` says so already. */
  readonly logic?: JsonValue;
}

function decisionOf(flag: FlagDefinition, scope: LowerScope): Decision {
  const { tenant, state } = scope;
  const off = flag.offVariant ?? null;
  if (flag.state === "DISABLED") return "OFF";
  if (flag.killed || (tenant !== undefined && tenant.state !== "ACTIVE")) {
    return off === null ? "OFF" : { branches: [], end: off };
  }
  const branches: Branch[] = [];
  if (flag.prerequisites !== undefined) {
    const met = and(flag.prerequisites.map((prerequisite) => lowerPrerequisite(prerequisite, scope)));
    branches.push({ when: not(met), serve: off });
  }
  const override = state.slots.flags.get(flag.key)?.overrides.get(tenant?.id ?? "");
  if (override !== undefined && tenant !== undefined) branches.push(...lowerServe(override.serve, true, flag, scope));
  if (flag.entitlement !== undefined && !isEntitled(tenant, flag.entitlement.feature)) {
    branches.push({ when: true, serve: flag.entitlement.otherwise ?? off });
  }
  if (flag.group !== undefined) branches.push(...lowerGroup(flag.group, off, scope));
  for (const rule of flag.rules ?? []) branches.push(...lowerRule(rule, flag, scope));
  const { defaultServe } = flag;
  if (defaultServe !== undefined && "variant" in defaultServe) return decided(branches, defaultServe.variant);
  if (defaultServe !== undefined) branches.push(...lowerServe(defaultServe, true, flag, scope));
  return decided(branches, null);
}

/** Leaves out the branches that never hold, and what is behind one that always does. */
function decided(branches: readonly Branch[], end: string | null): Decision {
  const possible = branches.filter(({ when }) => when !== false);
  const always = possible.findIndex(({ when }) => when === true);
  return always < 0 ? { branches: possible, end } : { branches: possible.slice(0, always + 1), end: null };
}

function lowerRule(rule: Rule, flag: FlagDefinition, scope: LowerScope): Branch[] {
  const when = rule.match === undefined ? true : lowerMatch(rule.match, scope);
  return when === false ? [] : lowerServe(rule.serve, when, flag, scope);
}

function lowerServe(serve: Serve, when: JsonValue, flag: FlagDefinition, scope: LowerScope): Branch[] {
  if ("variant" in serve) return [{ when, serve: serve.variant }];
  if ("logic" in serve) {
    const logic = lowerLogic(serve.logic, scope);
    return [{ when: and([when, { "!==": [logic, null] }]), serve: logic, ...(when === true ? { logic } : {}) }];
  }
  const buckets = lowerBuckets(flag, scope.tenant);
  const unitless: Branch = { when: and([when, not(buckets.hasUnit)]), serve: null };
  if ("ramp" in serve) return [unitless, lowerRamp(serve.ramp, when, buckets)];
  const total = serve.split.reduce((sum, { weight }) => sum + weight, 0);
  const choices = serve.split.map(({ variant, weight }) => ({ value: variant, weight }));
  return [unitless, { when, serve: buckets.choose(choices, total) }];
}

function lowerRamp(ramp: Ramp, when: JsonValue, buckets: ReturnType<typeof lowerBuckets>): Branch {
  const share = lowerShare(ramp.steps);
  const rest = lowerRest(share);
  const { variant, otherwise } = ramp;
  if (otherwise !== undefined) {
    const choices = [
      { value: variant, weight: share },
      { value: otherwise, weight: rest },
    ];
    return { when, serve: buckets.choose(choices, SHARES) };
  }
  const reached = [
    { value: true, weight: share },
    { value: false, weight: rest },
  ];
  return { when: and([when, buckets.choose(reached, SHARES)]), serve: variant };
}

function lowerGroup(range: GroupRange, off: string | null, { state, tenant }: LowerScope): Branch[] {
  const group = state.slots.groups.get(range.group)?.definition;
  if (group === undefined) throw new NotLowerable(`there is no group "${range.group}"`);
  const buckets = lowerBuckets(group, tenant);
  const inside = buckets.choose(
    [
      { value: false, weight: range.from },
      { value: true, weight: range.to - range.from },
      { value: false, weight: SHARES - range.to },
    ],
    SHARES,
  );
  return [
    { when: not(buckets.hasUnit), serve: null },
    { when: not(inside), serve: off },
  ];
}

/** The other flag's whole decision stands in the place of its name, since a rule of flagd's can't ask for another flag. */
function lowerPrerequisite({ flag, variants }: Prerequisite, scope: LowerScope): JsonValue {
  const other = scope.state.slots.flags.get(flag)?.definition;
  if (other === undefined) throw new NotLowerable(`there is no flag "${flag}"`);
  // Killed and suspended flags serve their off variants, but are no one's met prerequisites.
  if (other.killed) return false;
  const decision = decisionOf(other, { ...scope, flagKey: flag, inlined: true });
  if (decision === "OFF") return false;
  const { branches, end } = decision;
  const known = variants.filter((variant) => Object.hasOwn(other.variants, variant));
  const chosen = chain(branches, end);
  if (typeof chosen === "string" || chosen === null) return chosen !== null && known.includes(chosen);
  const isPlain = (serve: JsonValue) => typeof serve === "string" || serve === null;
  // Logic may give a boolean or a number for a name.
  return { in: [branches.every(({ serve }) => isPlain(serve)) ? chosen : { cat: [chosen, ""] }, known] };
}

function assemble(flag: FlagDefinition, decision: Decision): FlagdFlag {
  const { variants, metadata, defaultServe } = flag;
  const facts = metadata === undefined ? {} : { metadata };
  if (decision === "OFF") {
    const asIs =
      defaultServe !== undefined && "variant" in defaultServe ? { defaultVariant: defaultServe.variant } : {};
    return { state: "DISABLED", variants, ...asIs, ...facts };
  }
  const { branches, end } = decision;
  const base = { state: "ENABLED", variants, ...facts } as const;
  // flagd has one default for null. Where null must lead to the caller's, the flag's own is said in the targeting.
  const isNullForCaller = branches.some(({ serve, logic }) => logic === undefined && mayBeNull(serve));
  const targeting = end === null || isNullForCaller ? chain(branches, end) : chain(branches, null);
  const fallback = end === null || (isNullForCaller && branches.length > 0) ? {} : { defaultVariant: end };
  if (typeof targeting === "object" && targeting !== null) {
    return { ...base, ...fallback, targeting: targeting as JsonObject };
  }
  return { ...base, ...(targeting === null ? fallback : { defaultVariant: String(targeting) }) };
}

/** Logic of people's own may be null, and nobody sees when. */
function mayBeNull(serve: JsonValue): boolean {
  return typeof serve !== "string";
}

function chain(branches: readonly Branch[], end: string | null): JsonValue {
  const last = branches.at(-1);
  const before = branches.slice(0, -1);
  if (last !== undefined && (last.when === true || (last.logic !== undefined && end === null))) {
    return ifElse(before, last.serve);
  }
  return ifElse(branches, end);
}

function ifElse(branches: readonly Branch[], end: JsonValue): JsonValue {
  return branches.length === 0 ? end : { if: [...branches.flatMap(({ when, serve }) => [when, serve]), end] };
}
