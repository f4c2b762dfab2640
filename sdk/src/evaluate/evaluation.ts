import type { FlagValue, Metadata } from "./definition.ts";

/** What an evaluation gives. Results are frozen and shared between calls: nothing is allocated per evaluation. */
export interface Evaluation<T = FlagValue | undefined> {
  /** Undefined where the caller's default is to be used. */
  readonly value: T;
  /** Undefined where the caller's default is to be used. */
  readonly variant: string | undefined;
  readonly reason: EvaluationReason;
  /** The step that decided, as definition.ts numbers them; ERROR with an error code. */
  readonly layer: Layer;
  /** The rule that served. */
  readonly ruleId: string | undefined;
  readonly errorCode: EvaluationErrorCode | undefined;
  readonly errorMessage: string | undefined;
  readonly flagMetadata: Metadata;
}

/** OpenFeature's reasons, as far as an evaluator gives them; CACHED and STALE are for clients to say. */
export type EvaluationReason = "STATIC" | "TARGETING_MATCH" | "SPLIT" | "DEFAULT" | "DISABLED" | "ERROR";

/** OpenFeature's error codes, as far as an evaluator gives them; PROVIDER_NOT_READY and PROVIDER_FATAL are for clients to say. */
export type EvaluationErrorCode =
  | "FLAG_NOT_FOUND"
  | "PARSE_ERROR"
  | "TYPE_MISMATCH"
  | "TARGETING_KEY_MISSING"
  | "INVALID_CONTEXT"
  | "GENERAL";

/** Which step decided. */
export type Layer =
  | "STATE"
  | "TENANT"
  | "PREREQUISITE"
  | "OVERRIDE"
  | "ENTITLEMENT"
  | "GROUP"
  | "RULE"
  | "DEFAULT"
  | "ERROR";

/**
 * The evaluation as a caller with a default gets it: the default where there is no value, and the error TYPE_MISMATCH where
 * the value is of another type than the default.
 */
export function orDefault<T>(evaluation: Evaluation, fallback: T): Evaluation<T> {
  const { value } = evaluation;
  if (value === undefined) return { ...evaluation, value: fallback };
  if (typeof value === typeof fallback) return evaluation as Evaluation<T>;
  return {
    value: fallback,
    variant: undefined,
    reason: "ERROR",
    layer: "ERROR",
    ruleId: undefined,
    errorCode: "TYPE_MISMATCH",
    errorMessage: `The value is a ${typeof value} and not a ${typeof fallback}`,
    flagMetadata: evaluation.flagMetadata,
  };
}
