import { invalidField } from "../errors.ts";
import { echo } from "./echo.ts";

/** A field that a list may be ordered by; its column is never null, for nothing comes after a null. */
export interface OrderField {
  readonly column: string;
  readonly cast: "text" | "timestamptz" | "bigint";
}

/** An order that is total: its last term is unique. */
export type Order = readonly { readonly path: string; readonly field: OrderField; readonly descending: boolean }[];

/** Parses "create_time desc, name"; completes it with the unique field. Throws INVALID_FIELDS on "order_by". */
export function parseOrderBy(text: string, fields: Readonly<Record<string, OrderField>>, unique: string): Order {
  if (text.length > MAX_LENGTH) throw invalidField("order_by", `must be at most ${MAX_LENGTH} characters`);
  const terms = text.trim() === "" ? [] : text.split(",");
  if (terms.length > MAX_TERMS) throw invalidField("order_by", `must have at most ${MAX_TERMS} fields`);
  const order = terms.map((term) => {
    const [path = "", direction = "asc", ...rest] = term.trim().split(/\s+/);
    const field = Object.hasOwn(fields, path) ? fields[path] : undefined;
    if (!field) {
      throw invalidField("order_by", `unknown field ${echo(path)}; known are ${Object.keys(fields).join(", ")}`);
    }
    if (rest.length > 0 || (direction !== "asc" && direction !== "desc")) {
      throw invalidField("order_by", `${echo(term.trim())} is not a field with "asc" or "desc"`);
    }
    return { path, field, descending: direction === "desc" };
  });
  if (new Set(order.map(({ path }) => path)).size < order.length) {
    throw invalidField("order_by", "must name a field only once");
  }
  const end = order.findIndex((term) => term.path === unique);
  if (end >= 0) return order.slice(0, end + 1);
  const field = fields[unique];
  return field ? [...order, { path: unique, field, descending: order.at(-1)?.descending ?? false }] : order;
}

/** Far beyond the longest names of all terms. */
const MAX_LENGTH = 256;
/** More than any table shows at once. */
const MAX_TERMS = 4;

/** The condition that a row comes after `position`, and the ORDER BY list; parameters count from `$firstParam`. */
export function keysetSql(order: Order, position: readonly unknown[] | undefined, firstParam: number) {
  const orderBy = order.map((term) => `${term.field.column} ${term.descending ? "desc" : "asc"}`).join(", ");
  if (!position) return { where: "true", orderBy, params: [] };
  const value = (index: number) => `$${firstParam + index}::${order[index]?.field.cast}`;
  const sign = order[0]?.descending ? "<" : ">";
  if (order.every((term) => term.descending === order[0]?.descending)) {
    // One row comparison, which an index over the same columns answers by itself.
    const columns = order.map((term) => term.field.column).join(", ");
    return {
      where: `(${columns}) ${sign} (${order.map((_, i) => value(i)).join(", ")})`,
      orderBy,
      params: [...position],
    };
  }
  const where = order
    .map((term, index) => {
      const equal = order.slice(0, index).map((before, i) => `${before.field.column} = ${value(i)}`);
      return `(${[...equal, `${term.field.column} ${term.descending ? "<" : ">"} ${value(index)}`].join(" and ")})`;
    })
    .join(" or ");
  // The bound of the first column says nothing new; it is what lets an index start at the position.
  const start = `${order[0]?.field.column} ${sign}= ${value(0)}`;
  return { where: `(${start} and (${where}))`, orderBy, params: [...position] };
}
