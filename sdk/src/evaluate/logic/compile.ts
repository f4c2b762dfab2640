import type { JsonValue } from "../json.ts";
import { isObject } from "../parse/parsing.ts";
import { ARITHMETIC } from "./arithmetic.ts";
import { COMPARISON } from "./comparison.ts";
import { type Expression, INVALID_ARGUMENTS, type Operation } from "./expression.ts";
import { fractional } from "./fractional.ts";
import { LOOPS, reduction } from "./loop.ts";
import { TEXT } from "./text.ts";
import { isTruthy } from "./truthy.ts";
import { variable } from "./variable.ts";

/** Finds what `{"$ref": name}` stands for. It is asked once, when the reference is compiled. */
export type Refer = (name: string) => Expression;

/** Compiles a piece of logic that `checkLogic` has nothing against. */
export function compileLogic(logic: JsonValue, refer: Refer): Expression {
  if (Array.isArray(logic)) return compileList(logic, refer);
  const [operator] = isObject(logic) ? Object.keys(logic) : [];
  if (operator === undefined) return () => logic;
  const args = (logic as Readonly<Record<string, JsonValue>>)[operator] ?? null;
  if (operator === "$ref") return refer(String(args));
  const lazy = LAZY.get(operator);
  if (lazy !== undefined) return lazy(args, (part) => compileLogic(part, refer));
  const operation = OPERATIONS.get(operator) ?? refuse;
  const values = compileArguments(args, refer);
  return (data, scope) => operation(values(data, scope), data, scope);
}

const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ...Object.entries({ ...ARITHMETIC, ...TEXT }),
  ["fractional", fractional],
  ["missing", (paths, data, scope) => missing(paths, data, scope)],
  [
    "missing_some",
    ([needed, paths], data, scope) => {
      if (!Array.isArray(paths)) throw INVALID_ARGUMENTS;
      const absent = missing(paths, data, scope);
      return paths.length - absent.length >= Number(needed) ? [] : absent;
    },
  ],
]);

type CompilePart = (part: JsonValue) => Expression;

type Compile = (args: JsonValue, compile: CompilePart) => Expression;

/** The operators that don't evaluate all of their arguments, or not against the data at hand. */
const LAZY: ReadonlyMap<string, Compile> = new Map<string, Compile>([
  ["if", compileIf],
  ["and", (args, compile) => compileUntil(args, compile, false)],
  ["or", (args, compile) => compileUntil(args, compile, true)],
  ["var", compileVariable],
  ["!", (args, compile) => compileTruth(args, compile, false)],
  ["!!", (args, compile) => compileTruth(args, compile, true)],
  ["reduce", compileReduce],
  ...Object.entries(COMPARISON).map(([operator, holds]): [string, Compile] => [
    operator,
    (args, compile) => compileComparison(args, compile, holds),
  ]),
  ...Object.entries(LOOPS).map(([operator, loop]): [string, Compile] => [
    operator,
    (args, compile) => {
      const [list = null, body = null] = listOf(args);
      return loop(compile(list), compile(body));
    },
  ]),
]);

function listOf(args: JsonValue): readonly JsonValue[] {
  return Array.isArray(args) ? args : [args];
}

function compileList(logic: readonly JsonValue[], refer: Refer): Expression {
  if (!logic.some((item) => typeof item === "object" && item !== null)) return () => logic;
  const parts = logic.map((item) => compileLogic(item, refer));
  return (data, scope) => parts.map((part) => part(data, scope));
}

/** Arguments that are not written as a list are one argument, or all of them if its value is a list. */
function compileArguments(args: JsonValue, refer: Refer): (...from: Parameters<Expression>) => readonly unknown[] {
  const list = compileLogic(args, refer);
  return (data, scope) => {
    const values = list(data, scope);
    return Array.isArray(values) ? values : [values];
  };
}

function compileIf(args: JsonValue, compile: CompilePart): Expression {
  if (!Array.isArray(args)) return () => refuse();
  const parts = args.map(compile);
  return (data, scope) => {
    let index = 0;
    for (; index + 1 < parts.length; index += 2) {
      if (isTruthy(parts[index]?.(data, scope))) return parts[index + 1]?.(data, scope);
    }
    return parts[index]?.(data, scope) ?? null;
  };
}

/** `and` gives the first falsy argument, `or` the first truthy one; both give the last when there is none. */
function compileUntil(args: JsonValue, compile: CompilePart, end: boolean): Expression {
  if (!Array.isArray(args)) return () => refuse();
  const parts = args.map(compile);
  return (data, scope) => {
    let value: unknown = null;
    for (const part of parts) {
      value = part(data, scope);
      if (isTruthy(value) === end) return value;
    }
    return value;
  };
}

/** Each argument is compared with the one before it, and what comes after one that doesn't hold is not evaluated. */
function compileComparison(
  args: JsonValue,
  compile: CompilePart,
  holds: (a: unknown, b: unknown) => boolean,
): Expression {
  const [first, ...others] = listOf(args).map(compile);
  if (first === undefined || others.length === 0) return () => refuse();
  return (data, scope) => {
    let before = first(data, scope);
    for (const other of others) {
      const value = other(data, scope);
      if (!holds(before, value)) return false;
      before = value;
    }
    return true;
  };
}

function compileReduce(args: JsonValue, compile: CompilePart): Expression {
  const [list = null, body = null, start] = listOf(args);
  return reduction(compile(list), compile(body), start === undefined ? undefined : compile(start));
}

function compileTruth(args: JsonValue, compile: CompilePart, wanted: boolean): Expression {
  const [value = null] = listOf(args);
  const part = compile(value);
  return (data, scope) => isTruthy(part(data, scope)) === wanted;
}

function compileVariable(args: JsonValue, compile: CompilePart): Expression {
  const [path = null, otherwise = null] = listOf(args);
  const fallback = compile(otherwise);
  if (typeof path !== "object" || path === null) {
    const read = variable(String(path ?? ""));
    return (data, scope) => {
      const value = read(data, scope);
      return value === undefined ? fallback(data, scope) : value;
    };
  }
  const computed = compile(path);
  return (data, scope) => {
    const value = variable(String(computed(data, scope) ?? ""))(data, scope);
    return value === undefined ? fallback(data, scope) : value;
  };
}

function missing(paths: readonly unknown[], data: unknown, scope: Parameters<Expression>[1]): readonly unknown[] {
  return paths.filter((path) => variable(String(path))(data, scope) === undefined);
}

function refuse(): never {
  throw INVALID_ARGUMENTS;
}
