import type { FieldViolation } from "../errors.ts";

/**
 * Where a problem of a document is in the message that brought it: a path of the definition, such as
 * "rules[0].serve.split[1].weight", as one of the proto, "rules[0].serve.split.parts[1].weight".
 */
export function protoPath(path: string): string {
  const parts: string[] = [];
  for (const [part] of path.matchAll(PART)) {
    // Within logic, names are the caller's own.
    if (parts.at(-1) === ".logic") break;
    const name = part.startsWith(".") ? part : `.${part}`;
    if (part.startsWith("[")) parts.push(part);
    else if (name === ".at" && parts.at(-2) === ".steps") parts.push(".time");
    else if (name === ".state" && parts.length === 0) parts.push(".disabled");
    else parts.push(snakeCase(name), ...(REPEATED.get(name) ?? []));
  }
  return parts.join("").replace(/^\./, "");
}

/** A problem as a violation of a field of the request. */
export function violation(prefix: string, field: string, description: string): FieldViolation {
  const path = protoPath(field);
  return { field: path === "" ? prefix : path.startsWith("[") ? `${prefix}${path}` : `${prefix}.${path}`, description };
}

/** A name, an index, or a quoted key. */
const PART = /\.?[A-Za-z_$][\w$]*|\[\d+\]|\["(?:[^"\\]|\\.)*"\]/g;

/** Lists that proto has to wrap into messages, since they stand in a oneof. */
const REPEATED: ReadonlyMap<string, readonly string[]> = new Map([
  [".split", [".parts"]],
  [".clauses", [".clauses"]],
]);

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
