import { FLAGD_NAMESPACE, TENANT_NAMESPACE } from "../context.ts";
import type { JsonValue } from "../json.ts";
import { LOOPS } from "../logic/loop.ts";
import { readerOf, splitPath } from "../operator/path.ts";
import { isObject } from "../parse/parsing.ts";
import { variable } from "./expression.ts";
import { type LowerScope, NotLowerable } from "./scope.ts";

/** Logic with what it refers to in its place, and the tenant's facts as constants. */
export function lowerLogic(logic: JsonValue, scope: LowerScope): JsonValue {
  return lower(logic, scope, true);
}

/** `atRoot`: whether `var` reads the context, and not an element of a loop. */
function lower(logic: JsonValue, scope: LowerScope, atRoot: boolean): JsonValue {
  if (Array.isArray(logic)) return logic.map((item) => lower(item, scope, atRoot));
  if (!isObject(logic)) return logic;
  const [operator] = Object.keys(logic);
  if (operator === undefined) return logic;
  const args = (logic as Readonly<Record<string, JsonValue>>)[operator] ?? null;
  if (operator === "$ref") return lowerReference(String(args), scope, atRoot);
  if (operator === "var" && atRoot) return lowerVariable(args, scope);
  if ((operator === "missing" || operator === "missing_some") && atRoot) checkPaths(args);
  if (Object.hasOwn(LOOPS, operator) || operator === "reduce") {
    const [list = null, body = null, ...start] = Array.isArray(args) ? args : [args];
    const rest = start.map((part: JsonValue) => lower(part, scope, atRoot));
    return { [operator]: [lower(list, scope, atRoot), lower(body, scope, false), ...rest] };
  }
  const lowered = lower(args, scope, atRoot);
  return operator === "fractional" && scope.inlined ? lowerFractional(lowered, scope, atRoot) : { [operator]: lowered };
}

function lowerReference(key: string, scope: LowerScope, atRoot: boolean): JsonValue {
  const slot = scope.state.slots.segments.get(key);
  const [only, ...others] = slot?.definition?.matches ?? [];
  if (only !== undefined && "logic" in only && others.length === 0 && slot?.members === undefined) {
    return lower(only.logic, scope, atRoot);
  }
  if (!atRoot) throw new NotLowerable(`the segment "${key}" is asked within a loop`);
  return scope.segment(key, scope);
}

function lowerVariable(args: JsonValue, scope: LowerScope): JsonValue {
  const [path = null, otherwise = null] = Array.isArray(args) ? args : [args];
  if (typeof path !== "string") return { var: lower(args, scope, true) };
  if (scope.inlined && path === `${FLAGD_NAMESPACE}.flagKey`) return scope.flagKey;
  const [first, ...names] = splitPath(path);
  if (first !== TENANT_NAMESPACE) return { var: lower(args, scope, true) };
  const fact = names.length === 0 ? scope.tenant : readerOf(names)(scope.tenant);
  if (fact === undefined) return lower(otherwise, scope, true);
  if (typeof fact === "object") throw new NotLowerable(`"${path}" is more than one fact of the tenant`);
  return fact as JsonValue;
}

function checkPaths(args: JsonValue): void {
  if (JSON.stringify(args).includes(TENANT_NAMESPACE))
    throw new NotLowerable("it asks which of the tenant's facts are missing");
}

/** Without a unit of its own, `fractional` buckets by the flag's key and the targeting key: said aloud where the key is another flag's. */
function lowerFractional(args: JsonValue, { flagKey }: LowerScope, atRoot: boolean): JsonValue {
  const [first] = Array.isArray(args) ? args : [];
  if (!Array.isArray(first)) return { fractional: args };
  if (!atRoot) throw new NotLowerable("a prerequisite has a fractional without a unit within a loop");
  const key = variable("targetingKey");
  return { if: [key, { fractional: [{ cat: [flagKey, key] }, ...(args as readonly JsonValue[])] }, null] };
}
