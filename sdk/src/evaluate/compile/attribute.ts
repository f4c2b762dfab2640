import { reserved } from "../logic/variable.ts";
import { isInheritable, readerOf, splitPath } from "../operator/path.ts";
import type { Predicate, Scope } from "./scope.ts";

// Each call of a closure counts in an evaluation, so an attribute of the context itself is read without one of its own; and
// what a closure's surroundings hold is kept with it, so that those which are many are made in functions of their own.

/** Compiles what reads an attribute's value. */
export function compileAttribute(path: string): (scope: Scope) => unknown {
  const names = splitPath(path);
  const read = readerOf(names);
  return reserved(names) ?? ((scope) => read(scope.context));
}

/** Compiles a test of an attribute: its value passes, or one of its elements if it is a list. */
export function compileTest(path: string, test: Test): Predicate {
  const name = plainName(path);
  return name === undefined ? testRead(compileAttribute(path), test) : testPlain(name, test);
}

/** Compiles a test of an attribute that no list passes. */
export function compileSingleTest(path: string, test: Test): Predicate {
  const name = plainName(path);
  if (name !== undefined) return (scope) => test((scope.context as Attributes)[name]);
  const read = compileAttribute(path);
  return (scope) => test(read(scope));
}

type Test = (value: unknown) => boolean;

function testRead(read: (scope: Scope) => unknown, test: Test): Predicate {
  return (scope) => passes(read(scope), test);
}

function testPlain(name: string, test: Test): Predicate {
  return (scope) => passes((scope.context as Attributes)[name], test);
}

function passes(value: unknown, test: Test): boolean {
  return typeof value === "object" && Array.isArray(value) ? value.some((item) => test(item)) : test(value);
}

/** The same as `compileTest` for the question that rules ask most. */
export function compileEquality(path: string, wanted: unknown): Predicate {
  const name = plainName(path);
  return name === undefined ? compileTest(path, (value) => value === wanted) : equalsPlain(name, wanted);
}

function equalsPlain(name: string, wanted: unknown): Predicate {
  return (scope) => {
    const value = (scope.context as Attributes)[name];
    return value === wanted || (typeof value === "object" && Array.isArray(value) && value.includes(wanted));
  };
}

/** Compiles what gives the text to bucket by: a non-empty string or a number. Undefined when the context has neither there. */
export function compileUnit(path: string): (scope: Scope) => string | undefined {
  const name = plainName(path);
  if (name !== undefined) return unitPlain(name);
  const read = compileAttribute(path);
  return (scope) => unitOf(read(scope));
}

function unitPlain(name: string): (scope: Scope) => string | undefined {
  return (scope) => unitOf((scope.context as Attributes)[name]);
}

function unitOf(value: unknown): string | undefined {
  if (typeof value === "string") return value === "" ? undefined : value;
  return typeof value === "number" ? String(value) : undefined;
}

type Attributes = Readonly<Record<string, unknown>>;

/** The name of an attribute that stands in the context itself, and that nothing else can be mistaken for. */
function plainName(path: string): string | undefined {
  const [name = "", ...inner] = splitPath(path);
  return inner.length > 0 || isInheritable(name) || name.startsWith("$") ? undefined : name;
}
