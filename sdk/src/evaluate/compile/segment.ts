import type { Match } from "../clause.ts";
import type { GroupDefinition, SegmentDefinition } from "../definition.ts";
import { compileLogic, type Refer } from "../logic/compile.ts";
import type { Expression } from "../logic/expression.ts";
import { isTruthy } from "../logic/truthy.ts";
import { compileAttribute, compileUnit } from "./attribute.ts";
import { type ClauseTools, compileClause } from "./clause.ts";
import { HASH_START, type HashState, hashFurther } from "./murmur3.ts";
import { Fault, type Predicate, type Scope } from "./scope.ts";
import { bucketPath } from "./serve.ts";

/** Who is in a segment by name. */
export interface Members {
  readonly included: ReadonlySet<string>;
  readonly excluded: ReadonlySet<string>;
}

/** A segment to evaluate. */
export interface CompiledSegment {
  readonly contains: Predicate;
  /** What `{"$ref": …}` stands for. */
  readonly value: Expression;
}

/** What matches need from outside. */
export interface MatchTools extends ClauseTools {
  readonly refer: Refer;
}

/** Compiles a match. */
export function compileMatch(match: Match, tools: MatchTools): Predicate {
  if ("logic" in match) {
    const expression = compileLogic(match.logic, tools.refer);
    return (scope) => isTruthy(expression(scope.context, scope));
  }
  return all(match.clauses.map((clause) => compileClause(clause, tools)));
}

function all(predicates: readonly Predicate[]): Predicate {
  const [first, second, ...more] = predicates;
  if (first === undefined) return () => true;
  if (second === undefined) return first;
  return more.length === 0 ? both(first, second) : every(predicates);
}

function both(first: Predicate, second: Predicate): Predicate {
  return (scope) => first(scope) && second(scope);
}

function every(predicates: readonly Predicate[]): Predicate {
  return (scope) => predicates.every((predicate) => predicate(scope));
}

/** Compiles a segment. `members` gives its membership at the time of an evaluation. */
export function compileSegment(
  segment: SegmentDefinition,
  members: () => Members | undefined,
  tools: MatchTools,
): CompiledSegment {
  const matches = (segment.matches ?? []).map((match) => compileMatch(match, tools));
  const read = compileAttribute(segment.memberBy ?? "targetingKey");
  const contains: Predicate = (scope) => {
    const lists = members();
    const member = lists === undefined ? undefined : read(scope);
    if (lists !== undefined && typeof member === "string") {
      if (lists.excluded.has(member)) return false;
      if (lists.included.has(member)) return true;
    }
    return matches.some((match) => match(scope));
  };
  const [only, ...others] = segment.matches ?? [];
  if (only === undefined || !("logic" in only) || others.length > 0) {
    return { contains, value: (_data, scope) => contains(scope) };
  }
  const logic = compileLogic(only.logic, tools.refer);
  return { contains, value: (data, scope) => (members() === undefined ? logic(data, scope) : contains(scope)) };
}

/** A group to evaluate. */
export interface CompiledGroup {
  readonly salt: HashState;
  readonly bucketBy: string;
  readonly unit: (scope: Scope) => string | undefined;
}

/** Compiles a group. */
export function compileGroup(group: GroupDefinition): CompiledGroup {
  const bucketBy = bucketPath(group);
  return { salt: hashFurther(HASH_START, group.salt), bucketBy, unit: compileUnit(bucketBy) };
}

/** What an evaluation meets that refers to a document which isn't there, or can't be read. */
export function unresolved(what: string, key: string): Fault {
  return new Fault("PARSE_ERROR", `The ${what} "${key}" isn't there, or can't be read`);
}
