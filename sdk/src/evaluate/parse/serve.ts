import { type Ramp, type RampStep, type Serve, SHARES, type WeightedVariant } from "../definition.ts";
import { RAMP_STEPS_MAX, VARIANTS_MAX, WEIGHTS_MAX } from "./bounds.ts";
import { parseLogic } from "./match.ts";
import { addProblem, at, type Parsing, parseFields, parseList, parseText, parseWhole } from "./parsing.ts";

/** The names of a flag's variants; undefined where they aren't known. */
export type Variants = ReadonlySet<string> | undefined;

const KINDS = ["variant", "split", "ramp", "logic"] as const;

/** Takes a value for what a rule, a default or an override serves. */
export function parseServe(parsing: Parsing, path: string, value: unknown, variants: Variants): Serve | undefined {
  const fields = parseFields(parsing, path, value, KINDS);
  if (fields === undefined) return undefined;
  const [kind, ...others] = KINDS.filter((name) => fields[name] !== undefined);
  if (kind === undefined || others.length > 0) {
    return addProblem(parsing, path, `must have one of ${KINDS.join(", ")}`);
  }
  const where = at(path, kind);
  switch (kind) {
    case "variant": {
      const variant = parseVariant(parsing, where, fields.variant, variants);
      return variant === undefined ? undefined : { variant };
    }
    case "split": {
      const split = parseSplit(parsing, where, fields.split, variants);
      return split === undefined ? undefined : { split };
    }
    case "ramp": {
      const ramp = parseRamp(parsing, where, fields.ramp, variants);
      return ramp === undefined ? undefined : { ramp };
    }
    case "logic": {
      const logic = parseLogic(parsing, where, fields.logic);
      return logic === undefined ? undefined : { logic };
    }
  }
}

/** Takes a value for the name of one of the flag's variants. */
export function parseVariant(parsing: Parsing, path: string, value: unknown, variants: Variants): string | undefined {
  const name = parseText(parsing, path, value);
  if (name === undefined || variants === undefined || variants.has(name)) return name;
  return addProblem(parsing, path, `the flag has no variant ${JSON.stringify(name)}`);
}

function parseSplit(parsing: Parsing, path: string, value: unknown, variants: Variants): WeightedVariant[] | undefined {
  const split = parseList(parsing, path, value, {
    max: VARIANTS_MAX,
    parse: (where, item) => {
      const fields = parseFields(parsing, where, item, ["variant", "weight"]);
      if (fields === undefined) return undefined;
      const variant = parseVariant(parsing, at(where, "variant"), fields.variant, variants);
      const weight = parseWhole(parsing, at(where, "weight"), fields.weight, { min: 0, max: WEIGHTS_MAX });
      return variant === undefined || weight === undefined ? undefined : { variant, weight };
    },
  });
  if (split === undefined || split.length < (value as readonly unknown[]).length) return undefined;
  const total = split.reduce((sum, { weight }) => sum + weight, 0);
  if (total >= 1 && total <= WEIGHTS_MAX) return split;
  return addProblem(parsing, path, `the weights must come to 1 to ${WEIGHTS_MAX} together`);
}

function parseRamp(parsing: Parsing, path: string, value: unknown, variants: Variants): Ramp | undefined {
  const fields = parseFields(parsing, path, value, ["variant", "otherwise", "steps"]);
  if (fields === undefined) return undefined;
  const variant = parseVariant(parsing, at(path, "variant"), fields.variant, variants);
  const otherwise =
    fields.otherwise === undefined
      ? undefined
      : parseVariant(parsing, at(path, "otherwise"), fields.otherwise, variants);
  const steps = parseSteps(parsing, at(path, "steps"), fields.steps);
  if (variant === undefined || steps === undefined) return undefined;
  return { variant, steps, ...(otherwise === undefined ? {} : { otherwise }) };
}

/** The first and the last instant of a Date. */
const INSTANT_MAX = 8_640_000_000_000_000;

function parseSteps(parsing: Parsing, path: string, value: unknown): RampStep[] | undefined {
  const steps = parseList(parsing, path, value, {
    max: RAMP_STEPS_MAX,
    parse: (where, item) => {
      const fields = parseFields(parsing, where, item, ["at", "share"]);
      if (fields === undefined) return undefined;
      const instant = parseWhole(parsing, at(where, "at"), fields.at, { min: -INSTANT_MAX, max: INSTANT_MAX });
      const share = parseWhole(parsing, at(where, "share"), fields.share, { min: 0, max: SHARES });
      if (instant === undefined || share === undefined) return undefined;
      if (instant % 1_000 !== 0) return addProblem(parsing, at(where, "at"), "must be a whole second");
      return { at: instant, share };
    },
  });
  if (steps === undefined || steps.length === 0) return addProblem(parsing, path, "must have at least one step");
  for (const [index, step] of steps.entries()) {
    const before = steps[index - 1];
    if (before !== undefined && before.at >= step.at) {
      return addProblem(parsing, `${path}[${index}].at`, "must be later than the step before");
    }
  }
  return steps;
}
