import { type DescField, type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import Table from "cli-table3";

/** A column of a table: a field by its name in the API, or a text made of the whole message. */
export type Column<T> = string | { readonly head: string; readonly of: (message: T) => string };

/** Standard output was closed by its reader, as `head` does: the command has no more to do. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

/** Writes data to standard output; resolves when there is room for more. Throws OutputClosed. */
export function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(new OutputClosed()) : resolve()));
  });
}

/** Tells the person at the terminal something that is not data. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Prints messages as JSON, one object a line. */
export async function printJson<D extends DescMessage>(desc: D, messages: readonly MessageShape<D>[]): Promise<void> {
  const lines = messages.map((message) => `${jsonText(toJson(desc, message, { alwaysEmitImplicit: true }))}\n`);
  if (lines.length > 0) await write(lines.join(""));
}

/** Any value as JSON that does nothing to a terminal. */
export function jsonText(value: unknown): string {
  return printable(JSON.stringify(value));
}

/** Prints messages as a table, a row each, or as JSON lines. */
export async function print<D extends DescMessage>(
  desc: D,
  messages: readonly MessageShape<D>[],
  columns: readonly Column<MessageShape<D>>[],
  json: boolean,
): Promise<void> {
  if (json) return printJson(desc, messages);
  const heads = columns.map((column) => (typeof column === "string" ? column : column.head));
  const rows = messages.map((message) => {
    const values = toJson(desc, message, { alwaysEmitImplicit: true }) as Record<string, unknown>;
    return columns.map((column) => {
      if (typeof column !== "string") return printable(column.of(message));
      const field = fieldOf(desc, column);
      return printable(cellText(field, values[field.jsonName]));
    });
  });
  await write(tableText([heads, ...rows]));
}

/** Prints one message with all of its fields, a line each, or as JSON. */
export async function printWhole<D extends DescMessage>(
  desc: D,
  message: MessageShape<D>,
  json: boolean,
): Promise<void> {
  if (json) return printJson(desc, [message]);
  const values = toJson(desc, message) as Record<string, unknown>;
  const filled = desc.fields.filter((field) => values[field.jsonName] !== undefined);
  await write(tableText(filled.map((field) => [field.name, printable(cellText(field, values[field.jsonName]))])));
}

/** Prints what a write made of a resource. */
export async function printWritten<D extends DescMessage>(
  desc: D,
  message: MessageShape<D> | undefined,
  columns: readonly Column<MessageShape<D>>[],
  { json, dryRun = false }: { json: boolean; dryRun?: boolean },
): Promise<void> {
  await print(desc, message ? [message] : [], columns, json);
  if (dryRun) note("A dry run: nothing was written.");
}

/** Rows as aligned columns. */
export function tableText(rows: readonly (readonly string[])[]): string {
  const style = { head: [], border: [], "padding-left": 0, "padding-right": 0 };
  const table = new Table({ style, chars: NO_BORDERS });
  table.push(...rows.map((row) => [...row]));
  return `${table.toString().replace(/ +$/gm, "")}\n`;
}

/** A text without characters that would steer a terminal or turn its direction: they are shown as escapes. */
export function printable(text: string): string {
  return text.replace(STEERING, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const STEERING = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

function fieldOf(desc: DescMessage, name: string): DescField {
  const field = desc.fields.find((candidate) => candidate.name === name);
  if (!field) throw new Error(`${desc.typeName} has no field ${name}`);
  return field;
}

function cellText(field: DescField, value: unknown): string {
  // The prefix of enum values says what the column's head says already.
  if (field.enum && typeof value === "string")
    return value.slice(field.enum.sharedPrefix?.length).replace(/^UNSPECIFIED$/, "");
  // To the second: a table is for people.
  if (field.message?.typeName === TimestampSchema.typeName) return String(value ?? "").replace(/\.\d+Z$/, "Z");
  return compact(value);
}

function compact(value: unknown): string {
  if (Array.isArray(value)) return value.map(compact).join("; ");
  if (typeof value !== "object" || value === null) return String(value ?? "");
  const entries = Object.entries(value);
  const [first] = entries;
  // A typed setting is shown by its value.
  if (entries.length === 1 && first && /^(bool|int|double|string)Value$/.test(first[0])) return String(first[1]);
  return entries.map(([key, item]) => `${key}=${compact(item)}`).join(",");
}

const NO_BORDERS = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};
