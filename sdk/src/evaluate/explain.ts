import type { Match } from "./clause.ts";
import { compileUnit } from "./compile/attribute.ts";
import { bucketOf } from "./compile/bucket.ts";
import { isEntitled } from "./compile/clause.ts";
import { variantFor } from "./compile/flag.ts";
import { HASH_START, hashFurther, hashText } from "./compile/murmur3.ts";
import { LOGIC_STEPS_MAX, type Scope } from "./compile/scope.ts";
import { compileMatch } from "./compile/segment.ts";
import { shareAt } from "./compile/serve.ts";
import { type FlagDefinition, type Serve, SHARES } from "./definition.ts";
import type { Evaluation } from "./evaluation.ts";
import { secondsOf } from "./logic/variable.ts";
import { type FlagState, toolsOf } from "./set/state.ts";

/** How an evaluation came to its result: `evaluation.layer` is the step that decided, and the steps before it are told here. */
export interface Explanation {
  readonly flag: string;
  readonly evaluation: Evaluation;
  /** The prerequisites that were asked, in order; the last may be unmet. */
  readonly prerequisites: readonly ExplainedPrerequisite[];
  readonly entitlement: { readonly feature: string; readonly entitled: boolean } | undefined;
  readonly group:
    | (ExplainedBucket & { readonly group: string; readonly from: number; readonly to: number })
    | undefined;
  /** The rules that were asked, in order. */
  readonly rules: readonly ExplainedRule[];
  /** Where the split or the ramp that decided has put the context. */
  readonly bucket: (ExplainedBucket & { readonly share: number | undefined }) | undefined;
}

export interface ExplainedPrerequisite {
  readonly flag: string;
  readonly wanted: readonly string[];
  readonly variant: string | undefined;
  readonly met: boolean;
  /** Undefined past `EXPLAINED_MAX`. */
  readonly because: Explanation | undefined;
}

export interface ExplainedRule {
  readonly id: string;
  /** Whether its clauses held, in order and to the first that did not; a match by logic counts as one clause. */
  readonly clauses: readonly boolean[];
  /** A rule that matches and doesn't serve has left it to the next: its ramp hasn't reached the context, or its logic gave null. */
  readonly outcome: "SERVED" | "MATCHED" | "NOT_MATCHED";
}

/** Undefined where the context has nothing to bucket by. */
export interface ExplainedBucket {
  readonly unit: string | undefined;
  readonly bucket: number | undefined;
  readonly of: number;
}

export interface ExplainRequest {
  readonly flag: string;
  readonly scope: Scope;
  readonly evaluation: Evaluation;
  /** How an evaluation of another flag for the same scope turns out. */
  readonly evaluate: (flag: string) => Evaluation;
}

/** How many explanations one may contain: prerequisites of prerequisites can be met again and again. */
const EXPLAINED_MAX = 100;

/** Explains an evaluation. Of a context that throws when it is read, only the evaluation is told. */
export function explainFlag(state: FlagState, request: ExplainRequest): Explanation {
  try {
    return explain(state, request, { left: EXPLAINED_MAX });
  } catch {
    const { flag, evaluation } = request;
    return {
      flag,
      evaluation,
      prerequisites: [],
      entitlement: undefined,
      group: undefined,
      rules: [],
      bucket: undefined,
    };
  }
}

type Layer = Evaluation["layer"];
const ORDER: readonly Layer[] = [
  "STATE",
  "TENANT",
  "PREREQUISITE",
  "OVERRIDE",
  "ENTITLEMENT",
  "GROUP",
  "RULE",
  "DEFAULT",
  "ERROR",
];

function explain(state: FlagState, request: ExplainRequest, budget: { left: number }): Explanation {
  const { flag, scope, evaluation } = request;
  budget.left -= 1;
  const definition = state.slots.flags.get(flag)?.definition;
  const reached = (layer: Layer) => ORDER.indexOf(evaluation.layer) >= ORDER.indexOf(layer);
  const known = definition !== undefined && evaluation.errorCode === undefined ? definition : undefined;
  const feature = known?.entitlement?.feature;
  return {
    flag,
    evaluation,
    prerequisites: reached("PREREQUISITE") ? explainPrerequisites(state, request, known, budget) : [],
    entitlement:
      feature !== undefined && reached("ENTITLEMENT")
        ? { feature, entitled: isEntitled(scope.tenant, feature) }
        : undefined,
    group: known?.group !== undefined && reached("GROUP") ? explainGroup(state, known.group, scope) : undefined,
    rules: known !== undefined && reached("RULE") ? explainRules(state, known, request) : [],
    bucket: known === undefined ? undefined : explainServed(state, known, request),
  };
}

function explainPrerequisites(
  state: FlagState,
  request: ExplainRequest,
  definition: FlagDefinition | undefined,
  budget: { left: number },
): ExplainedPrerequisite[] {
  const explained: ExplainedPrerequisite[] = [];
  for (const { flag, variants } of definition?.prerequisites ?? []) {
    const compiled = state.compiled.get(flag);
    const variant = compiled && variantFor(compiled, request.scope);
    const met = variant !== undefined && variants.includes(variant);
    const scope = { ...request.scope, flagKey: flag };
    const because =
      budget.left > 0
        ? explain(state, { ...request, flag, scope, evaluation: request.evaluate(flag) }, budget)
        : undefined;
    explained.push({ flag, wanted: variants, variant, met, because });
    if (!met) break;
  }
  return explained;
}

function explainGroup(
  state: FlagState,
  range: NonNullable<FlagDefinition["group"]>,
  scope: Scope,
): NonNullable<Explanation["group"]> {
  const group = state.slots.groups.get(range.group)?.definition;
  return { ...explainBucket(group?.salt ?? "", group?.bucketBy, SHARES, scope), ...range };
}

function explainRules(
  state: FlagState,
  { rules = [] }: FlagDefinition,
  { scope, evaluation }: ExplainRequest,
): ExplainedRule[] {
  const explained: ExplainedRule[] = [];
  for (const { id, match } of rules) {
    const clauses = match === undefined ? [] : explainMatch(state, match, scope);
    const served = evaluation.ruleId === id;
    explained.push({ id, clauses, outcome: served ? "SERVED" : clauses.includes(false) ? "NOT_MATCHED" : "MATCHED" });
    if (served) break;
  }
  return explained;
}

function explainMatch(state: FlagState, match: Match, scope: Scope): boolean[] {
  const tools = toolsOf(state);
  const parts = "logic" in match ? [match] : match.clauses.map((clause) => ({ clauses: [clause] }));
  const held: boolean[] = [];
  for (const part of parts) {
    const holds = compileMatch(part, tools)({ ...scope, stepsLeft: LOGIC_STEPS_MAX });
    held.push(holds);
    if (!holds) break;
  }
  return held;
}

/** The bucket of what served: of the override, the rule or the default. */
function explainServed(
  state: FlagState,
  definition: FlagDefinition,
  { scope, evaluation }: ExplainRequest,
): Explanation["bucket"] {
  const slot = state.slots.flags.get(definition.key);
  const served: Partial<Record<Layer, Serve | undefined>> = {
    OVERRIDE: slot?.overrides.get(scope.tenant?.id ?? "")?.serve,
    RULE: definition.rules?.find(({ id }) => id === evaluation.ruleId)?.serve,
    DEFAULT: definition.defaultServe,
  };
  const serve = served[evaluation.layer];
  if (serve === undefined || evaluation.reason !== "SPLIT") return undefined;
  const total = "split" in serve ? serve.split.reduce((sum, { weight }) => sum + weight, 0) : SHARES;
  const share = "ramp" in serve ? shareAt(serve.ramp.steps, secondsOf(scope.nowMs)) : undefined;
  return { ...explainBucket(definition.salt, definition.bucketBy, total, scope), share };
}

function explainBucket(salt: string, bucketBy: string | undefined, total: number, scope: Scope): ExplainedBucket {
  const unit = compileUnit(bucketBy ?? "targetingKey")(scope);
  const bucket = unit === undefined ? undefined : bucketOf(hashText(hashFurther(HASH_START, salt), unit), total);
  return { unit, bucket, of: total };
}
