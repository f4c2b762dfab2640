import type { FlagDefinition, Metadata } from "../definition.ts";
import type { Evaluation, EvaluationErrorCode, EvaluationReason, Layer } from "../evaluation.ts";

/** What a flag's results are made of. They are made once, when the flag is compiled. */
export interface ResultSource {
  readonly flag: FlagDefinition;
  /** The set's and the flag's; where both have a name, the flag's. */
  readonly flagMetadata: Metadata;
}

/** Where in a flag a result comes from. */
export interface Place {
  readonly layer: Layer;
  readonly ruleId?: string;
}

/** The source of a flag's results. */
export function resultSource(flag: FlagDefinition, setMetadata: Metadata): ResultSource {
  const flagMetadata = flag.metadata === undefined ? setMetadata : Object.freeze({ ...setMetadata, ...flag.metadata });
  return { flag, flagMetadata };
}

/** One of the flag's variants. */
export function variantResult(
  source: ResultSource,
  variant: string,
  reason: EvaluationReason,
  place: Place,
): Evaluation {
  const { flag, flagMetadata } = source;
  const value = Object.hasOwn(flag.variants, variant) ? flag.variants[variant] : undefined;
  if (value === undefined) {
    return failure("GENERAL", `The flag "${flag.key}" has no variant "${variant}"`, flagMetadata);
  }
  return freeze({ value, variant, reason, ...place, flagMetadata });
}

/** The off variant, or the caller's default if the flag has none. */
export function offResult(source: ResultSource, reason: EvaluationReason, layer: Layer): Evaluation {
  const { offVariant } = source.flag;
  if (offVariant !== undefined) return variantResult(source, offVariant, reason, { layer });
  return defaultResult(source, reason === "DISABLED" ? reason : "DEFAULT", layer);
}

/** The caller's default. */
export function defaultResult({ flagMetadata }: ResultSource, reason: EvaluationReason, layer: Layer): Evaluation {
  return freeze({ reason, layer, flagMetadata });
}

/** The context has nothing to bucket by. */
export function missingUnit({ flagMetadata }: ResultSource, path: string): Evaluation {
  return failure("TARGETING_KEY_MISSING", `The context has no text or number at "${path}"`, flagMetadata);
}

/** An evaluation that failed: callers get their default. */
export function failure(errorCode: EvaluationErrorCode, errorMessage: string, flagMetadata: Metadata): Evaluation {
  return freeze({ reason: "ERROR", layer: "ERROR", errorCode, errorMessage, flagMetadata });
}

type Given = Pick<Evaluation, "reason" | "layer" | "flagMetadata"> & Partial<Evaluation>;

/** All results have the same fields in the same order, which lets engines read them fast. */
function freeze(given: Given): Evaluation {
  return Object.freeze({
    value: given.value,
    variant: given.variant,
    reason: given.reason,
    layer: given.layer,
    ruleId: given.ruleId,
    errorCode: given.errorCode,
    errorMessage: given.errorMessage,
    flagMetadata: given.flagMetadata,
  });
}
