import type { JsonLogic } from "../clause.ts";
import { type Ramp, type RampStep, type Serve, SHARES, type WeightedVariant } from "../definition.ts";
import type { Evaluation, EvaluationReason } from "../evaluation.ts";
import { compileLogic, type Refer } from "../logic/compile.ts";
import { secondsOf } from "../logic/variable.ts";
import { compileUnit } from "./attribute.ts";
import { bucketOf, firstHashOf } from "./bucket.ts";
import { type HashState, hashText } from "./murmur3.ts";
import { missingUnit, type Place, type ResultSource, variantResult } from "./result.ts";
import type { Scope } from "./scope.ts";

/** Gives a result, or undefined when it leaves the decision to the next step. */
export type Step = (scope: Scope) => Evaluation | undefined;

/** What serving needs of its flag and of its place in it. */
export interface ServeTools {
  readonly source: ResultSource;
  readonly place: Place;
  readonly salt: HashState;
  readonly refer: Refer;
}

/** Compiles what is served. `fixedReason` is the reason of a variant that is served alone. */
export function compileServe(serve: Serve, fixedReason: EvaluationReason, tools: ServeTools): Step {
  if ("variant" in serve) {
    const result = variantResult(tools.source, serve.variant, fixedReason, tools.place);
    return () => result;
  }
  if ("split" in serve) return compileSplit(serve.split, tools);
  if ("ramp" in serve) return compileRamp(serve.ramp, tools);
  return compileChoice(serve.logic, tools);
}

/** The attribute that a flag buckets by. */
export function bucketPath(flag: { readonly bucketBy?: string }): string {
  return flag.bucketBy ?? "targetingKey";
}

/** The share of a ramp at a time, in whole seconds. */
export function shareAt(steps: readonly RampStep[], seconds: number): number {
  let before: RampStep | undefined;
  for (const step of steps) {
    if (seconds * 1_000 < step.at) return before === undefined ? step.share : shareBetween(before, step, seconds);
    before = step;
  }
  return before?.share ?? 0;
}

/** Counted from the earlier step and rounded towards its share, all in whole numbers, so that each evaluator comes to the same. */
function shareBetween(before: RampStep, after: RampStep, seconds: number): number {
  const part = (after.share - before.share) * (seconds - before.at / 1_000);
  const span = (after.at - before.at) / 1_000;
  return before.share + (part - (part % span)) / span;
}

function compileSplit(split: readonly WeightedVariant[], { source, place, salt }: ServeTools): Step {
  const total = split.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  const ends = split.map(({ weight }) => {
    sum += weight;
    return firstHashOf(sum, total);
  });
  const results = split.map(({ variant }) => variantResult(source, variant, "SPLIT", place));
  return chooseByHash(source, salt, ends, results);
}

function chooseByHash(
  source: ResultSource,
  salt: HashState,
  ends: readonly number[],
  results: readonly Evaluation[],
): Step {
  const unit = compileUnit(bucketPath(source.flag));
  return (scope) => {
    const text = unit(scope);
    if (text === undefined) return missingUnit(source, bucketPath(source.flag));
    const hash = hashText(salt, text);
    let index = 0;
    while (hash >= (ends[index] ?? 0)) index += 1;
    return results[index];
  };
}

function compileRamp({ variant, otherwise, steps }: Ramp, { source, place, salt }: ServeTools): Step {
  const reached = variantResult(source, variant, "SPLIT", place);
  const unreached = otherwise === undefined ? undefined : variantResult(source, otherwise, "SPLIT", place);
  const unit = compileUnit(bucketPath(source.flag));
  return (scope) => {
    const text = unit(scope);
    if (text === undefined) return missingUnit(source, bucketPath(source.flag));
    const bucket = bucketOf(hashText(salt, text), SHARES);
    return bucket < shareAt(steps, secondsOf(scope.nowMs)) ? reached : unreached;
  };
}

function compileChoice(logic: JsonLogic, { source, place, refer }: ServeTools): Step {
  const expression = compileLogic(logic, refer);
  const results = new Map<string, Evaluation>();
  return (scope) => {
    const chosen = expression(scope.context, scope);
    if (chosen === null || chosen === undefined) return undefined;
    const variant = String(chosen);
    const known = results.get(variant);
    if (known !== undefined) return known;
    const result = variantResult(source, variant, "TARGETING_MATCH", place);
    // Names that are no variants come from contexts, and there is no end to them.
    if (result.errorCode === undefined) results.set(variant, result);
    return result;
  };
}
