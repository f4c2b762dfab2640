import { type FlagDefinition, type Metadata, type Rule, SHARES, type TenantOverride } from "../definition.ts";
import type { Evaluation } from "../evaluation.ts";
import { firstHashOf } from "./bucket.ts";
import { isEntitled } from "./clause.ts";
import { HASH_START, hashFurther, hashText } from "./murmur3.ts";
import { failure, type Results, resultsOf } from "./result.ts";
import type { Scope } from "./scope.ts";
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
  const results = resultsOf(flag, tools.metadata);
  if (flag.state === "DISABLED") return fixedFlag(flag.key, false, results.callerDefault("DISABLED", "STATE"));
  if (flag.killed) return fixedFlag(flag.key, false, results.off("DISABLED", "STATE"));
  const steps = stepsOf(flag, results, tools);
  const suspended = results.off("DISABLED", "TENANT");
  const isStatic = steps.length === 0;
  const { defaultServe } = flag;
  if (isStatic && (defaultServe === undefined || "variant" in defaultServe)) {
    const fixed =
      defaultServe === undefined
        ? results.callerDefault("DEFAULT", "DEFAULT")
        : results.variant(defaultServe.variant, "STATIC", "DEFAULT");
    return { ...fixedFlag(flag.key, true, fixed), suspended };
  }
  const end = results.callerDefault("DEFAULT", "DEFAULT");
  if (defaultServe !== undefined) {
    steps.push(compileServe(defaultServe, "DEFAULT", serveTools(flag, results, tools, { layer: "DEFAULT" })));
  }
  return {
    key: flag.key,
    isOn: true,
    suspended,
    fixed: undefined,
    decide: decideBy(steps, end),
    flagMetadata: end.flagMetadata,
  };
}

/** A flag that can't be read: all evaluations fail. */
export function brokenFlag(key: string, message: string, metadata: Metadata): CompiledFlag {
  return fixedFlag(key, false, failure("PARSE_ERROR", message, metadata));
}

function fixedFlag(key: string, isOn: boolean, fixed: Evaluation): CompiledFlag {
  return { key, isOn, suspended: fixed, fixed, decide: () => fixed, flagMetadata: fixed.flagMetadata };
}

function decideBy(steps: readonly Step[], end: Evaluation): (scope: Scope) => Evaluation {
  return (scope) => {
    for (const step of steps) {
      const result = step(scope);
      if (result !== undefined) return result;
    }
    return end;
  };
}

function serveTools(
  flag: FlagDefinition,
  results: Results,
  tools: FlagTools,
  place: { readonly layer: "OVERRIDE" | "RULE" | "DEFAULT"; readonly ruleId?: string },
): ServeTools {
  const bucketBy = flag.bucketBy ?? "targetingKey";
  return {
    result: (variant, reason) => results.variant(variant, reason, place.layer, place.ruleId),
    missingUnit: results.missingUnit(bucketBy),
    salt: hashFurther(HASH_START, flag.salt),
    bucketBy,
    refer: tools.refer,
  };
}

/** The steps of definition.ts from the prerequisites to the last rule. */
function stepsOf(flag: FlagDefinition, results: Results, tools: FlagTools): Step[] {
  const steps: Step[] = [];
  if (flag.prerequisites !== undefined && flag.prerequisites.length > 0) {
    steps.push(prerequisiteStep(flag.prerequisites, results, tools));
  }
  if (tools.overrides.size > 0) steps.push(overrideStep(flag, results, tools));
  if (flag.entitlement !== undefined) {
    const { feature, otherwise } = flag.entitlement;
    const closed =
      otherwise === undefined
        ? results.off("TARGETING_MATCH", "ENTITLEMENT")
        : results.variant(otherwise, "TARGETING_MATCH", "ENTITLEMENT");
    steps.push(({ tenant }) => (isEntitled(tenant, feature) ? undefined : closed));
  }
  if (flag.group !== undefined) steps.push(groupStep(flag.group, results, tools));
  for (const rule of flag.rules ?? []) steps.push(ruleStep(flag, rule, results, tools));
  return steps;
}

function prerequisiteStep(
  prerequisites: NonNullable<FlagDefinition["prerequisites"]>,
  results: Results,
  tools: FlagTools,
): Step {
  const unmet = results.off("TARGETING_MATCH", "PREREQUISITE");
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

function overrideStep(flag: FlagDefinition, results: Results, tools: FlagTools): Step {
  const serve = serveTools(flag, results, tools, { layer: "OVERRIDE" });
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

function groupStep(range: NonNullable<FlagDefinition["group"]>, results: Results, tools: FlagTools): Step {
  const group = tools.group(range.group);
  const from = firstHashOf(range.from, SHARES);
  const to = firstHashOf(range.to, SHARES);
  const outside = results.off("TARGETING_MATCH", "GROUP");
  return (scope) => {
    const { salt, bucketBy, unit } = group();
    const text = unit(scope);
    if (text === undefined) return results.missingUnit(bucketBy);
    const hash = hashText(salt, text);
    return hash >= from && hash < to ? undefined : outside;
  };
}

function ruleStep(flag: FlagDefinition, rule: Rule, results: Results, tools: FlagTools): Step {
  const serve = compileServe(
    rule.serve,
    "TARGETING_MATCH",
    serveTools(flag, results, tools, { layer: "RULE", ruleId: rule.id }),
  );
  if (rule.match === undefined) return serve;
  const matches = compileMatch(rule.match, tools);
  return (scope) => (matches(scope) ? serve(scope) : undefined);
}
