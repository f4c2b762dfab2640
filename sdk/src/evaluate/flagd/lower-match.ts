import { type Clause, type Match, type Operator, SINGLE_VALUED } from "../clause.ts";
import { compileClause } from "../compile/clause.ts";
import { TENANT_NAMESPACE } from "../context.ts";
import type { JsonValue } from "../json.ts";
import { parseInstant } from "../operator/instant.ts";
import { splitPath } from "../operator/path.ts";
import { parseVersion } from "../operator/semver.ts";
import { TIMESTAMP_PATH } from "../parse/match.ts";
import { toolsOf } from "../set/state.ts";
import { and, ELEMENT, isNumber, isText, isTextOrNumber, not, or, some, TIMESTAMP, variable } from "./expression.ts";
import { lowerLogic } from "./lower-logic.ts";
import { type LowerScope, NotLowerable } from "./scope.ts";

/** More members by name would be sent with every flag that asks for the segment. */
const LOWERED_MEMBERS_MAX = 1_000;

/** A match as logic; a boolean where it is the same for every context. */
export function lowerMatch(match: Match, scope: LowerScope): JsonValue {
  if ("logic" in match) return lowerLogic(match.logic, scope);
  return and(match.clauses.map((clause) => lowerClause(clause, scope)));
}

/** Whether a context is in a segment, as logic. */
export function lowerSegment(key: string, scope: LowerScope): JsonValue {
  const slot = scope.state.slots.segments.get(key);
  if (slot?.definition === undefined) throw new NotLowerable(`there is no segment "${key}"`);
  const { matches = [], memberBy = "targetingKey" } = slot.definition;
  const { included, excluded } = slot.members ?? { included: new Set<string>(), excluded: new Set<string>() };
  if (included.size + excluded.size > LOWERED_MEMBERS_MAX) {
    throw new NotLowerable(`the segment "${key}" has more than ${LOWERED_MEMBERS_MAX} members by name`);
  }
  const isOneOf = (members: ReadonlySet<string>): JsonValue =>
    members.size > 0 && lowerClause({ attribute: memberBy, operator: "IN", values: [...members] }, scope, false);
  return and([not(isOneOf(excluded)), or([isOneOf(included), ...matches.map((match) => lowerMatch(match, scope))])]);
}

/** `lists`: whether a list satisfies the clause when one of its elements does. */
function lowerClause(clause: Clause, scope: LowerScope, lists = true): JsonValue {
  if (isKnown(clause)) return evaluateClause(clause, scope);
  const holds = lowerPositive(clause, scope, lists);
  return clause.negate ? not(holds) : holds;
}

/** Whether only the tenant decides. */
function isKnown({ operator, attribute = "" }: Clause): boolean {
  return operator === "ENTITLED" || splitPath(attribute)[0] === TENANT_NAMESPACE;
}

function evaluateClause(clause: Clause, { state, tenant, flagKey }: LowerScope): boolean {
  return compileClause(clause, toolsOf(state))({ flagKey, tenant, context: {}, nowMs: 0, stepsLeft: 0 });
}

function lowerPositive(clause: Clause, scope: LowerScope, lists: boolean): JsonValue {
  const { operator, attribute = "", values = [] } = clause;
  if (operator === "SEGMENT") return or(values.map((key) => scope.segment(String(key), scope)));
  if (operator === "EXISTS") return attribute === TIMESTAMP_PATH || { "!==": [variable(attribute), null] };
  if (clause.ignoreCase) throw new NotLowerable("flagd can't ignore case");
  if (operator === "BEFORE" || operator === "AFTER") return lowerInstant(clause);
  const test = TESTS[operator];
  if (test === undefined && operator !== "IN") throw new NotLowerable(`flagd has nothing like ${operator}`);
  const testOf = (value: JsonValue) =>
    test === undefined ? { in: [value, values] } : or(values.map((item) => test(value, item)));
  const value = variable(attribute);
  const single = !lists || attribute === TIMESTAMP_PATH || SINGLE_VALUED.has(operator);
  return single ? testOf(value) : some(value, testOf(ELEMENT));
}

type Test = (value: JsonValue, wanted: string | number | boolean) => JsonValue;

const TESTS: Partial<Readonly<Record<Operator, Test>>> = {
  CONTAINS: (value, part) => and([isText(value), { in: [part, value] }]),
  STARTS_WITH: (value, part) => and([isText(value), { "===": [{ substr: [value, 0, String(part).length] }, part] }]),
  ENDS_WITH: (value, part) =>
    part === "" ? isText(value) : and([isText(value), { "===": [{ substr: [value, -String(part).length] }, part] }]),
  LESS: compared("<"),
  LESS_OR_EQUAL: compared("<="),
  GREATER: compared(">"),
  GREATER_OR_EQUAL: compared(">="),
  SEMVER_EQUAL: versions("="),
  SEMVER_LESS: versions("<"),
  SEMVER_LESS_OR_EQUAL: versions("<="),
  SEMVER_GREATER: versions(">"),
  SEMVER_GREATER_OR_EQUAL: versions(">="),
};

function compared(operator: string): Test {
  return (value, bound) => and([isNumber(value), { [operator]: [value, bound] }]);
}

/** In flagd's schema, a version has all of its three numbers. */
function versions(operator: string): Test {
  return (value, wanted) => {
    const { major, minor, patch, prerelease } = parseVersion(wanted) ?? {
      major: 0,
      minor: 0,
      patch: 0,
      prerelease: "",
    };
    const version = `${major}.${minor}.${patch}${prerelease === "" ? "" : `-${prerelease}`}`;
    return and([isTextOrNumber(value), { sem_ver: [value, operator, version] }]);
  };
}

function lowerInstant({ operator, attribute, values: [value] = [] }: Clause): JsonValue {
  if (attribute !== TIMESTAMP_PATH) throw new NotLowerable("flagd can't read dates");
  // Now is neither before nor after now.
  if (value === "now") return false;
  const bound = parseInstant(value) ?? 0;
  return { [operator === "BEFORE" ? "<" : ">"]: [{ "*": [TIMESTAMP, 1_000] }, bound] };
}
