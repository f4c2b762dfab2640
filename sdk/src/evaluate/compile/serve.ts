import { type Ramp, type RampStep, type Serve, SHARES, type WeightedVariant } from "../definition.ts";
import type { Evaluation, EvaluationReason } from "../evaluation.ts";
import { compileLogic, type Refer } from "../logic/compile.ts";
import { secondsOf } from "../logic/variable.ts";
import { bucketOf, firstHashOf } from "./bucket.ts";
import { compileAttribute } from "./clause.ts";
import { type HashState, hashText } from "./murmur3.ts";
import type { Scope } from "./scope.ts";

/** Gives a result, or undefined when it leaves the decision to the next step. */
export type Step = (scope: Scope) => Evaluation | undefined;

/** What serving needs of its flag and of its place in it. */
export interface ServeTools {
  readonly result: (variant: string, reason: EvaluationReason) => Evaluation;
  readonly missingUnit: Evaluation;
  readonly salt: HashState;
  readonly bucketBy: string;
  readonly refer: Refer;
}

/** Compiles what is served. `fixedReason` is the reason of a variant that is served alone. */
export function compileServe(serve: Serve, fixedReason: EvaluationReason, tools: ServeTools): Step {
  if ("variant" in serve) {
    const result = tools.result(serve.variant, fixedReason);
    return () => result;
  }
  if ("split" in serve) return compileSplit(serve.split, tools);
  if ("ramp" in serve) return compileRamp(serve.ramp, tools);
  return compileChoice(serve.logic, tools);
}

/** Compiles what gives the text to bucket by: a non-empty string or a number. Undefined when the context has neither there. */
export function compileUnit(path: string): (scope: Scope) => string | undefined {
  const read = compileAttribute(path);
  return (scope) => {
    const value = read(scope);
    if (typeof value === "string") return value === "" ? undefined : value;
    return typeof value === "number" ? String(value) : undefined;
  };
}

/** The share of a ramp at a time, in whole seconds. */
export function shareAt(steps: readonly RampStep[], seconds: number): number {
  const now = seconds * 1_000;
  let before: RampStep | undefined;
  for (const step of steps) {
    if (now < step.at) return before === undefined ? step.share : between(before, step, now);
    before = step;
  }
  return before?.share ?? 0;
}

function between(before: RampStep, after: RampStep, now: number): number {
  // Rounded towards the earlier share, so that each share is reached at its step and not before.
  return before.share + Math.trunc(((after.share - before.share) * (now - before.at)) / (after.at - before.at));
}

function compileSplit(split: readonly WeightedVariant[], tools: ServeTools): Step {
  const total = split.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  const ends = split.map(({ weight }) => {
    sum += weight;
    return firstHashOf(sum, total);
  });
  const results = split.map(({ variant }) => tools.result(variant, "SPLIT"));
  const unit = compileUnit(tools.bucketBy);
  return (scope) => {
    const text = unit(scope);
    if (text === undefined) return tools.missingUnit;
    const hash = hashText(tools.salt, text);
    let index = 0;
    while (hash >= (ends[index] ?? 0)) index += 1;
    return results[index];
  };
}

function compileRamp(ramp: Ramp, tools: ServeTools): Step {
  const reached = tools.result(ramp.variant, "SPLIT");
  const otherwise = ramp.otherwise === undefined ? undefined : tools.result(ramp.otherwise, "SPLIT");
  const unit = compileUnit(tools.bucketBy);
  return (scope) => {
    const text = unit(scope);
    if (text === undefined) return tools.missingUnit;
    const bucket = bucketOf(hashText(tools.salt, text), SHARES);
    return bucket < shareAt(ramp.steps, secondsOf(scope.nowMs)) ? reached : otherwise;
  };
}

function compileChoice(logic: Parameters<typeof compileLogic>[0], tools: ServeTools): Step {
  const expression = compileLogic(logic, tools.refer);
  const results = new Map<string, Evaluation>();
  return (scope) => {
    const chosen = expression(scope.context, scope);
    if (chosen === null || chosen === undefined) return undefined;
    const variant = String(chosen);
    const known = results.get(variant);
    if (known !== undefined) return known;
    const result = tools.result(variant, "TARGETING_MATCH");
    // Names that are no variants come from contexts, and there is no end to them.
    if (result.errorCode === undefined) results.set(variant, result);
    return result;
  };
}
