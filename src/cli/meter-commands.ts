import { Meter_Kind, MeterSchema } from "@tenantplane/sdk";
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

const COLUMNS = ["name", "display_name", "kind", "unit", "description"];
const KINDS = ["rate", "period", "gauge", "concurrency"] as const;

/** Adds the commands for meters. */
export function addMeterCommands(program: Command): void {
  const meters = program.command("meters").description("Meters: what is counted, and how.");
  withLimit(meters.command("list"))
    .description("List the meters.")
    .action(
      online(({ clients, json }, { limit }: LimitOption) =>
        printList(MeterSchema, COLUMNS, { json, limit }, async (page) => {
          const { meters: items, nextPageToken } = await clients.quotas.listMeters(page);
          return { items, nextPageToken };
        }),
      ),
    );
  meters
    .command("get <id>")
    .description("Show a meter with all its fields.")
    .action(
      online(async ({ clients, json }, id: string) => {
        const { meter } = await clients.quotas.getMeter({ name: nameOf("meters", id) });
        if (meter) await printWhole(MeterSchema, meter, json);
      }),
    );
  addWriteCommands(meters);
}

interface MeterFields {
  readonly displayName?: string;
  readonly unit?: string;
  readonly description?: string;
}

type CreateOptions = MeterFields & DryRunOption & { readonly kind: (typeof KINDS)[number] };

function addWriteCommands(meters: Command): void {
  fields(withDryRun(meters.command("create <id>")))
    .description("Create a meter; its kind is fixed.")
    .addOption(new Option("--kind <kind>", "how it counts").choices(KINDS).makeOptionMandatory())
    .action(
      online(async ({ clients, json }, meterId: string, options: CreateOptions) => {
        const { kind, dryRun } = options;
        const meter = { displayName: meterId, ...changesOf(options), kind: Meter_Kind[UPPER[kind]] };
        const written = await clients.quotas.createMeter({ meterId, meter, validateOnly: dryRun });
        await printWritten(MeterSchema, written.meter, COLUMNS, { json, dryRun });
      }),
    );
  fields(withEtag(withDryRun(meters.command("update <id>"))))
    .description("Change a meter's texts; what is not named stays.")
    .action(
      online(async ({ clients, json }, id: string, options: MeterFields & EtagOption & DryRunOption) => {
        const { etag, dryRun } = options;
        const changes = changesOf(options);
        const meter = { name: nameOf("meters", id), etag, ...changes };
        const written = await clients.quotas.updateMeter({ meter, updateMask: maskOf(changes), validateOnly: dryRun });
        await printWritten(MeterSchema, written.meter, COLUMNS, { json, dryRun });
      }),
    );
  withAllowMissing(withEtag(withDryRun(meters.command("delete <id>"))))
    .description("Delete a meter that no plan, integrator or override names.")
    .action(
      online(async ({ clients }, id: string, { etag, dryRun, allowMissing }: DeleteOptions) => {
        await clients.quotas.deleteMeter({ name: nameOf("meters", id), etag, allowMissing, validateOnly: dryRun });
      }),
    );
}

const UPPER = { rate: "RATE", period: "PERIOD", gauge: "GAUGE", concurrency: "CONCURRENCY" } as const;

function fields(command: Command): Command {
  return command
    .option("--display-name <name>", "for people; on creation the id by default")
    .option("--unit <unit>", 'what one of it is, such as "request" or "By"')
    .option("--description <text>", "for people");
}

function changesOf({ displayName, unit, description }: MeterFields) {
  return {
    ...(displayName === undefined ? {} : { displayName }),
    ...(unit === undefined ? {} : { unit }),
    ...(description === undefined ? {} : { description }),
  };
}
