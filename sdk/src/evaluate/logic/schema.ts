import { FLAGD_NAMESPACE } from "../context.ts";
import type { JsonValue } from "../json.ts";
import { parseVersion } from "../operator/semver.ts";
import { addProblem, at, isObject, type Parsing } from "../parse/parsing.ts";

/**
 * Adds what flagd's schema of targeting has against a piece of logic. Leniently, only what no evaluator could run: operators
 * that don't exist and objects with several of them.
 */
export function checkLogic(parsing: Parsing, path: string, logic: JsonValue): void {
  if (Array.isArray(logic)) {
    for (const [index, item] of logic.entries()) checkLogic(parsing, `${path}[${index}]`, item);
    return;
  }
  if (!isObject(logic)) return;
  const [operator, ...others] = Object.keys(logic);
  if (operator === undefined) return;
  if (others.length > 0) {
    addProblem(parsing, path, "must have one operator");
    return;
  }
  const where = at(path, operator);
  const args = (logic as Readonly<Record<string, JsonValue>>)[operator] ?? null;
  const check = operator === "$ref" ? checkReference : CHECKS.get(operator);
  if (check === undefined) addProblem(parsing, where, "is no operator of flagd's JsonLogic");
  else if (parsing.logic === "strict" || operator === "$ref") check(parsing, where, args);
  if (operator !== "$ref") checkLogic(parsing, where, args);
}

/** The operators, with what each takes. */
type Check = (parsing: Parsing, path: string, args: JsonValue) => void;

const BINARY = ["==", "===", "!=", "!==", ">", ">=", "%", "/", "map", "filter", "all", "none", "some", "in"];
const VARIADIC = ["if", "or", "and", "+", "-", "max", "min", "merge", "cat"];
const TERNARY = ["substr", "<", "<="];

const CHECKS: ReadonlyMap<string, Check> = new Map<string, Check>([
  ...BINARY.map((operator) => [operator, count(2, 2)] as const),
  ...TERNARY.map((operator) => [operator, count(2, 3)] as const),
  ...VARIADIC.map((operator) => [operator, count(1)] as const),
  ["*", count(2)],
  ["reduce", count(3, 3)],
  ["!", checkUnary],
  ["!!", checkUnary],
  ["var", checkVariable],
  ["missing", (parsing, path, args) => checkTexts(parsing, path, args)],
  ["missing_some", checkMissingSome],
  ["starts_with", checkTextComparison],
  ["ends_with", checkTextComparison],
  ["sem_ver", checkSemVer],
  ["fractional", checkFractional],
]);

/** Whether there is such an operator. */
export function isOperator(name: string): boolean {
  return CHECKS.has(name);
}

function count(min: number, max = Number.POSITIVE_INFINITY): Check {
  return (parsing, path, args) => {
    if (Array.isArray(args) && args.length >= min && args.length <= max) return;
    const wanted = max === min ? `${min}` : max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min} to ${max}`;
    addProblem(parsing, path, `must be a list of ${wanted} arguments`);
  };
}

function checkReference(parsing: Parsing, path: string, args: JsonValue): void {
  if (typeof args !== "string") addProblem(parsing, path, "must be a name");
}

function checkUnary(parsing: Parsing, path: string, args: JsonValue): void {
  if (Array.isArray(args)) count(1, 1)(parsing, path, args);
}

function checkVariable(parsing: Parsing, path: string, args: JsonValue): void {
  const prefix = `${FLAGD_NAMESPACE}.`;
  if (typeof args !== "string" || !args.startsWith(prefix)) return;
  if (args !== `${prefix}timestamp` && args !== `${prefix}flagKey`) {
    addProblem(parsing, path, `${FLAGD_NAMESPACE} has only timestamp and flagKey`);
  }
}

function checkTexts(parsing: Parsing, path: string, args: JsonValue): void {
  const isList = Array.isArray(args) && args.every((item) => typeof item === "string");
  if (!isList) addProblem(parsing, path, "must be a list of paths");
}

function checkMissingSome(parsing: Parsing, path: string, args: JsonValue): void {
  const [needed, paths, ...more] = Array.isArray(args) ? args : [];
  if (typeof needed !== "number" || paths === undefined || more.length > 0) {
    addProblem(parsing, path, "must be a list of a number and a list of paths");
  } else checkTexts(parsing, `${path}[1]`, paths);
}

function checkTextComparison(parsing: Parsing, path: string, args: JsonValue): void {
  const isTexts =
    Array.isArray(args) && args.length === 2 && args.every((item) => typeof item === "string" || isObject(item));
  if (!isTexts) addProblem(parsing, path, "must be a list of two texts or rules");
}

/** Comparisons of `sem_ver`. */
export const VERSION_COMPARISONS = ["=", "!=", ">", "<", ">=", "<=", "~", "^"];

function checkSemVer(parsing: Parsing, path: string, args: JsonValue): void {
  const [first, operator, second, ...more] = Array.isArray(args) ? args : [];
  if (second === undefined || more.length > 0) {
    addProblem(parsing, path, "must be a list of a version, a comparison and a version");
    return;
  }
  if (!isVersionOrVariable(first)) addProblem(parsing, `${path}[0]`, "must be a semantic version or a var");
  if (typeof operator !== "string" || !VERSION_COMPARISONS.includes(operator)) {
    addProblem(parsing, `${path}[1]`, `must be one of ${VERSION_COMPARISONS.join(" ")}`);
  }
  if (!isVersionOrVariable(second)) addProblem(parsing, `${path}[2]`, "must be a semantic version or a var");
}

/** The schema wants all three numbers and no "v", though evaluators read versions without. */
function isVersionOrVariable(value: JsonValue | undefined): boolean {
  if (typeof value === "string") return /^\d+\.\d+\.\d+/.test(value) && parseVersion(value) !== undefined;
  return isObject(value) && Object.hasOwn(value, "var");
}

function checkFractional(parsing: Parsing, path: string, args: JsonValue): void {
  if (!Array.isArray(args) || args.length === 0) {
    addProblem(parsing, path, "must be a list of at least one bucket");
    return;
  }
  const buckets: readonly JsonValue[] = args;
  for (const [index, bucket] of buckets.entries()) {
    // The first may be a rule that gives what to bucket by.
    if (index === 0 && isObject(bucket)) continue;
    checkBucket(parsing, `${path}[${index}]`, bucket);
  }
}

function checkBucket(parsing: Parsing, path: string, bucket: JsonValue): void {
  if (!Array.isArray(bucket) || bucket.length < 1 || bucket.length > 2) {
    addProblem(parsing, path, "must be a list of a variant and, perhaps, a weight");
    return;
  }
  const [, weight] = bucket as readonly JsonValue[];
  const isWeight = weight === undefined || isObject(weight) || (Number.isInteger(weight) && Number(weight) >= 0);
  if (!isWeight) addProblem(parsing, `${path}[1]`, "must be a whole number from 0, or a rule that gives one");
}
