/**
 * The names of a path: "user.email" has two. Within a name `\.`, `\\` and `\/` stand for ".", "\" and "/"; a backslash before
 * anything else is itself. These are the rules of `var` in flagd's JavaScript.
 */
export function splitPath(path: string): string[] {
  const names: string[] = [];
  let name = "";
  for (let index = 0; index < path.length; index += 1) {
    const char = path.charAt(index);
    const next = path.charAt(index + 1);
    if (char === "\\" && (next === "." || next === "\\" || next === "/")) {
      name += next;
      index += 1;
    } else if (char === ".") {
      names.push(name);
      name = "";
    } else name += char;
  }
  return path === "." ? names : [...names, name];
}

/** What reads a value of an object of JSON; undefined when it isn't there. */
export type Read = (from: unknown) => unknown;

/** Makes a reader of what stands at a path. What objects inherit, and functions, are never found. */
export function readerOf(names: readonly string[]): Read {
  const [first = "", second, ...rest] = names;
  if (second === undefined) return readName(first);
  if (rest.length === 0) {
    const outer = readName(first);
    const inner = readName(second);
    return (from) => inner(outer(from));
  }
  const steps = names.map(readName);
  return (from) => {
    let value = from;
    for (const step of steps) value = step(value);
    return value;
  };
}

function readName(name: string): Read {
  // Own properties need to be told from inherited ones only for the names that can be inherited.
  if (isInheritable(name)) {
    return (from) =>
      from !== undefined && from !== null && Object.hasOwn(from, name) ? readOwn(from, name) : undefined;
  }
  return (from) => (from === undefined || from === null ? undefined : readOwn(from, name));
}

function readOwn(from: NonNullable<unknown>, name: string): unknown {
  const value = (from as Readonly<Record<string, unknown>>)[name];
  return typeof value === "function" ? undefined : value;
}

/** Whether values of JSON inherit something of that name. */
export function isInheritable(name: string): boolean {
  return INHERITED.some((prototype) => name in prototype);
}

/** What values of JSON inherit from. */
const INHERITED: readonly object[] = [
  Object.prototype,
  Array.prototype,
  String.prototype,
  Number.prototype,
  Boolean.prototype,
];
