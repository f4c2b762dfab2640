import { SingleBar } from "cli-progress";
import { type Command, Option } from "commander";
import { OperatorError } from "../../platform/operator-error.ts";
import { explain, online, type Session } from "../client.ts";
import { wholeNumber } from "../options.ts";
import { jsonText, note, printable, write } from "../output.ts";
import { untilStopped } from "../stop-signals.ts";
import { importTenants, type Outcome } from "./import.ts";
import { type ErrorFile, type Input, openErrors, openInput } from "./input.ts";
import type { Format } from "./records.ts";
import { COLUMNS_HELP, readTenants } from "./tenant-line.ts";

interface Options {
  readonly format?: Format;
  readonly dryRun: boolean;
  readonly errors?: string;
  readonly fromLine: number;
}

/** Adds the command that creates tenants out of a file. */
export function addImportCommand(tenants: Command): void {
  tenants
    .command("import <file>")
    .description('Create the tenants of a CSV or NDJSON file; "-" is standard input.')
    .addOption(new Option("--format <format>", "by the file's ending when it is not given").choices(["csv", "ndjson"]))
    .option("--dry-run", "let the server check every line, write nothing", false)
    .option("--errors <file>", "write what is wrong with lines to a file, as NDJSON")
    .option("--from-line <n>", "leave out the lines before", wholeNumber(1, Number.MAX_SAFE_INTEGER), 1)
    .addHelpText("after", HELP)
    .action(
      online((session, file: string, options: Options) =>
        untilStopped((stop) => importFile(session, file, options, stop)),
      ),
    );
}

const HELP = `
Columns of CSV, keys of NDJSON (labels and settings may be objects there):
  ${COLUMNS_HELP.replace(" labels", "\n  labels")}
id and plan must be set; display_name is the id, and activate is true, unless they are given.

Good lines go in whatever the others are; the exit code is 1 when one failed. An import can be repeated: a tenant that
is there already, just as its line has it, counts as done. Ctrl-C ends it after the calls under way.

Examples:
  tenantplane tenants import tenants.csv --dry-run
  tenantplane tenants import tenants.csv --errors bad-lines.ndjson
  jq -c '{id: .slug, plan: "pro", labels: {crm: .crm_id}}' crm.json | tenantplane tenants import - --format ndjson`;

async function importFile({ clients, server, json }: Session, file: string, options: Options, stop: AbortSignal) {
  const { dryRun, fromLine, errors: errorFile } = options;
  const format = options.format ?? formatOf(file);
  const input = await openInput(file, stop);
  const errors = errorFile === undefined ? undefined : openErrors(errorFile, file);
  const progress = startProgress(input);
  const tally = { created: 0, present: 0, skipped: 0, failed: 0 };
  let complete = false;
  let nextLine = fromLine;
  let cut: Extract<Outcome, { result: "cut" }> | undefined;
  try {
    const lines = readTenants(input.chunks, format);
    for await (const outcome of importTenants(clients.tenants, lines, { dryRun, fromLine, stop })) {
      if (!cut) nextLine = outcome.result === "cut" ? outcome.line : outcome.line + 1;
      if (outcome.result === "cut") cut ??= outcome;
      else tally[outcome.result] += 1;
      if (outcome.result === "failed") {
        const shown = tally.failed <= SHOWN_MAX ? progress.note : () => {};
        report(file, outcome, errors, shown);
      }
      progress.update(tally);
    }
    complete = !cut && !stop.aborted;
  } finally {
    progress.stop();
    errors?.close();
    if (json) await write(`${jsonText({ ...tally, dryRun, complete, nextLine })}\n`);
    else note(summary(tally, dryRun));
  }
  if (tally.failed > SHOWN_MAX)
    note(`${SHOWN_MAX} of ${tally.failed} bad lines are shown: --errors writes all of them to a file.`);
  if (cut) note(explain(cut.cause, server));
  if (cut || stop.aborted)
    note(`Not done from line ${nextLine} on: run the same command with --from-line ${nextLine}.`);
  if (tally.failed > 0 || cut) process.exitCode = EXIT_FAILED;
  if (stop.aborted) process.exitCode = EXIT_INTERRUPTED;
}

/** Bad lines that are shown; more would drive the first ones, which say most, off the screen. */
const SHOWN_MAX = 50;
const EXIT_FAILED = 1;
/** 128 and the number of SIGINT, as shells have it. */
const EXIT_INTERRUPTED = 130;

function formatOf(file: string): Format {
  if (/\.csv$/i.test(file)) return "csv";
  if (/\.(ndjson|jsonl)$/i.test(file)) return "ndjson";
  throw new OperatorError(`${file} ends neither in .csv nor in .ndjson: say --format csv or --format ndjson.`);
}

type Failed = Extract<Outcome, { result: "failed" }>;

function report(file: string, outcome: Failed, errors: ErrorFile | undefined, tell: (text: string) => void): void {
  const { line, id, problems } = outcome;
  for (const { field, description: message } of problems) {
    tell(printable(`${file}:${line}: ${field === "" ? "" : `${field} `}${message}`));
    errors?.append(`${jsonText({ line, ...(id === undefined ? {} : { id }), field, message })}\n`);
  }
}

type Tally = Readonly<Record<Exclude<Outcome["result"], "cut">, number>>;

function summary({ created, present, skipped, failed }: Tally, dryRun: boolean): string {
  const parts = [
    `${created} ${dryRun ? "would be created" : "created"}`,
    ...(present > 0 ? [`${present} there already`] : []),
    ...(skipped > 0 ? [`${skipped} left out`] : []),
    `${failed} failed`,
  ];
  return `${parts.join(", ")}.`;
}

interface Progress {
  /** Prints a line above the bar. */
  note(text: string): void;
  update(tally: Tally): void;
  stop(): void;
}

// A bar for people at a terminal, nothing for logs. Pipes have no size, so they have no bar but a count.
function startProgress({ totalBytes, readBytes }: Input): Progress {
  if (!process.stderr.isTTY) return { note, update: () => {}, stop: () => {} };
  const counts = "{lines} lines, {failed} failed";
  const format = totalBytes === undefined ? counts : `{bar} {percentage}% | ${counts} | {eta_formatted} left`;
  const bar = new SingleBar({ format, clearOnComplete: true, hideCursor: true });
  bar.start(totalBytes ?? 1, 0, { lines: 0, failed: 0 });
  let shownBytes = 0;
  return {
    note(text) {
      process.stderr.write("\r\x1b[K");
      note(text);
    },
    update(tally) {
      const lines = tally.created + tally.present + tally.skipped + tally.failed;
      const counted = { lines, failed: tally.failed };
      // The time that is left is reckoned from values that differ.
      if (totalBytes === undefined || readBytes() === shownBytes) bar.update(counted);
      else bar.update(readBytes(), counted);
      shownBytes = readBytes();
    },
    stop: () => bar.stop(),
  };
}
