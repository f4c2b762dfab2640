import { type ApiKey, ApiKeySchema } from "@tenantplane/sdk";
import type { Command } from "commander";
import { OperatorError } from "../platform/operator-error.ts";
import { online } from "./client.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import { type DryRunOption, duration, type EtagOption, instant, nameOf, withDryRun, withEtag } from "./options.ts";
import { jsonText, note, printWhole, printWritten, write } from "./output.ts";

const COLUMNS = ["name", "display_name", "role", "scope", "create_time", "last_used_time", "expire_time"];

/** Adds the commands for API keys. */
export function addKeyCommands(program: Command): void {
  const keys = program.command("keys").description("API keys, and what they may do.");
  withLimit(keys.command("list"))
    .description("List the keys that the key may see, without secrets.")
    .option("--show-revoked", "revoked ones too", false)
    .action(
      online(({ clients, json }, { limit, showRevoked }: LimitOption & { showRevoked: boolean }) =>
        printList(ApiKeySchema, COLUMNS, { json, limit }, async (page) => {
          const { apiKeys: items, nextPageToken } = await clients.access.listApiKeys({ ...page, showRevoked });
          return { items, nextPageToken };
        }),
      ),
    );
  keys
    .command("get <key>")
    .description("Show a key with all its fields, without its secret.")
    .action(
      online(async ({ clients, json }, key: string) => {
        const { apiKey } = await clients.access.getApiKey({ name: nameOf("apiKeys", key) });
        if (apiKey) await printWhole(ApiKeySchema, apiKey, json);
      }),
    );
  addSecretCommands(keys);
  withEtag(withDryRun(keys.command("revoke <key>")))
    .description("End a key at once.")
    .action(
      online(async ({ clients, json }, key: string, { etag, dryRun }: EtagOption & DryRunOption) => {
        const request = { name: nameOf("apiKeys", key), etag, validateOnly: dryRun };
        const { apiKey } = await clients.access.revokeApiKey(request);
        await printWritten(ApiKeySchema, apiKey, COLUMNS, { json, dryRun });
      }),
    );
  addTestCommand(keys);
}

function addSecretCommands(keys: Command): void {
  withDryRun(keys.command("create <display-name>"))
    .description("Create a key and print its secret: it is shown this once.")
    .requiredOption("--role <role>", "such as tenant.viewer; no wider than your own")
    .option("--scope <scope>", "platform, integrators/{id} or tenants/{id}", "platform")
    .option("--expires <time>", "when it stops to work, such as 2030-01-31T12:00:00Z; never by default", instant)
    .addHelpText("after", CREATE_EXAMPLE)
    .action(
      online(async ({ clients, json }, displayName: string, options: CreateOptions) => {
        const { role, scope, expires, dryRun } = options;
        const apiKey = { displayName, role, scope, ...(expires ? { expireTime: expires } : {}) };
        await printSecret(json, await clients.access.createApiKey({ apiKey, validateOnly: dryRun }), options);
      }),
    );
  withEtag(withDryRun(keys.command("rotate <key>")))
    .description("Give a key a new secret and print it; the old one works until the overlap is over.")
    .option("--overlap <duration>", "how long the old secret works on, such as 1d; 1 hour by default", duration)
    .action(
      online(async ({ clients, json }, key: string, options: RotateOptions) => {
        const { overlap, etag, dryRun } = options;
        const request = { name: nameOf("apiKeys", key), etag, validateOnly: dryRun, ...(overlap ? { overlap } : {}) };
        await printSecret(json, await clients.access.rotateApiKey(request), options);
      }),
    );
}

interface RotateOptions extends DryRunOption, EtagOption {
  readonly overlap?: ReturnType<typeof duration>;
}

interface CreateOptions extends DryRunOption {
  readonly role: string;
  readonly scope: string;
  readonly expires?: ReturnType<typeof instant>;
}

const CREATE_EXAMPLE = `
Example:
  tenantplane keys create billing-robot --role integrator.admin --scope integrators/nordlicht > robot.key`;

async function printSecret(
  json: boolean,
  { apiKey, secret }: { apiKey?: ApiKey | undefined; secret: string },
  { dryRun }: DryRunOption,
): Promise<void> {
  if (dryRun) return printWritten(ApiKeySchema, apiKey, COLUMNS, { json, dryRun });
  const name = apiKey?.name ?? "";
  if (json) return write(`${jsonText({ name, secret })}\n`);
  await write(`${secret}\n`);
  note(`This is the secret of ${name}; it is kept nowhere.`);
}

function addTestCommand(keys: Command): void {
  keys
    .command("test <permission...>")
    .description("Print which of the permissions the key in use has; fails when one is missing.")
    .option("--on <resource>", "platform, integrators/{id} or tenants/{id}", "platform")
    .addHelpText("after", "\nExample:\n  tenantplane keys test tenants.suspend tenants.delete --on tenants/acme")
    .action(
      online(async ({ clients, json }, permissions: string[], { on }: { on: string }) => {
        const { permissions: granted } = await clients.access.testPermissions({ resource: on, permissions });
        await write(json ? `${jsonText(granted)}\n` : granted.map((permission) => `${permission}\n`).join(""));
        const missing = permissions.filter((permission) => !granted.includes(permission));
        if (missing.length > 0) throw new OperatorError(`Not granted on ${on}: ${missing.join(", ")}.`);
      }),
    );
}
