import { create, type JsonValue, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Evaluation } from "@tenantplane/sdk/evaluate";
import {
  type EvaluateFlagResponse,
  EvaluateFlagResponseSchema,
  type FlagEvaluationSchema,
  type FlagStepSchema,
  FlagEvaluation_Layer as Layer,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_evaluation_pb";
import { rememberBytes } from "@tenantplane/sdk/wire";
import { toValue } from "./definition-rpc.ts";
import type { ExplainedStep } from "./explanation.ts";
import { flagName } from "./flag.ts";

/** An evaluation as proto has it. */
export function toEvaluation(key: string, evaluation: Evaluation): MessageInitShape<typeof FlagEvaluationSchema> {
  const { value, variant = "", reason, layer, ruleId = "", errorCode = "", errorMessage = "" } = evaluation;
  return {
    flag: flagName(key),
    ...(value === undefined ? {} : { value: toValue(value as JsonValue) }),
    ...{ variant, reason, ruleId, errorCode, errorMessage },
    layer: Layer[layer],
    metadata: { ...evaluation.flagMetadata },
  };
}

/** A step of an explanation as proto has it. */
export function toStep(step: ExplainedStep): MessageInitShape<typeof FlagStepSchema> {
  const { flag, layer, ruleId, decided, description, bucket, buckets } = step;
  return {
    ...{ flag: flagName(flag), layer: Layer[layer], ruleId, decided, description },
    ...(bucket === undefined ? {} : { bucket: BigInt(bucket) }),
    ...(buckets === undefined ? {} : { bucketTotal: BigInt(buckets) }),
  };
}

const answers = new WeakMap<Evaluation, EvaluateFlagResponse>();

/** An evaluation as an answer. Evaluations are shared between calls, and so each is put into words and encoded once. */
export function answerOf(key: string, evaluation: Evaluation): EvaluateFlagResponse {
  const known = answers.get(evaluation);
  if (known) return known;
  const answer = create(EvaluateFlagResponseSchema, { evaluation: toEvaluation(key, evaluation) });
  rememberBytes(answer, toBinary(EvaluateFlagResponseSchema, answer));
  answers.set(evaluation, answer);
  return answer;
}
