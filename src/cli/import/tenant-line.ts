import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CreateTenantRequestSchema } from "@tenantplane/sdk";
import { CsvError, parse as parseCsv } from "csv-parse/sync";
import type { FieldViolation } from "../../errors.ts";
import { OperatorError } from "../../platform/operator-error.ts";
import { nameOf, parseSetting, type SettingInit } from "../options.ts";
import { type Format, readRecords } from "./records.ts";

/** What one line asks for, or all that is wrong with it. */
export type TenantLine =
  | { readonly line: number; readonly request: CreateRequest }
  | { readonly line: number; readonly id?: string; readonly problems: readonly FieldViolation[] };

export type CreateRequest = MessageInitShape<typeof CreateTenantRequestSchema> & {
  readonly tenantId: string;
  readonly tenant: NonNullable<MessageInitShape<typeof CreateTenantRequestSchema>["tenant"]>;
};

/** Columns of a CSV file and keys of NDJSON, with the form of their values. */
const FIELDS = {
  id: "text",
  display_name: "text",
  plan: "text",
  plan_version: "whole",
  integrator: "text",
  region: "text",
  time_zone: "text",
  activate: "flag",
  admin_email: "text",
} as const;

/** The columns that there are, for people. */
export const COLUMNS_HELP = `${Object.keys(FIELDS).join(", ")}, labels.{key}, settings.{key}[:string|bool|int|double]`;

/**
 * Reads tenants out of a file, line by line. A bad line is told and passed over.
 * Throws OperatorError for a file that has no sense from here on: an unknown column, a quote that is left open.
 */
export async function* readTenants(chunks: AsyncIterable<Uint8Array>, format: Format): AsyncGenerator<TenantLine> {
  let header: Header | undefined;
  for await (const record of readRecords(chunks, format)) {
    const { line } = record;
    const text = "bytes" in record ? decode(record.bytes) : undefined;
    if (text === undefined) {
      const description = "problem" in record ? record.problem : "is not UTF-8";
      if (("fatal" in record && record.fatal) || (format === "csv" && !header)) {
        throw new OperatorError(`Line ${line} ${description}. Nothing after it was read.`);
      }
      yield { line, problems: [{ field: "", description }] };
    } else if (format === "ndjson") yield parseJsonLine(line, text);
    else if (header) yield parseCsvLine(line, text, header);
    else header = parseHeader(text);
  }
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

interface Header {
  readonly delimiter: string;
  readonly columns: readonly string[];
}

function parseHeader(text: string): Header {
  const delimiter = /[,;\t]/.exec(text)?.[0] ?? ",";
  const columns = splitCsv(text, delimiter);
  if (typeof columns === "string") throw new OperatorError(`The header ${columns}.`);
  const unknown = columns.find((column) => !isColumn(column));
  if (unknown !== undefined) {
    throw new OperatorError(`There is no column ${JSON.stringify(unknown)}: the columns are ${COLUMNS_HELP}.`);
  }
  const twice = columns.find((column, index) => columns.indexOf(column) !== index);
  if (twice !== undefined) throw new OperatorError(`The column ${twice} is there twice.`);
  return { delimiter, columns };
}

function isColumn(name: string): boolean {
  return Object.hasOwn(FIELDS, name) || /^labels\.[^:]+$/.test(name) || SETTING_COLUMN.test(name);
}

const SETTING_COLUMN = /^settings\.([^:]+)(?::(string|bool|int|double))?$/;

// The fields of a record, or what is wrong with its quotes.
function splitCsv(text: string, delimiter: string): string[] | string {
  try {
    const [fields = []] = parseCsv(text, { delimiter, record_delimiter: "\n", relax_column_count: true }) as string[][];
    return fields;
  } catch (error) {
    if (error instanceof CsvError) return "has a quote where none may be";
    throw error;
  }
}

function parseCsvLine(line: number, text: string, { delimiter, columns }: Header): TenantLine {
  const values = splitCsv(text, delimiter);
  if (typeof values === "string") return { line, problems: [{ field: "", description: values }] };
  if (values.length !== columns.length) {
    const description = `has ${values.length} values for ${columns.length} columns`;
    return { line, problems: [{ field: "", description }] };
  }
  const entries = columns.map((column, index): [string, string] => [column, values[index] ?? ""]);
  return toRequest(
    line,
    entries.filter(([, value]) => value !== ""),
  );
}

/** A number of JSON as it is written: 5 is whole, 5.0 is not, and none loses digits. */
class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

function parseJsonLine(line: number, text: string): TenantLine {
  const bad = (description: string): TenantLine => ({ line, problems: [{ field: "", description }] });
  let value: unknown;
  try {
    const keepNumbers = (_: string, item: unknown, context?: { source?: string }) =>
      typeof item === "number" ? new NumberText(context?.source ?? "") : item;
    value = JSON.parse(text, keepNumbers);
  } catch (error) {
    // Nesting beyond the stack is no JSON of ours either.
    return bad(`is not JSON: ${error instanceof Error ? error.message.slice(0, 200) : "unreadable"}`);
  }
  if (!isObject(value)) return bad("is not a JSON object");
  const entries = Object.entries(value).flatMap(([key, item]): [string, unknown][] =>
    (key === "labels" || key === "settings") && isObject(item)
      ? Object.entries(item).map(([name, inner]) => [`${key}.${name}`, inner])
      : [[key, item]],
  );
  return toRequest(
    line,
    entries.filter(([, item]) => item !== null),
  );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof NumberText);
}

function toRequest(line: number, entries: readonly (readonly [string, unknown])[]): TenantLine {
  const problems: FieldViolation[] = [];
  const values = new Map<string, string>();
  const labels: [string, string][] = [];
  const settings: [string, SettingInit][] = [];
  for (const [column, value] of entries) {
    const text = textOf(column, value);
    const setting = SETTING_COLUMN.exec(column);
    if (!isColumn(column)) problems.push({ field: column, description: `is unknown; known are ${COLUMNS_HELP}` });
    else if (text === undefined) problems.push({ field: column, description: `must be ${formOf(column)}` });
    else if (setting) {
      const [, key = "", type] = setting;
      const parsed = parseSetting(type ?? typeOf(value), text);
      if (typeof parsed === "string") problems.push({ field: column, description: parsed });
      else settings.push([key, parsed]);
    } else if (column.startsWith("labels.")) labels.push([column.slice("labels.".length), text]);
    else values.set(column, text);
  }
  for (const column of ["id", "plan"]) {
    if (!values.get(column) && !problems.some(({ field }) => field === column)) {
      problems.push({ field: column, description: "must be set" });
    }
  }
  const id = values.get("id") ?? "";
  if (problems.length > 0) return { line, problems, ...(id === "" ? {} : { id }) };
  const integrator = values.get("integrator") ?? "";
  const tenant = {
    displayName: values.get("display_name") ?? id,
    plan: nameOf("plans", values.get("plan") ?? ""),
    planVersion: Number(values.get("plan_version") ?? 0),
    integrator: integrator && nameOf("integrators", integrator),
    region: values.get("region") ?? "",
    timeZone: values.get("time_zone") ?? "",
    labels: Object.fromEntries(labels),
    settings: Object.fromEntries(settings),
  };
  const activate = values.get("activate") !== "false";
  return { line, request: { tenantId: id, tenant, activate, adminEmail: values.get("admin_email") ?? "" } };
}

// The text of a value when it has the form that its column asks for.
function textOf(column: string, value: unknown): string | undefined {
  const form = formOf(column);
  const text = value instanceof NumberText ? value.text : String(value);
  if (form === "a whole number") return typeof value !== "boolean" && /^\d{1,9}$/.test(text) ? text : undefined;
  if (form === "true or false") return /^(true|false)$/i.test(text) ? text.toLowerCase() : undefined;
  if (form === "a text") return typeof value === "string" ? value : undefined;
  return isObject(value) || Array.isArray(value) ? undefined : text;
}

function formOf(column: string): "a whole number" | "true or false" | "a text" | "a text, a number, true or false" {
  const form = Object.hasOwn(FIELDS, column) ? FIELDS[column as keyof typeof FIELDS] : "text";
  if (form === "whole") return "a whole number";
  if (form === "flag") return "true or false";
  return SETTING_COLUMN.test(column) ? "a text, a number, true or false" : "a text";
}

// JSON says by itself of which type a setting is.
function typeOf(value: unknown): string {
  if (typeof value === "boolean") return "bool";
  if (value instanceof NumberText) return /^-?\d+$/.test(value.text) ? "int" : "double";
  return "string";
}
