import { type Clause, type Operator, SINGLE_VALUED } from "../clause.ts";
import type { TenantFacts } from "../context.ts";
import { secondsOf } from "../logic/variable.ts";
import { type Block, isInBlock, parseAddress, parseBlock } from "../operator/cidr.ts";
import { parseInstant } from "../operator/instant.ts";
import { REGEX_TEXT_MAX_CHARS, type RegexCompiler } from "../operator/regex.ts";
import { compareVersions, parseVersion, type Version } from "../operator/semver.ts";
import { TIMESTAMP_PATH } from "../parse/match.ts";
import { compileAttribute, compileEquality, compileSingleTest, compileTest } from "./attribute.ts";
import type { Predicate, Scope } from "./scope.ts";

/** What clauses need from outside. */
export interface ClauseTools {
  readonly regex: RegexCompiler | undefined;
  /** Whether the context is in the segment of that key. */
  readonly segment: (key: string) => Predicate;
}

/** Compiles a clause that `parseMatch` has read. */
export function compileClause(clause: Clause, tools: ClauseTools): Predicate {
  const holds = compilePositive(clause, tools);
  return clause.negate ? not(holds) : holds;
}

function not(holds: Predicate): Predicate {
  return (scope) => !holds(scope);
}

/** Whether the tenant is entitled to a feature. */
export function isEntitled(tenant: TenantFacts | undefined, feature: string): boolean {
  const entitlements = tenant?.entitlements;
  return entitlements !== undefined && Object.hasOwn(entitlements, feature) && Boolean(entitlements[feature]);
}

function compilePositive(clause: Clause, tools: ClauseTools): Predicate {
  const values = clause.values ?? [];
  if (clause.operator === "SEGMENT") return any(values.map((key) => tools.segment(String(key))));
  if (clause.operator === "ENTITLED") {
    const features = values.map(String);
    return (scope) => features.some((feature) => isEntitled(scope.tenant, feature));
  }
  const path = clause.attribute ?? "";
  const read = compileAttribute(path);
  if (clause.operator === "EXISTS") {
    return (scope) => {
      const value = read(scope);
      return value !== undefined && value !== null;
    };
  }
  if (clause.operator === "BEFORE" || clause.operator === "AFTER") return compileInstants(clause, read);
  if (clause.operator === "IN" && values.length === 1 && !clause.ignoreCase) return compileEquality(path, values[0]);
  const test = TESTS[clause.operator](clause, tools);
  return SINGLE_VALUED.has(clause.operator) ? compileSingleTest(path, test) : compileTest(path, test);
}

function any(predicates: readonly Predicate[]): Predicate {
  const [first, second] = predicates;
  if (first !== undefined && second === undefined) return first;
  return (scope) => predicates.some((predicate) => predicate(scope));
}

type Test = (value: unknown) => boolean;

type Tested = Exclude<Operator, "SEGMENT" | "ENTITLED" | "EXISTS" | "BEFORE" | "AFTER">;

const TESTS: Readonly<Record<Tested, (clause: Clause, tools: ClauseTools) => Test>> = {
  IN: compileIn,
  CONTAINS: (clause) => compileText(clause, (text, part) => text.includes(part)),
  STARTS_WITH: (clause) => compileText(clause, (text, part) => text.startsWith(part)),
  ENDS_WITH: (clause) => compileText(clause, (text, part) => text.endsWith(part)),
  MATCHES: compileRegex,
  LESS: (clause) => compileNumber(clause, (a, b) => a < b),
  LESS_OR_EQUAL: (clause) => compileNumber(clause, (a, b) => a <= b),
  GREATER: (clause) => compileNumber(clause, (a, b) => a > b),
  GREATER_OR_EQUAL: (clause) => compileNumber(clause, (a, b) => a >= b),
  SEMVER_EQUAL: (clause) => compileVersion(clause, (order) => order === 0),
  SEMVER_LESS: (clause) => compileVersion(clause, (order) => order < 0),
  SEMVER_LESS_OR_EQUAL: (clause) => compileVersion(clause, (order) => order <= 0),
  SEMVER_GREATER: (clause) => compileVersion(clause, (order) => order > 0),
  SEMVER_GREATER_OR_EQUAL: (clause) => compileVersion(clause, (order) => order >= 0),
  IN_CIDR: compileCidr,
};

/** From this many values on, a set finds one faster than looking at each. */
const SET_MIN_VALUES = 4;

function compileIn(clause: Clause): Test {
  const values = clause.values ?? [];
  if (clause.ignoreCase) {
    const lower = new Set(values.map(lowerCase));
    return (value: unknown) => (lower as ReadonlySet<unknown>).has(lowerCase(value));
  }
  if (values.length < SET_MIN_VALUES) return (value) => (values as readonly unknown[]).includes(value);
  const set: ReadonlySet<unknown> = new Set(values);
  return (value) => set.has(value);
}

function lowerCase<T>(value: T): T | string {
  return typeof value === "string" ? value.toLowerCase() : value;
}

function compileText(clause: Clause, compare: (text: string, part: string) => boolean): Test {
  const parts = (clause.values ?? []).map(String);
  if (clause.ignoreCase) {
    const lower = parts.map((part) => part.toLowerCase());
    return (value) => typeof value === "string" && lower.some((part) => compare(value.toLowerCase(), part));
  }
  const [only = ""] = parts;
  if (parts.length === 1) return (value) => typeof value === "string" && compare(value, only);
  return (value) => typeof value === "string" && parts.some((part) => compare(value, part));
}

function compileRegex(clause: Clause, tools: ClauseTools): Test {
  const { regex } = tools;
  if (regex === undefined) return () => false;
  const flags = clause.ignoreCase ? "(?i)" : "";
  const tests = (clause.values ?? []).map((pattern) => regex(flags + String(pattern)));
  return (value) =>
    typeof value === "string" && value.length <= REGEX_TEXT_MAX_CHARS && tests.some((test) => test(value));
}

function compileNumber(clause: Clause, compare: (a: number, b: number) => boolean): Test {
  const bound = Number(clause.values?.[0]);
  return (value) => typeof value === "number" && compare(value, bound);
}

function compileVersion(clause: Clause, holds: (order: number) => boolean): Test {
  const wanted = versionsOf(clause.values);
  return (value) => {
    const version = parseVersion(value);
    return version !== undefined && wanted.some((other) => holds(compareVersions(version, other)));
  };
}

/** Those that can be read: all of them, in a clause that was parsed. */
function versionsOf(values: Clause["values"] = []): Version[] {
  return values.flatMap((value) => parseVersion(value) ?? []);
}

function compileCidr(clause: Clause): Test {
  const blocks = (clause.values ?? [])
    .map((value) => parseBlock(String(value)))
    .filter((block): block is Block => block !== undefined);
  return (value) => {
    const address = typeof value === "string" ? parseAddress(value) : undefined;
    return address !== undefined && blocks.some((block) => isInBlock(address, block));
  };
}

/** Instants are compared with the current time when the value is "now", and are it when the attribute is the timestamp. */
function compileInstants(clause: Clause, read: (scope: Scope) => unknown): Predicate {
  const [value] = clause.values ?? [];
  const fixed = parseInstant(value) ?? Number.NaN;
  const now = (scope: Scope) => secondsOf(scope.nowMs) * 1_000;
  const bound = value === "now" ? now : () => fixed;
  const before = clause.operator === "BEFORE";
  const test = (item: unknown, scope: Scope) => {
    const instant = parseInstant(item);
    return instant !== undefined && (before ? instant < bound(scope) : instant > bound(scope));
  };
  if (clause.attribute === TIMESTAMP_PATH) return (scope) => test(now(scope), scope);
  return (scope) => {
    const found = read(scope);
    return Array.isArray(found) ? found.some((item) => test(item, scope)) : test(found, scope);
  };
}
