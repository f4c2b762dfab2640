import type { Filter } from "./filter.ts";

/** A condition for Postgres; only columns of the schema and numbered parameters are ever in its text. */
export interface SqlCondition {
  readonly text: string;
  readonly params: unknown[];
}

/** Turns a filter into a condition whose first parameter is `$firstParam`. Always true or false, never null. */
export function filterToSql(filter: Filter, firstParam: number): SqlCondition {
  const params: unknown[] = [];
  const param = (value: unknown) => {
    params.push(value);
    return `$${firstParam + params.length - 1}`;
  };
  return { text: render(filter, param), params };
}

function render(filter: Filter, param: (value: unknown) => string): string {
  switch (filter.kind) {
    case "and":
    case "or":
      return `(${filter.parts.map((part) => render(part, param)).join(` ${filter.kind} `)})`;
    case "not":
      return `(not ${render(filter.part, param)})`;
    case "compare":
      return compare(filter, param);
    default:
      return filter satisfies never;
  }
}

function compare(filter: Extract<Filter, { kind: "compare" }>, param: (value: unknown) => string): string {
  const { field, key, comparator, value, wildcard } = filter;
  if (field.type === "map" && key === undefined) return `coalesce(${field.column} ? ${param(value)}, false)`;
  if (field.type === "time") {
    const at = param(new Date(Number(value)).toISOString());
    return `coalesce(${field.column} ${operator(comparator)} ${at}::timestamptz, ${comparator === "!="})`;
  }
  const column = field.type === "map" ? `(${field.column} ->> ${param(key)}::text)` : field.column;
  if (!wildcard) return `coalesce(${column} ${operator(comparator)} ${param(value)}::text, ${comparator === "!="})`;
  const like = `${comparator === "!=" ? "not like" : "like"} ${param(pattern(String(value)))}::text`;
  return `coalesce(${column} ${like}, ${comparator === "!="})`;
}

function operator(comparator: string): string {
  if (comparator === ":") return "=";
  return comparator === "!=" ? "<>" : comparator;
}

function pattern(value: string): string {
  return value.replace(/[\\%_]/g, "\\$&").replaceAll("*", "%");
}
