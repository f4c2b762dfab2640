import {
  createEvaluator,
  type EvaluationContext,
  type FlagChanges,
  type RampStep,
  SHARES,
  type TenantFacts,
} from "@tenantplane/sdk/evaluate";
import { re2 } from "@tenantplane/sdk/regex";
import { bucketOf } from "../../sdk/src/evaluate/compile/bucket.ts";
import { HASH_START, hashFurther, hashText } from "../../sdk/src/evaluate/compile/murmur3.ts";
import { CONTEXT, EXPERIMENTS, LAYER_CASES, LAYER_NOW, OPERATOR_CASES, OPERATOR_NOW, PARENT } from "./flag-cases.ts";
import { ACME, flagOf } from "./flag-set.ts";

/** One document set with what its flags give: everything that another implementation needs to check itself. */
export interface Vector {
  readonly name: string;
  readonly set: VectorSet;
  readonly evaluations: readonly VectorEvaluation[];
}

/** Lists of documents, as definition.ts describes them. */
export interface VectorSet {
  readonly flags: readonly object[];
  readonly segments?: readonly object[];
  readonly groups?: readonly object[];
  readonly overrides?: readonly object[];
}

export interface VectorEvaluation {
  readonly context: EvaluationContext;
  readonly tenant?: TenantFacts;
  readonly nowMs: number;
  /** Of the flag "flag"; fields that are absent are not there. */
  readonly expect: Readonly<Record<string, unknown>>;
}

/** A file of vectors. */
export interface VectorFile {
  readonly about: string;
  readonly vectors: readonly object[];
}

/** All files by name. What is expected is written down by hand, except for hashes and what follows from them. */
export function makeVectors(): Readonly<Record<string, VectorFile>> {
  return {
    "operators.json": {
      about: "Clauses, and the values of `attribute` that satisfy them.",
      vectors: operatorVectors(),
    },
    "layers.json": { about: "The steps of a decision, in order.", vectors: layerVectors() },
    "bucketing.json": {
      about: "murmur3-x86-32 (seed 0) of the UTF-8 bytes of salt + unit, and bucket = (hash * total) >> 32.",
      vectors: bucketVectors(),
    },
    "ramps.json": { about: `Shares of ${SHARES} at times, and what a unit gets.`, vectors: rampVectors() },
  };
}

/** Evaluates a vector's flag. */
export function evaluateVector(set: VectorSet, { context, tenant, nowMs }: Omit<VectorEvaluation, "expect">) {
  const evaluator = createEvaluator({ regex: re2 });
  const changes: FlagChanges = {
    flags: { put: set.flags },
    segments: { put: set.segments ?? [] },
    groups: { put: set.groups ?? [] },
    overrides: { put: set.overrides ?? [] },
  };
  const { problems } = evaluator.apply(changes, "strict");
  return { problems, evaluation: evaluator.evaluate("flag", context, tenant, nowMs) };
}

function operatorVectors(): Vector[] {
  const segments = [{ key: "all", matches: [{ clauses: [] }] }, { key: "none" }];
  return OPERATOR_CASES.map(([name, clause, satisfied, unsatisfied]) => {
    const attribute = ["SEGMENT", "ENTITLED"].includes(clause.operator) ? {} : { attribute: "attribute" };
    const match = { clauses: [{ ...attribute, ...clause }] };
    const evaluation = (value: unknown, expect: object): VectorEvaluation => ({
      context: value === undefined ? {} : { attribute: value },
      tenant: ACME,
      nowMs: OPERATOR_NOW,
      expect: { ...expect },
    });
    return {
      name,
      set: { flags: [flagOf({ rules: [{ id: "rule", match, serve: { variant: "green" } }] })], segments },
      evaluations: [
        ...satisfied.map((value) => evaluation(value, { variant: "green", reason: "TARGETING_MATCH", ruleId: "rule" })),
        ...unsatisfied.map((value) => evaluation(value, { variant: "red", reason: "DEFAULT" })),
      ],
    };
  });
}

function layerVectors(): Vector[] {
  return Object.entries(LAYER_CASES).map(
    ([name, { flag, parent = {}, override, context = CONTEXT, gives, ...rest }]) => {
      const tenant = "tenant" in rest ? rest.tenant : ACME;
      const [variant, reason, layer, ruleId] = gives;
      return {
        name,
        set: {
          flags: [flagOf(flag), { ...PARENT, ...parent }],
          groups: [EXPERIMENTS],
          ...(override === undefined ? {} : { overrides: [override] }),
        },
        evaluations: [
          {
            context,
            ...(tenant === undefined ? {} : { tenant }),
            nowMs: LAYER_NOW,
            expect: { variant, reason, layer, ruleId },
          },
        ],
      };
    },
  );
}

/** Salts and units: hashes at the edges, all sizes of a last block, and UTF-8 characters of each length. */
const UNITS: readonly (readonly [string, string])[] = [
  ["", "ejOoVL"],
  ["", "bY9fO-"],
  ["", "SI7p-"],
  ["", "6LvT0"],
  ["", "ceQdGm"],
  ["flag", "user-1"],
  ["flag", "user-12"],
  ["flag", "user-123"],
  ["flag", "user-1234"],
  ["fla", "guser-1"],
  ["", "café"],
  ["naïve-", "日本語"],
  ["f", "🦊🦊"],
];
const TOTALS = [1, 3, 100, SHARES, 2_147_483_647];

function bucketVectors(): object[] {
  return UNITS.map(([salt, unit]) => {
    const hash = hashText(hashFurther(HASH_START, salt), unit);
    return { salt, unit, hash, buckets: TOTALS.map((total) => ({ total, bucket: bucketOf(hash, total) })) };
  });
}

const RAMPS: Readonly<Record<string, readonly RampStep[]>> = {
  "up in ten seconds": [
    { at: LAYER_NOW, share: 0 },
    { at: LAYER_NOW + 10_000, share: SHARES },
  ],
  "up to a third, a pause, down": [
    { at: LAYER_NOW, share: 1_000 },
    { at: LAYER_NOW + 3_000, share: 33_333 },
    { at: LAYER_NOW + 6_000, share: 33_333 },
    { at: LAYER_NOW + 9_000, share: 0 },
  ],
  "one step: a fixed share": [{ at: LAYER_NOW, share: 50_000 }],
};
/** The first two have the first and the last bucket: nobody is reached by a share of 0, and everybody by the whole. */
const RAMP_UNITS = ["user-66789", "user-81510", "ada", "bob", "cyd"];
const RAMP_TIMES_MS = [-1_000, 0, 1_999, 2_000, 4_000, 7_000, 20_000];

function rampVectors(): Vector[] {
  return Object.entries(RAMPS).map(([name, steps]) => {
    const rules = [{ id: "ramp", serve: { ramp: { variant: "green", steps } } }];
    const set = { flags: [flagOf({ rules })] };
    const evaluations = RAMP_UNITS.flatMap((targetingKey) =>
      RAMP_TIMES_MS.map((ms) => {
        const asked = { context: { targetingKey }, nowMs: LAYER_NOW + ms };
        const { variant, reason } = evaluateVector(set, asked).evaluation;
        return { ...asked, expect: { variant, reason } };
      }),
    );
    return { name, set, evaluations };
  });
}
