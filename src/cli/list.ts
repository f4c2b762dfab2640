import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { rowLimit } from "./options.ts";
import { type Column, note, print, printJson } from "./output.ts";

/** Rows that a list prints when it is not told otherwise: some screens. */
const ROWS_DEFAULT = 100;
/** The largest page that the server gives. */
const PAGE_SIZE_MAX = 1_000;

/** What `withLimit` adds. */
export interface LimitOption {
  readonly limit: number;
}

/** Adds the option that says how many rows a list prints. */
export function withLimit(command: Command): Command {
  return command.option("--limit <n|all>", "print at most so many", rowLimit, ROWS_DEFAULT);
}

type ReadPage<T> = (page: { pageSize: number; pageToken: string }) => Promise<{
  items: readonly T[];
  nextPageToken: string;
}>;

/** Prints a list: as JSON lines page by page, as a table when all is there. Says so when the default cut it off. */
export async function printList<D extends DescMessage>(
  desc: D,
  columns: readonly Column<MessageShape<D>>[],
  { json, limit }: { json: boolean; limit: number },
  readPage: ReadPage<MessageShape<D>>,
): Promise<void> {
  const rows: MessageShape<D>[] = [];
  let pageToken = "";
  let left = limit;
  do {
    const { items, nextPageToken } = await readPage({ pageSize: Math.min(PAGE_SIZE_MAX, left), pageToken });
    if (json) await printJson(desc, items);
    else rows.push(...items);
    left -= items.length;
    pageToken = nextPageToken;
  } while (pageToken !== "" && left > 0);
  if (!json) await print(desc, rows, columns, json);
  // Who chose a limit knows.
  if (pageToken !== "" && limit === ROWS_DEFAULT) note(`There are more than ${limit}: see --limit.`);
}
