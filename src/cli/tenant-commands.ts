import { TenantSchema } from "@tenantplane/sdk";
import type { Command } from "commander";
import { online } from "./client.ts";
import { addImportCommand } from "./import/command.ts";
import { addLifeCommands } from "./life-commands.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import {
  type DryRunOption,
  type EtagOption,
  maskOf,
  merged,
  nameOf,
  pairs,
  type SettingInit,
  settings,
  several,
  wholeNumber,
  withDryRun,
  withEtag,
} from "./options.ts";
import { print, printWhole, printWritten } from "./output.ts";
import { TENANT_COLUMNS } from "./tenant-table.ts";

/** Adds the commands for tenants. */
export function addTenantCommands(program: Command): void {
  const tenants = program.command("tenants").description("Tenants and their life.");
  addReadCommands(tenants);
  addCreateCommand(tenants);
  addUpdateCommand(tenants);
  addLifeCommands(tenants);
  addImportCommand(tenants);
}

function addReadCommands(tenants: Command): void {
  withLimit(tenants.command("list"))
    .description("List the tenants that the key may see.")
    .option("--filter <filter>", "such as 'state = SUSPENDED AND labels.team = red'", "")
    .option("--order-by <fields>", "such as 'create_time desc'", "")
    .option("--show-deleted", "deleted ones too", false)
    .addHelpText("after", LIST_EXAMPLES)
    .action(
      online(({ clients, json }, { limit, ...query }: ListOptions) =>
        printList(TenantSchema, TENANT_COLUMNS, { json, limit }, async (page) => {
          const { tenants: items, nextPageToken } = await clients.tenants.listTenants({ ...query, ...page });
          return { items, nextPageToken };
        }),
      ),
    );
  tenants
    .command("get <id...>")
    .description("Show a tenant with all its fields, or several in a table.")
    .action(
      online(async ({ clients, json }, ids: string[]) => {
        const [id = ""] = ids;
        if (ids.length > 1) {
          const names = ids.map((one) => nameOf("tenants", one));
          const { tenants: found } = await clients.tenants.batchGetTenants({ names });
          return print(TenantSchema, found, TENANT_COLUMNS, json);
        }
        const { tenant } = await clients.tenants.getTenant({ name: nameOf("tenants", id) });
        if (tenant) await printWhole(TenantSchema, tenant, json);
      }),
    );
}

interface ListOptions extends LimitOption {
  readonly filter: string;
  readonly orderBy: string;
  readonly showDeleted: boolean;
}

const LIST_EXAMPLES = `
Examples:
  tenantplane tenants list --filter 'state = SUSPENDED' --order-by 'update_time desc'
  tenantplane tenants list --filter 'labels.tier = gold' --limit all --json | jq -r .name`;

function addCreateCommand(tenants: Command): void {
  withDryRun(fields(tenants.command("create <id>")))
    .description("Create a tenant, active from the start.")
    .requiredOption("--plan <plan>", "the plan's id")
    .option("--integrator <integrator>", "the id of the integrator that administers it", "")
    .option("--admin-email <email>", "the first administrator, created along", "")
    .option("--no-activate", "leave it CREATED")
    .addHelpText("after", CREATE_EXAMPLE)
    .action(
      online(async ({ clients, json }, id: string, options: CreateOptions) => {
        const { plan, integrator, adminEmail, activate, dryRun } = options;
        const tenant = {
          displayName: options.displayName ?? id,
          plan: nameOf("plans", plan),
          planVersion: options.planVersion ?? 0,
          integrator: integrator && nameOf("integrators", integrator),
          region: options.region ?? "",
          timeZone: options.timeZone ?? "",
          labels: options.label ?? {},
          settings: options.setting ?? {},
        };
        const request = { tenantId: id, tenant, activate, adminEmail, validateOnly: dryRun };
        const written = await clients.tenants.createTenant(request);
        await printWritten(TenantSchema, written.tenant, TENANT_COLUMNS, { json, dryRun });
      }),
    );
}

const CREATE_EXAMPLE = `
Example:
  tenantplane tenants create acme --plan pro --display-name "Acme Inc." --label tier=gold \\
    --setting seats:int=25 --setting beta:bool=true --admin-email ann@acme.example`;

// The fields that creation and update share.
function fields(command: Command): Command {
  return command
    .option("--display-name <name>", "for people; on creation the id by default")
    .option("--plan-version <n>", "the version of the plan; its newest by default", wholeNumber(1, 2_147_483_647))
    .option("--region <region>", "its home region")
    .option("--time-zone <zone>", "an IANA name, such as Europe/Berlin")
    .option("--label <key=value>", "a label; may be repeated", pairs)
    .option("--setting <key[:type]=value>", "a setting: string, bool, int or double; may be repeated", settings);
}

interface FieldOptions {
  readonly displayName?: string;
  readonly planVersion?: number;
  readonly region?: string;
  readonly timeZone?: string;
  readonly label?: Record<string, string>;
  readonly setting?: Record<string, SettingInit>;
}

interface CreateOptions extends FieldOptions, DryRunOption {
  readonly plan: string;
  readonly integrator: string;
  readonly adminEmail: string;
  readonly activate: boolean;
}

function addUpdateCommand(tenants: Command): void {
  withEtag(withDryRun(fields(tenants.command("update <id>"))))
    .description("Change fields of a tenant; labels and settings that are not named stay.")
    .option("--plan <plan>", "move it to this plan")
    .option("--remove-label <key>", "may be repeated", several)
    .option("--remove-setting <key>", "may be repeated", several)
    .action(
      online(async ({ clients, json }, id: string, options: UpdateOptions) => {
        const { tenant: before } = await clients.tenants.getTenant({ name: nameOf("tenants", id) });
        const { displayName, plan, planVersion, region, timeZone, dryRun } = options;
        const labels = merged(before?.labels, options.label, options.removeLabel);
        const newSettings = merged<SettingInit>(before?.settings, options.setting, options.removeSetting);
        const planned = plan !== undefined || planVersion !== undefined;
        const changes = {
          ...(displayName === undefined ? {} : { displayName }),
          ...(planned ? { plan: plan ? nameOf("plans", plan) : (before?.plan ?? "") } : {}),
          ...(planVersion === undefined ? {} : { planVersion }),
          ...(region === undefined ? {} : { region }),
          ...(timeZone === undefined ? {} : { timeZone }),
          ...(labels ? { labels } : {}),
          ...(newSettings ? { settings: newSettings } : {}),
        };
        // What was read is what is changed: the server refuses the write when somebody else was faster.
        const tenant = { name: nameOf("tenants", id), etag: options.etag || (before?.etag ?? ""), ...changes };
        const request = { tenant, updateMask: maskOf(changes), validateOnly: dryRun };
        const written = await clients.tenants.updateTenant(request);
        await printWritten(TenantSchema, written.tenant, TENANT_COLUMNS, { json, dryRun });
      }),
    );
}

interface UpdateOptions extends FieldOptions, DryRunOption, EtagOption {
  readonly plan?: string;
  readonly removeLabel?: readonly string[];
  readonly removeSetting?: readonly string[];
}
