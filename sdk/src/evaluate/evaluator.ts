import type { CompiledFlag } from "./compile/flag.ts";
import { failure } from "./compile/result.ts";
import { Fault, LOGIC_STEPS_MAX, type Scope } from "./compile/scope.ts";
import type { EvaluationContext, TenantFacts } from "./context.ts";
import type { FlagDefinition, Metadata } from "./definition.ts";
import type { Evaluation } from "./evaluation.ts";
import { type Explanation, explainFlag } from "./explain.ts";
import { type Lowered, type LoweredFlag, lowerFlag, lowerSet } from "./flagd/lower.ts";
import type { RegexCompiler } from "./operator/regex.ts";
import { type Applied, type ApplyMode, applyChanges } from "./set/apply.ts";
import type { FlagChanges } from "./set/changes.ts";
import { createState } from "./set/state.ts";

/** A set of flags in memory that answers at once. */
export interface Evaluator {
  /**
   * Changes the set, all or nothing as evaluations see it. It costs what the changed documents cost, however many others
   * there are. Strictly, nothing is changed unless everything is right, references too: for those who write definitions.
   * Leniently, what can't be read makes its own flag fail with PARSE_ERROR and no other: for those who only receive them.
   */
  apply(changes: FlagChanges, mode: ApplyMode): Applied;
  /** Evaluates a flag. It never throws. Without a tenant, there are no overrides and no entitlements. */
  evaluate(key: string, context: EvaluationContext, tenant: TenantFacts | undefined, nowMs: number): Evaluation;
  /** Evaluates a flag and tells how it came to the result. */
  explain(key: string, context: EvaluationContext, tenant: TenantFacts | undefined, nowMs: number): Explanation;
  /**
   * The whole set in flagd's JSON, as one tenant sees it: overrides, entitlements and what rules say of the tenant are decided, segments and
   * prerequisites stand where they are referred to. flagd's evaluators give the same values and variants for it as `evaluate`.
   */
  lower(tenant: TenantFacts | undefined): Lowered;
  /** The same for one flag. */
  lowerFlag(key: string, tenant: TenantFacts | undefined): LoweredFlag;
  /** A flag as it was put; undefined when there is none, or none that can be read. */
  definition(key: string): FlagDefinition | undefined;
  /** The keys of all flags, also of those that can't be read. */
  keys(): IterableIterator<string>;
  readonly size: number;
}

export interface EvaluatorOptions {
  /** What compiles regular expressions; without it, flags that use them can't be read. */
  readonly regex?: RegexCompiler;
}

/** Makes an evaluator without flags. */
export function createEvaluator(options: EvaluatorOptions = {}): Evaluator {
  const state = createState(options.regex);
  const { compiled } = state;
  const evaluate: Evaluator["evaluate"] = (key, context, tenant, nowMs) => {
    const flag = compiled.get(key);
    if (flag === undefined) return notFound(key, state.metadata);
    if (tenant !== undefined && tenant.state !== "ACTIVE") return flag.suspended;
    if (flag.fixed !== undefined) return flag.fixed;
    if (typeof context !== "object" || context === null) return invalidContext(flag);
    return decide(flag, { flagKey: key, context, tenant, nowMs, stepsLeft: LOGIC_STEPS_MAX });
  };
  const explain: Evaluator["explain"] = (key, context, tenant, nowMs) => {
    const scope = { flagKey: key, context: context ?? {}, tenant, nowMs, stepsLeft: LOGIC_STEPS_MAX };
    const evaluateOther = (flag: string) => evaluate(flag, context, tenant, nowMs);
    return explainFlag(state, { flag: key, scope, evaluation: evaluateOther(key), evaluate: evaluateOther });
  };
  return {
    apply: (changes, mode) => applyChanges(state, changes, mode),
    evaluate,
    explain,
    lower: (tenant) => lowerSet(state, tenant),
    lowerFlag: (key, tenant) => lowerFlag(state, key, tenant),
    definition: (key) => state.slots.flags.get(key)?.definition,
    keys: () => state.compiled.keys(),
    get size() {
      return state.compiled.size;
    },
  };
}

function decide(flag: CompiledFlag, scope: Scope): Evaluation {
  try {
    return flag.decide(scope);
  } catch (error) {
    if (error instanceof Fault) return failure(error.code, error.message, flag.flagMetadata);
    // A context with getters can throw anything, and its own words stay out of results.
    return failure("GENERAL", `The evaluation of the flag "${flag.key}" failed`, flag.flagMetadata);
  }
}

/** A caller without types may ask for anything, also for what has no text. */
function notFound(key: unknown, metadata: Metadata): Evaluation {
  const name = typeof key === "string" ? `"${key}"` : "whose key is no text";
  return failure("FLAG_NOT_FOUND", `There is no flag ${name}`, metadata);
}

function invalidContext(flag: CompiledFlag): Evaluation {
  return failure("INVALID_CONTEXT", "The context must be an object", flag.flagMetadata);
}
