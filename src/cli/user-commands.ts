import { UserSchema } from "@tenantplane/sdk";
import { type Command, Option } from "commander";
import { online } from "./client.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import {
  type DeleteOptions,
  type DryRunOption,
  type EtagOption,
  maskOf,
  nameOf,
  withAllowMissing,
  withDryRun,
  withEtag,
} from "./options.ts";
import { printWhole, printWritten } from "./output.ts";

const COLUMNS = ["name", "email", "display_name", "role", "disabled", "create_time"];
const ROLES = ["tenant.admin", "tenant.editor", "tenant.viewer"];

/** Adds the commands for the users of tenants. */
export function addUserCommands(program: Command): void {
  const users = program.command("users").description("Users of a tenant.");
  withLimit(users.command("list <tenant>"))
    .description("List the users of a tenant by email address.")
    .action(
      online(({ clients, json }, tenant: string, { limit }: LimitOption) =>
        printList(UserSchema, COLUMNS, { json, limit }, async (page) => {
          const request = { ...page, parent: nameOf("tenants", tenant) };
          const { users: items, nextPageToken } = await clients.users.listUsers(request);
          return { items, nextPageToken };
        }),
      ),
    );
  users
    .command("get <name>")
    .description("Show a user by its name, tenants/{tenant}/users/{user}.")
    .action(
      online(async ({ clients, json }, name: string) => {
        const { user } = await clients.users.getUser({ name });
        if (user) await printWhole(UserSchema, user, json);
      }),
    );
  addCreateCommand(users);
  addUpdateCommand(users);
  withAllowMissing(withEtag(withDryRun(users.command("delete <name>"))))
    .description("Remove a user from its tenant.")
    .action(
      online(async ({ clients }, name: string, { etag, dryRun, allowMissing }: DeleteOptions) => {
        await clients.users.deleteUser({ name, etag, allowMissing, validateOnly: dryRun });
      }),
    );
}

function addCreateCommand(users: Command): void {
  withDryRun(users.command("create <tenant> <email>"))
    .description("Add a user to a tenant.")
    .addOption(new Option("--role <role>", "what the user may do").choices(ROLES).makeOptionMandatory())
    .option("--display-name <name>", "for people", "")
    .action(
      online(async ({ clients, json }, tenant: string, email: string, options: DryRunOption & UserFields) => {
        const { role = "", displayName = "", dryRun } = options;
        const request = { parent: nameOf("tenants", tenant), user: { email, role, displayName }, validateOnly: dryRun };
        const { user } = await clients.users.createUser(request);
        await printWritten(UserSchema, user, COLUMNS, { json, dryRun });
      }),
    );
}

interface UserFields {
  readonly role?: string;
  readonly displayName?: string;
}

function addUpdateCommand(users: Command): void {
  withEtag(withDryRun(users.command("update <name>")))
    .description("Change a user; what is not named stays.")
    .addOption(new Option("--role <role>", "what the user may do").choices(ROLES))
    .option("--display-name <name>", "for people")
    .option("--disable", "refuse the user everywhere")
    .addOption(new Option("--enable", "let a disabled user in again").conflicts("disable"))
    .action(
      online(async ({ clients, json }, name: string, options: UpdateOptions) => {
        const { role, displayName, disable, enable, etag, dryRun } = options;
        const changes = {
          ...(role === undefined ? {} : { role }),
          ...(displayName === undefined ? {} : { displayName }),
          ...(disable || enable ? { disabled: disable ?? false } : {}),
        };
        const request = { user: { name, etag, ...changes }, updateMask: maskOf(changes), validateOnly: dryRun };
        const written = await clients.users.updateUser(request);
        await printWritten(UserSchema, written.user, COLUMNS, { json, dryRun });
      }),
    );
}

interface UpdateOptions extends UserFields, DryRunOption, EtagOption {
  readonly disable?: boolean;
  readonly enable?: boolean;
}
