import type { FlagDefinition, Metadata } from "../definition.ts";
import type { Evaluation, EvaluationErrorCode, EvaluationReason, Layer } from "../evaluation.ts";

/** Makes a flag's results: once, when it is compiled. */
export interface Results {
  variant(name: string, reason: EvaluationReason, layer: Layer, ruleId?: string): Evaluation;
  /** The off variant, or the caller's default if the flag has none. */
  off(reason: EvaluationReason, layer: Layer): Evaluation;
  callerDefault(reason: EvaluationReason, layer: Layer): Evaluation;
  /** The context has nothing to bucket by. */
  missingUnit(path: string): Evaluation;
}

/** The results of a flag. Its own metadata go before the set's. */
export function resultsOf(flag: FlagDefinition, setMetadata: Metadata): Results {
  const flagMetadata = Object.freeze({ ...setMetadata, ...flag.metadata });
  const results: Results = {
    variant(name, reason, layer, ruleId) {
      const value = Object.hasOwn(flag.variants, name) ? flag.variants[name] : undefined;
      if (value === undefined) {
        return failure("GENERAL", `The flag "${flag.key}" has no variant "${name}"`, flagMetadata);
      }
      return freeze({ value, variant: name, reason, layer, ruleId, flagMetadata });
    },
    off(reason, layer) {
      if (flag.offVariant !== undefined) return results.variant(flag.offVariant, reason, layer);
      return results.callerDefault(reason === "DISABLED" ? reason : "DEFAULT", layer);
    },
    callerDefault: (reason, layer) => freeze({ reason, layer, flagMetadata }),
    missingUnit: (path) =>
      failure("TARGETING_KEY_MISSING", `The context has no text or number at "${path}"`, flagMetadata),
  };
  return results;
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
