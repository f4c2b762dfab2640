import { Suspension_Reason, type Tenant, TenantSchema, type Transition, TransitionSchema } from "@tenantplane/sdk";
import { type Command, Option } from "commander";
import { online } from "./client.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import {
  type DeleteOptions,
  type DryRunOption,
  duration,
  type EtagOption,
  nameOf,
  withAllowMissing,
  withDryRun,
  withEtag,
} from "./options.ts";
import { type Column, printWritten } from "./output.ts";
import { TENANT_COLUMNS } from "./tenant-table.ts";

interface StepOptions extends DryRunOption, EtagOption {
  readonly reason: string;
}

/** Adds the commands that move a tenant through its life, hold it, and show its history. */
export function addLifeCommands(tenants: Command): void {
  addPlainSteps(tenants);
  addSuspensions(tenants);
  addDelete(tenants);
  addHolds(tenants);
  addHistory(tenants);
}

function addPlainSteps(tenants: Command): void {
  const steps = {
    activate: ["activateTenant", "Take a tenant from CREATED to ACTIVE."],
    archive: ["archiveTenant", "Put a tenant away: kept whole, refused everywhere."],
    unarchive: ["unarchiveTenant", "Bring an archived tenant back to the state it had."],
    undelete: ["undeleteTenant", "Bring a deleted tenant back to the state it had."],
  } as const;
  for (const [verb, [method, description]] of Object.entries(steps)) {
    stepCommand(tenants, `${verb} <id>`, description).action(
      online(async ({ clients, json }, id: string, options: StepOptions) => {
        await show(json, options, await clients.tenants[method](requestOf(id, options)));
      }),
    );
  }
}

function addSuspensions(tenants: Command): void {
  const steps = {
    suspend: ["suspendTenant", "Suspend a tenant for a reason; reasons stack."],
    resume: ["resumeTenant", "Lift one suspension; the tenant is ACTIVE again when none is left."],
  } as const;
  const reasons = Object.keys(Suspension_Reason).map((key) => key.toLowerCase());
  for (const [verb, [method, description]] of Object.entries(steps)) {
    stepCommand(tenants, `${verb} <id>`, description)
      .addOption(
        new Option("--for <suspension>", "which suspension")
          .choices(reasons.filter((reason) => reason !== "unspecified"))
          .makeOptionMandatory(),
      )
      .action(
        online(async ({ clients, json }, id: string, options: StepOptions & { for: string }) => {
          const suspension = Suspension_Reason[options.for.toUpperCase() as keyof typeof Suspension_Reason];
          await show(json, options, await clients.tenants[method]({ ...requestOf(id, options), suspension }));
        }),
      );
  }
}

function addDelete(tenants: Command): void {
  withAllowMissing(
    stepCommand(tenants, "delete <id>", "Delete a tenant softly: it can be undeleted until it is purged."),
  )
    .option("--retention <duration>", "how long it can be undeleted, such as 30d; else the server's default", duration)
    .action(
      online(async ({ clients, json }, id: string, options: StepOptions & DeleteOptions & RetentionOption) => {
        const { retention, allowMissing } = options;
        const request = { ...requestOf(id, options), allowMissing, ...(retention ? { retention } : {}) };
        await show(json, options, await clients.tenants.deleteTenant(request));
      }),
    );
}

interface RetentionOption {
  readonly retention?: ReturnType<typeof duration>;
}

function addHolds(tenants: Command): void {
  const steps = {
    hold: ["placeLegalHold", "Place a legal hold, which blocks the purge of a tenant."],
    release: ["releaseLegalHold", "Release a legal hold."],
  } as const;
  for (const [verb, [method, description]] of Object.entries(steps)) {
    stepCommand(tenants, `${verb} <id> <hold>`, description).action(
      online(async ({ clients, json }, id: string, holdId: string, options: StepOptions) => {
        await show(json, options, await clients.tenants[method]({ ...requestOf(id, options), holdId }));
      }),
    );
  }
}

function stepCommand(tenants: Command, usage: string, description: string): Command {
  return withEtag(withDryRun(tenants.command(usage)))
    .description(description)
    .option("--reason <text>", "why, for the history and the audit log", "");
}

function show(json: boolean, { dryRun }: DryRunOption, { tenant }: { tenant?: Tenant | undefined }): Promise<void> {
  return printWritten(TenantSchema, tenant, TENANT_COLUMNS, { json, dryRun });
}

function requestOf(id: string, { etag, reason, dryRun }: StepOptions) {
  return { name: nameOf("tenants", id), etag, reason, validateOnly: dryRun };
}

const HISTORY_COLUMNS: readonly Column<Transition>[] = [
  "transition_time",
  "verb",
  "from_state",
  "to_state",
  "actor",
  "reason",
];

function addHistory(tenants: Command): void {
  withLimit(tenants.command("history <id>"))
    .description("List the steps of a tenant's life, newest first.")
    .action(
      online(({ clients, json }, id: string, { limit }: LimitOption) =>
        printList(TransitionSchema, HISTORY_COLUMNS, { json, limit }, async (page) => {
          const request = { ...page, parent: nameOf("tenants", id) };
          const { transitions: items, nextPageToken } = await clients.tenants.listTransitions(request);
          return { items, nextPageToken };
        }),
      ),
    );
}
