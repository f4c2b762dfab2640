import { readFileSync } from "node:fs";
import { ImportFlagsRequest_Existing as Existing } from "@tenantplane/sdk/gen/tenantplane/v1/flag_admin_pb";
import { type Command, Option } from "commander";
import { OperatorError } from "../platform/operator-error.ts";
import { online } from "./client.ts";
import { type DryRunOption, nameOf, withDryRun } from "./options.ts";
import { note, tableText, write } from "./output.ts";

const POLICIES = { refuse: Existing.REFUSE, overwrite: Existing.OVERWRITE, keep: Existing.KEEP } as const;

interface ImportOptions extends DryRunOption {
  readonly existing: keyof typeof POLICIES;
  readonly owner: string;
  readonly reason: string;
}

/** Adds the commands that bring flags in from flagd and out to others. */
export function addFlagExchangeCommands(flags: Command): void {
  withDryRun(flags.command("import <file>"))
    .description("Bring in flags and evaluators from a file of flagd, all or none; - is standard input.")
    .addOption(
      new Option("--existing <policy>", "what to do with flags that are there already")
        .choices(Object.keys(POLICIES))
        .default("refuse"),
    )
    .option("--owner <owner>", "who answers for the new flags", "")
    .option("--reason <text>", "why, for the audit log and the history", "")
    .action(
      online(async ({ clients, json }, file: string, { existing, owner, reason, dryRun }: ImportOptions) => {
        const request = {
          flagdJson: readText(file),
          existing: POLICIES[existing],
          owner,
          reason,
          validateOnly: dryRun,
        };
        const { createdNames, updatedNames, keptNames } = await clients.flags.importFlags(request);
        const rows = [
          ...createdNames.map((name) => ["created", name]),
          ...updatedNames.map((name) => ["updated", name]),
          ...keptNames.map((name) => ["kept", name]),
        ];
        const lines = rows.map(([outcome, name]) => `${JSON.stringify({ name, outcome })}\n`);
        await write(json ? lines.join("") : tableText([["outcome", "name"], ...rows]));
        if (dryRun) note("A dry run: nothing was written.");
      }),
    );
  flags
    .command("export [keys...]")
    .description("Print flags as flagd has them, with all they refer to; all flags when none is named.")
    .option("--tenant <tenant>", "as they are for this tenant", "")
    .action(
      online(async ({ clients }, keys: string[], { tenant }: { tenant: string }) => {
        const request = { flags: keys.map((key) => nameOf("flags", key)), tenant: tenant && nameOf("tenants", tenant) };
        for await (const { flagdJson, omissions } of clients.flags.exportFlags(request)) {
          await write(flagdJson);
          for (const { flag, reason } of omissions) note(`${flag} is left out: ${reason}`);
        }
        await write("\n");
      }),
    );
  flags
    .command("manifest")
    .description("Print the manifest from which the OpenFeature CLI generates typed accessors.")
    .option("--filter <filter>", "as for `flags list`", "")
    .action(
      online(async ({ clients }, { filter }: { filter: string }) => {
        for await (const { manifestJson } of clients.flags.exportFlagManifest({ filter })) await write(manifestJson);
        await write("\n");
      }),
    );
}

function readText(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (error) {
    throw new OperatorError(`${file} can't be read: ${error instanceof Error ? error.message : "unknown"}`);
  }
}
