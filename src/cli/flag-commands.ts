import { readFileSync } from "node:fs";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import {
  type Flag,
  type FlagRevision,
  FlagRevisionSchema,
  FlagSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import type { Command } from "commander";
import { OperatorError } from "../platform/operator-error.ts";
import { isThere, online, type Session } from "./client.ts";
import { addFlagExchangeCommands } from "./flag-exchange-commands.ts";
import { addFlagTrialCommands } from "./flag-trial-commands.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import {
  type DeleteOptions,
  type DryRunOption,
  nameOf,
  wholeNumber,
  withAllowMissing,
  withDryRun,
  withEtag,
} from "./options.ts";
import { type Column, note, print, printWhole, printWritten, tableText, write } from "./output.ts";

const COLUMNS: readonly Column<Flag>[] = [
  "name",
  "kind",
  { head: "state", of: ({ disabled, killed }) => (killed ? "killed" : disabled ? "disabled" : "enabled") },
  { head: "variants", of: ({ variants = {} }) => Object.keys(variants).join(" ") },
  { head: "rules", of: ({ rules }) => String(rules.length) },
  "owner",
  "update_time",
];

const REVISION_COLUMNS: readonly Column<FlagRevision>[] = [
  { head: "revision", of: ({ flag }) => String(flag?.revision ?? "") },
  "verb",
  "actor",
  "reason",
  "create_time",
];

/** Adds the commands for feature flags. */
export function addFlagCommands(program: Command): void {
  const flags = program.command("flags").description("Feature flags: what they are, what they give, and to whom.");
  addReadCommands(flags);
  addWriteCommands(flags);
  addHistoryCommands(flags);
  addFlagTrialCommands(flags);
  addFlagExchangeCommands(flags);
}

function addReadCommands(flags: Command): void {
  withLimit(flags.command("list"))
    .description("List the flags.")
    .option("--filter <filter>", "such as 'killed = true' or 'labels.area = checkout'", "")
    .option("--order-by <fields>", "such as 'update_time desc'", "")
    .action(
      online(({ clients, json }, { limit, ...query }: LimitOption & { filter: string; orderBy: string }) =>
        printList(FlagSchema, COLUMNS, { json, limit }, async (page) => {
          const { flags: items, nextPageToken } = await clients.flags.listFlags({ ...query, ...page });
          return { items, nextPageToken };
        }),
      ),
    );
  flags
    .command("get <key>")
    .description("Show a flag with all its fields; with --json in the form that `apply` takes.")
    .action(
      online(async ({ clients, json }, key: string) => {
        const { flag } = await clients.flags.getFlag({ name: nameOf("flags", key) });
        if (flag) await printWhole(FlagSchema, flag, json);
      }),
    );
  withLimit(flags.command("stale"))
    .description("List flags that may be removed: expired, unused, or the same for everybody.")
    .option("--owner <owner>", "only those of this owner", "")
    .action(
      online(async ({ clients, json }, { limit, owner }: LimitOption & { owner: string }) => {
        const pageSize = Math.min(limit, 1_000);
        const { items } = await clients.flags.listStaleFlags({ owner, pageSize });
        const rows = items.map(({ flag, owner: whose, reasons }) => ({
          flag,
          owner: whose,
          reasons: reasons.join(" "),
        }));
        if (json) return write(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
        return write(tableText([["flag", "owner", "reasons"], ...rows.map((row) => Object.values(row))]));
      }),
    );
}

function addWriteCommands(flags: Command): void {
  withDryRun(flags.command("apply <file>"))
    .description(
      "Create flags, or make them what a JSON file says: one flag, a list, or one a line; - is standard input.",
    )
    .option("--reason <text>", "why, for the audit log and the history", "")
    .addHelpText("after", APPLY_EXAMPLE)
    .action(
      online(async (session, file: string, { dryRun, reason }: DryRunOption & { reason: string }) => {
        const applied = [];
        for (const flag of readFlags(file)) applied.push(await apply(session, flag, { validateOnly: dryRun, reason }));
        await print(FlagSchema, applied, COLUMNS, session.json);
        if (dryRun) note("A dry run: nothing was written.");
      }),
    );
  for (const [verb, method, about] of [
    ["kill", "killFlag", "Switch a flag off for everybody, at once."],
    ["revive", "reviveFlag", "Take a kill back."],
  ] as const) {
    withDryRun(flags.command(`${verb} <key>`))
      .description(about)
      .option("--reason <text>", "why, for the audit log and the history", "")
      .action(
        online(async ({ clients, json }, key: string, { dryRun, reason }: DryRunOption & { reason: string }) => {
          const { flag } = await clients.flags[method]({ name: nameOf("flags", key), validateOnly: dryRun, reason });
          await printWritten(FlagSchema, flag, COLUMNS, { json, dryRun });
        }),
      );
  }
  withAllowMissing(withEtag(withDryRun(flags.command("delete <key>"))))
    .description("Delete a flag that nothing refers to.")
    .action(
      online(async ({ clients }, key: string, { etag, dryRun, allowMissing }: DeleteOptions) => {
        await clients.flags.deleteFlag({ name: nameOf("flags", key), etag, allowMissing, validateOnly: dryRun });
      }),
    );
}

const APPLY_EXAMPLE = `
Example:
  tenantplane flags get new-checkout --json > flag.json   # change it, then
  tenantplane flags apply flag.json --dry-run`;

function addHistoryCommands(flags: Command): void {
  withLimit(flags.command("history <key>"))
    .description("List a flag's revisions, newest first.")
    .action(
      online(({ clients, json }, key: string, { limit }: LimitOption) => {
        return printList(FlagRevisionSchema, REVISION_COLUMNS, { json, limit }, async (page) => {
          const answer = await clients.flags.listFlagRevisions({ name: nameOf("flags", key), ...page });
          return { items: answer.flagRevisions, nextPageToken: answer.nextPageToken };
        });
      }),
    );
  flags
    .command("diff <key>")
    .description("Show what changed between two revisions; the last change by default.")
    .option("--from <revision>", "the older one", wholeNumber(1, Number.MAX_SAFE_INTEGER), 0)
    .option("--to <revision>", "the newer one", wholeNumber(1, Number.MAX_SAFE_INTEGER), 0)
    .action(
      online(async ({ clients, json }, key: string, { from, to }: { from: number; to: number }) => {
        const request = { name: nameOf("flags", key), fromRevision: BigInt(from), toRevision: BigInt(to) };
        const { differences } = await clients.flags.diffFlagRevisions(request);
        const rows = differences.map(({ field, before, after }) => ({ field, before, after }));
        if (json) return write(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
        return write(tableText([["field", "before", "after"], ...rows.map((row) => Object.values(row))]));
      }),
    );
  withDryRun(flags.command("rollback <key>"))
    .description("Make a flag what it was in a revision; whether it is killed stays as it is.")
    .requiredOption("--to <revision>", "the revision", wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option("--reason <text>", "why, for the audit log and the history", "")
    .action(
      online(async ({ clients, json }, key: string, options: DryRunOption & { to: number; reason: string }) => {
        const { to, reason, dryRun } = options;
        const request = { name: nameOf("flags", key), toRevision: BigInt(to), reason, validateOnly: dryRun };
        const { flag } = await clients.flags.rollbackFlag(request);
        await printWritten(FlagSchema, flag, COLUMNS, { json, dryRun });
      }),
    );
}

// All that a flag is made of; whatever else was printed of it is the server's to say.
const WRITABLE = [
  "description",
  "disabled",
  "variants",
  "off_variant",
  "default_serve",
  "prerequisites",
  "entitlement",
  "group",
  "rules",
  "bucket_by",
  "client_visible",
  "tenant_overridable",
  "metadata",
  "owner",
  "labels",
  "expire_time",
];

async function apply(
  { clients }: Session,
  flag: Flag,
  options: { validateOnly: boolean; reason: string },
): Promise<Flag> {
  const known = await isThere(clients.flags.getFlag({ name: flag.name }));
  const flagId = flag.name.slice("flags/".length);
  const written = known
    ? await clients.flags.updateFlag({ flag: { ...flag, etag: "" }, updateMask: { paths: WRITABLE }, ...options })
    : await clients.flags.createFlag({ flagId, flag, ...options });
  return written.flag ?? flag;
}

function readFlags(file: string): Flag[] {
  try {
    const text = readFileSync(file === "-" ? 0 : file, "utf8");
    return parseFlags(text).map((flag) => fromJson(FlagSchema, flag));
  } catch (error) {
    throw new OperatorError(`${file} has no flags: ${error instanceof Error ? error.message : "unreadable"}`);
  }
}

function parseFlags(text: string): JsonValue[] {
  try {
    const whole = JSON.parse(text) as JsonValue;
    return Array.isArray(whole) ? whole : [whole];
  } catch {
    return text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => JSON.parse(line) as JsonValue);
  }
}
