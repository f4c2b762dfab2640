import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import Table from "cli-table3";

/** Prints messages as a table of some columns, or as one JSON object a line. */
export function print<D extends DescMessage>(
  desc: D,
  messages: readonly MessageShape<D>[],
  columns: readonly string[],
  json: boolean,
): void {
  const rows = messages.map(
    (message) => toJson(desc, message, { alwaysEmitImplicit: true }) as Record<string, unknown>,
  );
  if (json) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
    return;
  }
  const table = new Table({ head: [...columns], style: { head: [], border: [] }, chars: PLAIN });
  for (const row of rows) table.push(columns.map((column) => cell(row[column])));
  process.stdout.write(`${table.toString()}\n`);
}

function cell(value: unknown): string {
  if (typeof value === "object" && value !== null) return JSON.stringify(value);
  // The prefix of enum values says what the column's head says already.
  return String(value ?? "").replace(/^(STATE|OUTCOME)_/, "");
}

const PLAIN = {
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
