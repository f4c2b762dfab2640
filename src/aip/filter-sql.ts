import type { Comparator, Filter, FilterField } from "./filter.ts";

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
  if (field.type === "map" && key === undefined) return `coalesce(${field.column} ? ${param(value)}::text, false)`;
  const column = key === undefined ? field.column : `(${field.column} ->> ${param(key)}::text)`;
  const whenNull = comparator === "!=";
  if (wildcard) {
    const like = whenNull ? "not like" : "like";
    return `coalesce(${column} ${like} ${param(pattern(String(value)))}::text, ${whenNull})`;
  }
  return `coalesce(${column} ${operator(comparator)} ${typed(field, comparator, value, param)}, ${whenNull})`;
}

function typed(
  field: FilterField,
  comparator: Comparator,
  value: string | number | boolean,
  param: (value: unknown) => string,
): string {
  switch (field.type) {
    case "time":
      return `${param(new Date(Number(value)).toISOString())}::timestamptz`;
    case "number":
      return `${param(value)}::numeric`;
    case "boolean":
      return `${param(value)}::boolean`;
    default:
      // Texts are ordered by code point whatever the database's collation, as in memory.
      return `${param(value)}::text${/[<>]/.test(comparator) ? ' collate "C"' : ""}`;
  }
}

function operator(comparator: Comparator): string {
  if (comparator === ":") return "=";
  return comparator === "!=" ? "<>" : comparator;
}

function pattern(value: string): string {
  return value.replace(/[\\%_]/g, "\\$&").replaceAll("*", "%");
}
