import type { AttributePath } from "./context.ts";
import type { JsonValue } from "./json.ts";

/** Which contexts: all clauses hold, or the logic is truthy. */
export type Match = { readonly clauses: readonly Clause[] } | { readonly logic: JsonLogic };

/**
 * JsonLogic in flagd's dialect: the operators of its schema, `{"$ref": name}` for the segment of that name (its logic, if
 * that is all it consists of, put in the reference's place; else whether the context is in it), and `$flagd.*` and `$tenant.*` for `var`.
 */
export type JsonLogic = JsonValue;

/**
 * Holds when the attribute's value satisfies the operator with one of `values`. A list satisfies it when one of its elements does, but
 * for versions, which are compared alone.
 * A value of another type than the operator's, or no value at all, satisfies nothing. `negate` turns the result around: a negated
 * clause holds for a missing attribute.
 */
export interface Clause {
  /** Required, except by SEGMENT and ENTITLED, which take none. */
  readonly attribute?: AttributePath;
  readonly operator: Operator;
  /** At least one; none for EXISTS. Their types are the operator's. */
  readonly values?: readonly (string | number | boolean)[];
  /** Of text operators and IN: whether case is ignored. False by default. */
  readonly ignoreCase?: boolean;
  /** False by default. */
  readonly negate?: boolean;
}

/**
 * - `EXISTS`: the attribute is there and not null.
 * - `IN`: equals one of the values, in type too. Values: strings, finite numbers, booleans.
 * - `CONTAINS`, `STARTS_WITH`, `ENDS_WITH`: text. Values: strings.
 * - `MATCHES`: text in which the regular expression (RE2 syntax) is found. Values: expressions.
 * - `LESS`, `LESS_OR_EQUAL`, `GREATER`, `GREATER_OR_EQUAL`: numbers. One value.
 * - `BEFORE`, `AFTER`: instants, as RFC 3339 text or epoch milliseconds; one value, which may be "now". The attribute may be
 *   "$flagd.timestamp", the current time.
 * - `SEMVER_EQUAL`, `SEMVER_LESS`, `SEMVER_LESS_OR_EQUAL`, `SEMVER_GREATER`, `SEMVER_GREATER_OR_EQUAL`: semantic versions, in the order of
 *   semver.org; "v1.2" and numbers are read as flagd does. One value, but SEMVER_EQUAL takes several.
 * - `IN_CIDR`: an IPv4 or IPv6 address in one of the blocks.
 * - `SEGMENT`: the context is in one of the segments. Values: their keys.
 * - `ENTITLED`: the tenant is entitled to one of the features, as `EntitlementGate` says. Values: their names.
 */
export type Operator = (typeof OPERATORS)[number];
export const OPERATORS = [
  "EXISTS",
  "IN",
  "CONTAINS",
  "STARTS_WITH",
  "ENDS_WITH",
  "MATCHES",
  "LESS",
  "LESS_OR_EQUAL",
  "GREATER",
  "GREATER_OR_EQUAL",
  "BEFORE",
  "AFTER",
  "SEMVER_EQUAL",
  "SEMVER_LESS",
  "SEMVER_LESS_OR_EQUAL",
  "SEMVER_GREATER",
  "SEMVER_GREATER_OR_EQUAL",
  "IN_CIDR",
  "SEGMENT",
  "ENTITLED",
] as const;

/** Operators that no list satisfies. */
export const SINGLE_VALUED: ReadonlySet<Operator> = new Set<Operator>([
  "SEMVER_EQUAL",
  "SEMVER_LESS",
  "SEMVER_LESS_OR_EQUAL",
  "SEMVER_GREATER",
  "SEMVER_GREATER_OR_EQUAL",
]);
