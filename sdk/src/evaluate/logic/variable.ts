import type { Scope } from "../compile/scope.ts";
import { FLAGD_NAMESPACE, TENANT_NAMESPACE } from "../context.ts";
import { type Read, readerOf, splitPath } from "../operator/path.ts";
import type { Expression } from "./expression.ts";

/** What `var` finds at a path that is known beforehand; undefined when it isn't there. */
export function variable(path: string): Expression {
  if (path === "") return (data, scope) => (data === scope.context ? wholeContext(scope) : data);
  const names = splitPath(path);
  const read = readerOf(names);
  const special = reserved(names);
  if (special === undefined) return read;
  return (data, scope) => (data === scope.context ? special(scope) : read(data));
}

/** What stands at a path of a reserved namespace, whatever the context says; undefined for paths of the caller's own attributes. */
export function reserved(names: readonly string[]): ((scope: Scope) => unknown) | undefined {
  const [first, ...rest] = names;
  const read: Read = rest.length === 0 ? (from) => from : readerOf(rest);
  if (first === TENANT_NAMESPACE) return (scope) => read(scope.tenant);
  if (first === FLAGD_NAMESPACE) return (scope) => read(flagdFacts(scope));
  return undefined;
}

function flagdFacts(scope: Scope): { flagKey: string; timestamp: number } {
  return { flagKey: scope.flagKey, timestamp: secondsOf(scope.nowMs) };
}

/** The time as flags see it: ramps and instants change on whole seconds, here as in flagd. */
export function secondsOf(nowMs: number): number {
  return Math.floor(nowMs / 1_000);
}

function wholeContext(scope: Scope): unknown {
  return { ...(scope.context as object), [TENANT_NAMESPACE]: scope.tenant, [FLAGD_NAMESPACE]: flagdFacts(scope) };
}
