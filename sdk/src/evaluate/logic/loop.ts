import type { Scope } from "../compile/scope.ts";
import { type Expression, INVALID_ARGUMENTS, TOO_MUCH_WORK } from "./expression.ts";
import { isTruthy } from "./truthy.ts";

/** The operators that run a piece of logic for each element of a list, which is then what its `var` reads. */
export const LOOPS: Readonly<Record<string, (list: Expression, body: Expression) => Expression>> = {
  map: (list, body) => (data, scope) => items(list, data, scope).map((item) => body(step(scope, item), scope)),
  filter: (list, body) => (data, scope) => items(list, data, scope).filter((item) => holds(body, item, scope)),
  // Of what is no list, as of an empty one, nothing holds for some element, and nothing for all.
  some: (list, body) => (data, scope) => itemsIfAny(list, data, scope).some((item) => holds(body, item, scope)),
  none: (list, body) => (data, scope) => !itemsIfAny(list, data, scope).some((item) => holds(body, item, scope)),
  all: (list, body) => (data, scope) => {
    const found = itemsIfAny(list, data, scope);
    return found.length > 0 && found.every((item) => holds(body, item, scope));
  },
};

/** `reduce`: the body sees what it made so far as `accumulator` and the element as `current`. */
export function reduction(list: Expression, body: Expression, start: Expression | undefined): Expression {
  return (data, scope) => {
    const found = items(list, data, scope);
    const round = (accumulator: unknown, current: unknown) => flat(body(step(scope, { accumulator, current }), scope));
    if (start !== undefined) return found.reduce(round, flat(start(data, scope)));
    if (found.length === 0) throw INVALID_ARGUMENTS;
    return found.reduce(round);
  };
}

function items(list: Expression, data: unknown, scope: Scope): readonly unknown[] {
  const found = list(data, scope);
  if (Array.isArray(found)) return found;
  if (found) throw INVALID_ARGUMENTS;
  return [];
}

function itemsIfAny(list: Expression, data: unknown, scope: Scope): readonly unknown[] {
  const found = list(data, scope);
  return Array.isArray(found) ? found : [];
}

function holds(body: Expression, item: unknown, scope: Scope): boolean {
  return isTruthy(body(step(scope, item), scope));
}

function step(scope: Scope, data: unknown): unknown {
  scope.stepsLeft -= 1;
  if (scope.stepsLeft < 0) throw TOO_MUCH_WORK;
  return data;
}

/** An accumulator that could nest itself deeper with each round could grow without end. */
function flat(accumulator: unknown): unknown {
  if (typeof accumulator !== "object" || accumulator === null) return accumulator;
  if (Object.values(accumulator).some((inner) => typeof inner === "object" && inner !== null)) throw TOO_MUCH_WORK;
  return accumulator;
}
