import { type Integrator, IntegratorSchema } from "@tenantplane/sdk";
import type { Command } from "commander";
import { online } from "./client.ts";
import { changedLimits, type LimitOptions, limitsText, withLimitRemoval, withLimits } from "./limit-options.ts";
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
import { type Column, printWhole, printWritten } from "./output.ts";

const COLUMNS: readonly Column<Integrator>[] = [
  "name",
  "display_name",
  { head: "limits", of: ({ limits }) => limitsText(limits) },
  "create_time",
];

/** Adds the commands for systems integrators. */
export function addIntegratorCommands(program: Command): void {
  const integrators = program
    .command("integrators")
    .description("Systems integrators: partners that administer tenants of their own.");
  withLimit(integrators.command("list"))
    .description("List the integrators that the key may see.")
    .action(
      online(({ clients, json }, { limit }: LimitOption) =>
        printList(IntegratorSchema, COLUMNS, { json, limit }, async (page) => {
          const { integrators: items, nextPageToken } = await clients.integrators.listIntegrators(page);
          return { items, nextPageToken };
        }),
      ),
    );
  integrators
    .command("get <id>")
    .description("Show an integrator with all its fields.")
    .action(
      online(async ({ clients, json }, id: string) => {
        const { integrator } = await clients.integrators.getIntegrator({ name: nameOf("integrators", id) });
        if (integrator) await printWhole(IntegratorSchema, integrator, json);
      }),
    );
  addWriteCommands(integrators);
}

function addWriteCommands(integrators: Command): void {
  withLimits(withDryRun(integrators.command("create <id>")))
    .description("Create an integrator.")
    .option("--display-name <name>", "for people; the id by default")
    .action(
      online(async ({ clients, json }, integratorId: string, options: FieldOptions) => {
        const { displayName = integratorId, dryRun } = options;
        const integrator = { displayName, limits: changedLimits([], options) ?? [] };
        const written = await clients.integrators.createIntegrator({ integratorId, integrator, validateOnly: dryRun });
        await printWritten(IntegratorSchema, written.integrator, COLUMNS, { json, dryRun });
      }),
    );
  withEtag(withLimitRemoval(withLimits(withDryRun(integrators.command("update <id>")))))
    .description("Change an integrator's display name, or what all of its tenants may use together.")
    .option("--display-name <name>", "for people")
    .action(
      online(async ({ clients, json }, id: string, options: FieldOptions & EtagOption) => {
        const { displayName, dryRun } = options;
        const name = nameOf("integrators", id);
        const { integrator: before } = await clients.integrators.getIntegrator({ name });
        const limits = changedLimits(before?.limits ?? [], options);
        const changes = { ...(displayName === undefined ? {} : { displayName }), ...(limits ? { limits } : {}) };
        // What was read is what is changed: the server refuses the write when somebody else was faster.
        const integrator = { name, etag: options.etag || (before?.etag ?? ""), ...changes };
        const request = { integrator, updateMask: maskOf(changes), validateOnly: dryRun };
        const written = await clients.integrators.updateIntegrator(request);
        await printWritten(IntegratorSchema, written.integrator, COLUMNS, { json, dryRun });
      }),
    );
  withAllowMissing(withEtag(withDryRun(integrators.command("delete <id>"))))
    .description("Delete an integrator that has no tenants.")
    .action(
      online(async ({ clients }, id: string, { etag, dryRun, allowMissing }: DeleteOptions) => {
        const request = { name: nameOf("integrators", id), etag, allowMissing, validateOnly: dryRun };
        await clients.integrators.deleteIntegrator(request);
      }),
    );
}

interface FieldOptions extends DryRunOption, LimitOptions {
  readonly displayName?: string;
}
