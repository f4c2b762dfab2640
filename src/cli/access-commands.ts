import { ApiKeySchema } from "@tenantplane/sdk/gen/tenantplane/v1/access_pb";
import { AuditEntrySchema } from "@tenantplane/sdk/gen/tenantplane/v1/audit_pb";
import type { Command } from "commander";
import { connect, readPages } from "./client.ts";
import { print } from "./output.ts";

const KEY_COLUMNS = ["name", "displayName", "role", "scope", "createTime", "lastUsedTime", "expireTime"];

/** Adds the commands for API keys and the audit log. */
export function addAccessCommands(program: Command): void {
  const keys = program.command("keys").description("API keys.");
  keys.command("list").action(async (_: object, command: Command) => {
    const { clients, json } = connect(command);
    print(ApiKeySchema, (await clients.access.listApiKeys({ pageSize: 1_000 })).apiKeys, KEY_COLUMNS, json);
  });
  keys
    .command("create <display-name>")
    .requiredOption("--role <role>", "such as tenant.viewer")
    .option("--scope <scope>", "platform, integrators/{id} or tenants/{id}", "platform")
    .action(async (displayName: string, { role, scope }, command: Command) => {
      const { clients } = connect(command);
      const { secret } = await clients.access.createApiKey({ apiKey: { displayName, role, scope } });
      process.stdout.write(`${secret}\n`);
    });
  keys.command("rotate <name>").action(async (name: string, _: object, command: Command) => {
    const { clients } = connect(command);
    process.stdout.write(`${(await clients.access.rotateApiKey({ name })).secret}\n`);
  });
  keys.command("revoke <name>").action(async (name: string, _: object, command: Command) => {
    const { clients, json } = connect(command);
    const { apiKey } = await clients.access.revokeApiKey({ name });
    print(ApiKeySchema, apiKey ? [apiKey] : [], KEY_COLUMNS, json);
  });
  program
    .command("audit")
    .description("List the audit log, newest first.")
    .option("--filter <filter>", "such as 'outcome = DENIED' or 'resource = \"tenants/acme\"'", "")
    .option("--limit <n>", "at most so many", Number, 100)
    .action(async ({ filter, limit }, command: Command) => {
      const { clients, json } = connect(command);
      const items = await readPages(limit, async (pageSize, pageToken) => {
        const page = await clients.audit.listAuditEntries({ filter, pageSize, pageToken });
        return { items: page.entries, nextPageToken: page.nextPageToken };
      });
      print(AuditEntrySchema, items, ["entryTime", "actor", "method", "resource", "outcome", "reason"], json);
    });
}
