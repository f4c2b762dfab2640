import { AuditEntrySchema } from "@tenantplane/sdk";
import type { Command } from "commander";
import { online } from "./client.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import { printJson } from "./output.ts";

const COLUMNS = ["entry_time", "actor", "method", "resource", "outcome", "reason"];
const FILTER = ["--filter <filter>", "over actor, method, resource, outcome, request_id, entry_time", ""] as const;

/** Adds the commands for the audit log. */
export function addAuditCommands(program: Command): void {
  const audit = program.command("audit").description("The audit log: who did what, and who was refused.");
  withLimit(audit.command("list"))
    .description("List the audit log, newest first.")
    .option(...FILTER)
    .addHelpText(
      "after",
      "\nExample:\n  tenantplane audit list --filter 'outcome = DENIED AND resource = \"tenants/acme\"'",
    )
    .action(
      online(({ clients, json }, { limit, filter }: LimitOption & { filter: string }) =>
        printList(AuditEntrySchema, COLUMNS, { json, limit }, async (page) => {
          const { entries: items, nextPageToken } = await clients.audit.listAuditEntries({ ...page, filter });
          return { items, nextPageToken };
        }),
      ),
    );
  audit
    .command("export")
    .description("Stream all matching entries with each field before and after, oldest first, as JSON lines.")
    .option(...FILTER)
    .addHelpText("after", EXPORT_EXAMPLE)
    .action(
      online(async ({ clients }, { filter }: { filter: string }) => {
        for await (const { entries } of clients.audit.exportAuditEntries({ filter })) {
          await printJson(AuditEntrySchema, entries);
        }
      }),
    );
}

const EXPORT_EXAMPLE = `
Example:
  tenantplane audit export --filter 'entry_time >= "2030-01-01T00:00:00Z"' > audit-2030.ndjson`;
