import type { Evaluation, Explanation } from "@tenantplane/sdk/evaluate";
import { flagName } from "./flag.ts";

/** One step of an evaluation, in words. */
export interface ExplainedStep {
  /** The key of the flag whose step it is. */
  readonly flag: string;
  readonly layer: Evaluation["layer"];
  readonly ruleId: string;
  /** Whether it decided its flag. */
  readonly decided: boolean;
  readonly description: string;
  readonly bucket: number | undefined;
  readonly buckets: number | undefined;
}

/** An explanation as a list: those of a prerequisite come before the step that asks for it. */
export function stepsOf(explanation: Explanation): ExplainedStep[] {
  const { flag, evaluation, prerequisites, entitlement, group, rules } = explanation;
  const { layer } = evaluation;
  const step = (of: Pick<ExplainedStep, "layer" | "description"> & Partial<ExplainedStep>): ExplainedStep => ({
    flag,
    ruleId: "",
    decided: of.layer === layer,
    bucket: undefined,
    buckets: undefined,
    ...of,
  });
  const steps = prerequisites.flatMap(({ flag: other, wanted, variant, met, because }) => [
    ...(because ? stepsOf(because) : []),
    step({
      layer: "PREREQUISITE",
      decided: !met,
      description: `${flagName(other)} gave ${variant === undefined ? "nothing" : quote(variant)}; wanted: ${wanted.map(quote).join(", ")}`,
    }),
  ]);
  if (entitlement) {
    const { feature, entitled } = entitlement;
    steps.push(
      step({
        layer: "ENTITLEMENT",
        description: `the tenant is ${entitled ? "" : "not "}entitled to ${quote(feature)}`,
      }),
    );
  }
  if (group) {
    const { from, to, bucket, of } = group;
    const description = `the flag has buckets ${from} to ${to - 1} of group ${quote(group.group)}`;
    steps.push(step({ layer: "GROUP", description, bucket, buckets: of }));
  }
  for (const { id, clauses, outcome } of rules) {
    const description = { SERVED: "matched, and served", MATCHED: "matched, and left it to the next", NOT_MATCHED: "" }[
      outcome
    ];
    const ofMissed = `did not match: condition ${clauses.length} does not hold`;
    const decided = outcome === "SERVED";
    steps.push(
      step({
        layer: "RULE",
        ruleId: id,
        decided,
        description: description || ofMissed,
        ...(decided ? bucketOf(explanation) : {}),
      }),
    );
  }
  const told = steps.some((known) => known.flag === flag && known.decided);
  return told ? steps : [...steps, step({ layer, description: lastWords(evaluation), ...bucketOf(explanation) })];
}

function bucketOf({ bucket }: Explanation): Pick<ExplainedStep, "bucket" | "buckets"> {
  return { bucket: bucket?.bucket, buckets: bucket?.of };
}

function lastWords({ layer, errorMessage, reason }: Evaluation): string {
  switch (layer) {
    case "STATE":
      return reason === "DISABLED" ? "the flag is disabled or killed" : "the flag is off";
    case "TENANT":
      return "the tenant is not ACTIVE";
    case "OVERRIDE":
      return "the tenant's override serves";
    case "DEFAULT":
      return "nothing else decided";
    default:
      return errorMessage ?? "it decided";
  }
}

function quote(text: string): string {
  return JSON.stringify(text);
}
