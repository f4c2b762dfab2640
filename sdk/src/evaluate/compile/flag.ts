import {
  type EntitlementGate,
  type FlagDefinition,
  type GroupRange,
  type Metadata,
  type Prerequisite,
  type Rule,
  SHARES,
  type TenantOverride,
} from "../definition.ts";
import type { Evaluation } from "../evaluation.ts";
import { firstHashOf } from "./bucket.ts";
import { isEntitled } from "./clause.ts";
import { HASH_START, hashFurther, hashText } from "./murmur3.ts";
import {
  defaultResult,
  failure,
  missingUnit,
  offResult,
  type Place,
  type ResultSource,
  resultSource,
  variantResult,
} from "./result.ts";
import type { Predicate, Scope } from "./scope.ts";
import { type CompiledGroup, compileMatch, type MatchTools } from "./segment.ts";
import { compileServe, type ServeTools, type Step } from "./serve.ts";

/** A flag to evaluate. */
export interface CompiledFlag {
  readonly key: string;
  /** Whether it can be another flag's prerequisite: neither disabled nor killed. */
  readonly isOn: boolean;
  /** The result for tenants that are not ACTIVE. */
  readonly suspended: Evaluation;
  /** The result for everybody else, when nothing about them matters. */
  readonly fixed: Evaluation | undefined;
  readonly decide: (scope: Scope) => Evaluation;
  readonly flagMetadata: Metadata;
}

/** What flags need from outside. Other documents are asked for at each evaluation, since they change without this flag. */
export interface FlagTools extends MatchTools {
  /** Throws a Fault when there is no such flag. */
  readonly flag: (key: string) => () => CompiledFlag;
  readonly group: (key: string) => () => CompiledGroup;
  readonly overrides: ReadonlyMap<string, TenantOverride>;
  readonly metadata: Metadata;
}

/** Compiles a flag. */
export function compileFlag(flag: FlagDefinition, tools: FlagTools): CompiledFlag {
  const source = resultSource(flag, tools.metadata);
  if (flag.state === "DISABLED") return fixedFlag(flag.key, false, defaultResult(source, "DISABLED", "STATE"));
  if (flag.killed) return fixedFlag(flag.key, false, offResult(source, "DISABLED", "STATE"));
  const steps = stepsOf(source, tools);
  const suspended = offResult(source, "DISABLED", "TENANT");
  const isStatic = steps.length === 0;
  const { defaultServe } = flag;
  let end = defaultResult(source, "DEFAULT", "DEFAULT");
  if (defaultServe !== undefined && "variant" in defaultServe) {
    end = variantResult(source, defaultServe.variant, isStatic ? "STATIC" : "DEFAULT", { layer: "DEFAULT" });
  } else if (defaultServe !== undefined) {
    steps.push(compileServe(defaultServe, "DEFAULT", serveTools(source, tools, { layer: "DEFAULT" })));
  }
  if (steps.length === 0) return fixedFlag(flag.key, true, end, suspended);
  const decide = decideBy(steps, end);
  return { key: flag.key, isOn: true, suspended, fixed: undefined, decide, flagMetadata: source.flagMetadata };
}

/** A flag that can't be read: all evaluations fail. */
export function brokenFlag(key: string, message: string, metadata: Metadata): CompiledFlag {
  return fixedFlag(key, false, failure("PARSE_ERROR", message, metadata));
}

function fixedFlag(key: string, isOn: boolean, fixed: Evaluation, suspended = fixed): CompiledFlag {
  return { key, isOn, suspended, fixed, decide: () => fixed, flagMetadata: fixed.flagMetadata };
}

/** Most flags have a rule or two: those are asked without a loop. */
function decideBy(steps: readonly Step[], end: Evaluation): (scope: Scope) => Evaluation {
  const [first, second, ...more] = steps;
  if (first === undefined) return () => end;
  if (second === undefined) return decideByOne(first, end);
  return more.length === 0 ? decideByTwo(first, second, end) : decideByMany([...steps], end);
}

// Functions of their own: a closure keeps everything that its surroundings hold, and there is one for each flag.
function decideByOne(step: Step, end: Evaluation): (scope: Scope) => Evaluation {
  return (scope) => step(scope) ?? end;
}

function decideByTwo(first: Step, second: Step, end: Evaluation): (scope: Scope) => Evaluation {
  return (scope) => first(scope) ?? second(scope) ?? end;
}

function decideByMany(steps: readonly Step[], end: Evaluation): (scope: Scope) => Evaluation {
  return (scope) => {
    for (let index = 0; index < steps.length; index += 1) {
      const result = steps[index]?.(scope);
      if (result !== undefined) return result;
    }
    return end;
  };
}

function serveTools(source: ResultSource, tools: FlagTools, place: Place): ServeTools {
  return { source, place, salt: hashFurther(HASH_START, source.flag.salt), refer: tools.refer };
}

/** The steps of definition.ts from the prerequisites to the last rule. */
function stepsOf(source: ResultSource, tools: FlagTools): Step[] {
  const { prerequisites = [], entitlement, group, rules = [] } = source.flag;
  const steps: Step[] = [];
  if (prerequisites.length > 0) steps.push(prerequisiteStep(prerequisites, source, tools));
  if (tools.overrides.size > 0) steps.push(overrideStep(source, tools));
  if (entitlement !== undefined) steps.push(entitlementStep(entitlement, source));
  if (group !== undefined) steps.push(groupStep(group, source, tools));
  for (const rule of rules) steps.push(ruleStep(rule, source, tools));
  return steps;
}

function prerequisiteStep(prerequisites: readonly Prerequisite[], source: ResultSource, tools: FlagTools): Step {
  const unmet = offResult(source, "TARGETING_MATCH", "PREREQUISITE");
  const wanted = prerequisites.map(({ flag, variants }) => ({ flag: tools.flag(flag), variants }));
  return (scope) => {
    for (const { flag, variants } of wanted) {
      const variant = variantFor(flag(), scope);
      if (variant === undefined || !variants.includes(variant)) return unmet;
    }
    return undefined;
  };
}

/** The variant that another flag gives in the same scope; undefined when it is off. */
export function variantFor(flag: CompiledFlag, scope: Scope): string | undefined {
  if (!flag.isOn) return undefined;
  if (flag.fixed !== undefined) return flag.fixed.variant;
  const own: Scope = { ...scope, flagKey: flag.key };
  const { variant } = flag.decide(own);
  scope.stepsLeft = own.stepsLeft;
  return variant;
}

function overrideStep(source: ResultSource, tools: FlagTools): Step {
  const serve = serveTools(source, tools, { layer: "OVERRIDE" });
  // Compiled when first met: a node knows the overrides of all tenants and serves few of them.
  const compiled = new WeakMap<TenantOverride, Step>();
  return (scope) => {
    if (scope.tenant === undefined) return undefined;
    const override = tools.overrides.get(scope.tenant.id);
    if (override === undefined) return undefined;
    let step = compiled.get(override);
    if (step === undefined) {
      step = compileServe(override.serve, "TARGETING_MATCH", serve);
      compiled.set(override, step);
    }
    return step(scope);
  };
}

function entitlementStep({ feature, otherwise }: EntitlementGate, source: ResultSource): Step {
  const closed =
    otherwise === undefined
      ? offResult(source, "TARGETING_MATCH", "ENTITLEMENT")
      : variantResult(source, otherwise, "TARGETING_MATCH", { layer: "ENTITLEMENT" });
  return ({ tenant }) => (isEntitled(tenant, feature) ? undefined : closed);
}

function groupStep(range: GroupRange, source: ResultSource, tools: FlagTools): Step {
  const group = tools.group(range.group);
  const from = firstHashOf(range.from, SHARES);
  const to = firstHashOf(range.to, SHARES);
  const outside = offResult(source, "TARGETING_MATCH", "GROUP");
  return (scope) => {
    const { salt, bucketBy, unit } = group();
    const text = unit(scope);
    if (text === undefined) return missingUnit(source, bucketBy);
    const hash = hashText(salt, text);
    return hash >= from && hash < to ? undefined : outside;
  };
}

function ruleStep(rule: Rule, source: ResultSource, tools: FlagTools): Step {
  const place: Place = { layer: "RULE", ruleId: rule.id };
  if ("variant" in rule.serve && rule.match !== undefined) {
    const result = variantResult(source, rule.serve.variant, "TARGETING_MATCH", place);
    return serveResultIf(compileMatch(rule.match, tools), result);
  }
  const serve = compileServe(rule.serve, "TARGETING_MATCH", serveTools(source, tools, place));
  return rule.match === undefined ? serve : serveIf(compileMatch(rule.match, tools), serve);
}

function serveResultIf(matches: Predicate, result: Evaluation): Step {
  return (scope) => (matches(scope) ? result : undefined);
}

function serveIf(matches: Predicate, serve: Step): Step {
  return (scope) => (matches(scope) ? serve(scope) : undefined);
}
