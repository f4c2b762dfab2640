import { type Clause, type JsonLogic, type Match, OPERATORS, type Operator } from "../clause.ts";
import { FLAGD_NAMESPACE, TENANT_NAMESPACE } from "../context.ts";
import { checkLogic } from "../logic/schema.ts";
import { parseBlock } from "../operator/cidr.ts";
import { parseInstant } from "../operator/instant.ts";
import { splitPath } from "../operator/path.ts";
import { parseVersion } from "../operator/semver.ts";
import { CLAUSES_MAX, LOGIC_MAX_DEPTH, NAME_MAX_CHARS, VALUES_MAX } from "./bounds.ts";
import {
  addProblem,
  at,
  isObject,
  type Parsing,
  parseBoolean,
  parseFields,
  parseJson,
  parseList,
  parseText,
  parseWord,
} from "./parsing.ts";

/** Takes a value for a match. */
export function parseMatch(parsing: Parsing, path: string, value: unknown): Match | undefined {
  const fields = parseFields(parsing, path, value, ["clauses", "logic"]);
  if (fields === undefined) return undefined;
  if ((fields.clauses === undefined) === (fields.logic === undefined)) {
    return addProblem(parsing, path, "must have either clauses or logic");
  }
  if (fields.logic !== undefined) {
    const logic = parseLogic(parsing, at(path, "logic"), fields.logic);
    return logic === undefined ? undefined : { logic };
  }
  const clauses = parseList(parsing, at(path, "clauses"), fields.clauses, {
    max: CLAUSES_MAX,
    parse: (where, clause) => parseClause(parsing, where, clause),
  });
  return clauses === undefined ? undefined : { clauses };
}

/** Takes a value for JsonLogic in flagd's dialect. */
export function parseLogic(parsing: Parsing, path: string, value: unknown): JsonLogic | undefined {
  const logic = parseJson(parsing, path, value, LOGIC_MAX_DEPTH);
  if (!isObject(logic)) return addProblem(parsing, path, "must be an object with an operator");
  checkLogic(parsing, path, logic);
  return logic;
}

/** Takes a value for a path into the context. */
export function parsePath(parsing: Parsing, path: string, value: unknown): string | undefined {
  const text = parseText(parsing, path, value);
  if (text === undefined) return undefined;
  const names = splitPath(text);
  if (names.includes("")) return addProblem(parsing, path, "must be names joined by dots, none of them empty");
  if (names[0] === FLAGD_NAMESPACE && text !== TIMESTAMP_PATH) {
    return addProblem(parsing, path, `of ${FLAGD_NAMESPACE}, only ${TIMESTAMP_PATH} can be an attribute`);
  }
  if (text === TENANT_NAMESPACE) return addProblem(parsing, path, "must name one of the tenant's facts");
  return text;
}

/** The current time, as flagd names it. */
export const TIMESTAMP_PATH = `${FLAGD_NAMESPACE}.timestamp`;

/** What an operator takes. */
interface OperatorRule {
  readonly value: (parsing: Parsing, path: string, value: unknown) => string | number | boolean | undefined;
  readonly values: "none" | "one" | "several";
  readonly attribute: boolean;
  readonly ignoreCase: boolean;
}

const text: OperatorRule = { value: parseValueText, values: "several", attribute: true, ignoreCase: true };
const number: OperatorRule = { value: parseNumber, values: "one", attribute: true, ignoreCase: false };
const instant: OperatorRule = { value: parseInstantValue, values: "one", attribute: true, ignoreCase: false };
const version: OperatorRule = { value: parseVersionValue, values: "one", attribute: true, ignoreCase: false };
const key: OperatorRule = { value: parseText, values: "several", attribute: false, ignoreCase: false };

const OPERATOR_RULES: Readonly<Record<Operator, OperatorRule>> = {
  EXISTS: { ...text, values: "none", ignoreCase: false },
  IN: { ...text, value: parseScalar },
  CONTAINS: text,
  STARTS_WITH: text,
  ENDS_WITH: text,
  MATCHES: { ...text, value: parsePattern },
  LESS: number,
  LESS_OR_EQUAL: number,
  GREATER: number,
  GREATER_OR_EQUAL: number,
  BEFORE: instant,
  AFTER: instant,
  SEMVER_EQUAL: { ...version, values: "several" },
  SEMVER_LESS: version,
  SEMVER_LESS_OR_EQUAL: version,
  SEMVER_GREATER: version,
  SEMVER_GREATER_OR_EQUAL: version,
  IN_CIDR: { ...version, value: parseBlockValue, values: "several" },
  SEGMENT: key,
  ENTITLED: key,
};

function parseClause(parsing: Parsing, path: string, value: unknown): Clause | undefined {
  const fields = parseFields(parsing, path, value, ["attribute", "operator", "values", "ignoreCase", "negate"]);
  if (fields === undefined) return undefined;
  const operator = parseWord(parsing, at(path, "operator"), fields.operator, OPERATORS);
  if (operator === undefined) return undefined;
  const rule = OPERATOR_RULES[operator];
  const attribute = parseAttribute(parsing, path, fields.attribute, rule.attribute);
  const values = parseValues(parsing, at(path, "values"), fields.values, rule);
  const ignoreCase = parseBoolean(parsing, at(path, "ignoreCase"), fields.ignoreCase);
  const negate = parseBoolean(parsing, at(path, "negate"), fields.negate);
  if (ignoreCase && !rule.ignoreCase) addProblem(parsing, at(path, "ignoreCase"), `has no meaning for ${operator}`);
  return {
    operator,
    ...(attribute === undefined ? {} : { attribute }),
    ...(values === undefined ? {} : { values }),
    ...(ignoreCase ? { ignoreCase } : {}),
    ...(negate ? { negate } : {}),
  };
}

function parseAttribute(parsing: Parsing, path: string, value: unknown, needed: boolean): string | undefined {
  if (needed) return parsePath(parsing, at(path, "attribute"), value);
  return value === undefined ? undefined : addProblem(parsing, at(path, "attribute"), "has no meaning here");
}

function parseValues(parsing: Parsing, path: string, value: unknown, rule: OperatorRule): Clause["values"] {
  const parse = (where: string, item: unknown) => rule.value(parsing, where, item);
  const values = parseList(parsing, path, value, { max: VALUES_MAX, parse });
  const count = Array.isArray(value) ? value.length : 0;
  if (rule.values === "none" ? count > 0 : count === 0 || (rule.values === "one" && count > 1)) {
    const wanted = { none: "no value", one: "exactly one value", several: "at least one value" }[rule.values];
    return addProblem(parsing, path, `must have ${wanted}`);
  }
  return rule.values === "none" ? undefined : values;
}

function parseScalar(parsing: Parsing, path: string, value: unknown): string | number | boolean | undefined {
  if (typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))) return value;
  if (typeof value === "string") return parseValueText(parsing, path, value);
  return addProblem(parsing, path, "must be a string, a number or a boolean");
}

/** Unlike a name, a value may be empty. */
function parseValueText(parsing: Parsing, path: string, value: unknown): string | undefined {
  return value === "" ? value : parseText(parsing, path, value);
}

function parseNumber(parsing: Parsing, path: string, value: unknown): number | undefined {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  return addProblem(parsing, path, "must be a number");
}

function parseInstantValue(parsing: Parsing, path: string, value: unknown): string | number | undefined {
  const known = typeof value === "string" || typeof value === "number";
  if (known && (value === "now" || parseInstant(value) !== undefined)) return value;
  return addProblem(parsing, path, 'must be RFC 3339 text with a zone, epoch milliseconds or "now"');
}

function parseVersionValue(parsing: Parsing, path: string, value: unknown): string | undefined {
  if (typeof value === "string" && parseVersion(value) !== undefined) return value;
  return addProblem(parsing, path, "must be a semantic version");
}

function parseBlockValue(parsing: Parsing, path: string, value: unknown): string | undefined {
  if (typeof value === "string" && value.length <= NAME_MAX_CHARS && parseBlock(value) !== undefined) return value;
  return addProblem(parsing, path, 'must be a block of addresses, such as "10.0.0.0/8" or "2001:db8::/32"');
}

function parsePattern(parsing: Parsing, path: string, value: unknown): string | undefined {
  const pattern = parseText(parsing, path, value);
  if (pattern === undefined) return undefined;
  if (parsing.regex === undefined)
    return addProblem(parsing, path, "regular expressions need an engine, which this evaluator lacks");
  try {
    parsing.regex(pattern);
    return pattern;
  } catch (error) {
    return addProblem(parsing, path, error instanceof Error ? error.message : "is no regular expression");
  }
}
