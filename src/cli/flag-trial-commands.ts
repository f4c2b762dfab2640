import type { JsonObject } from "@bufbuild/protobuf";
import { FlagOverrideSchema } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import {
  type FlagEvaluation,
  FlagEvaluationSchema,
  type FlagStep,
  FlagStepSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_evaluation_pb";
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { isThere, online, type Session } from "./client.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import { type DryRunOption, instant, nameOf, withDryRun } from "./options.ts";
import { type Column, note, print, printJson, printWritten } from "./output.ts";

const OVERRIDE_COLUMNS = ["name", "serve", "reason", "writer", "expire_time"];
const EVALUATION_COLUMNS: readonly Column<FlagEvaluation>[] = [
  "flag",
  "variant",
  "reason",
  "layer",
  "rule_id",
  "error_code",
];
const STEP_COLUMNS: readonly Column<FlagStep>[] = [
  "flag",
  "layer",
  "rule_id",
  { head: "", of: ({ decided }) => (decided ? "*" : "") },
  "description",
  { head: "bucket", of: ({ bucket, bucketTotal }) => (bucket === undefined ? "" : `${bucket} of ${bucketTotal}`) },
];

/** Adds the commands that ask what flags give, and those that change it for one tenant. */
export function addFlagTrialCommands(flags: Command): void {
  withContext(flags.command("evaluate <tenant> [keys...]"))
    .description("Evaluate flags for a tenant and a context; all of them when none is named.")
    .action(
      online(async ({ clients, json }, tenant: string, keys: string[], { context = {} }: ContextOption) => {
        const names = keys.map((key) => nameOf("flags", key));
        const request = { tenant: nameOf("tenants", tenant), context, flags: names };
        const { evaluations } = await clients.flags.evaluateAllFlags(request);
        await print(FlagEvaluationSchema, evaluations, EVALUATION_COLUMNS, json);
      }),
    );
  withContext(flags.command("explain <tenant> <key>"))
    .description("Show step by step why a flag gives what it gives.")
    .addHelpText("after", EXPLAIN_EXAMPLE)
    .action(
      online(async ({ clients, json }, tenant: string, key: string, { context = {} }: ContextOption) => {
        const request = { tenant: nameOf("tenants", tenant), flag: nameOf("flags", key), context };
        const { evaluation, steps } = await clients.flags.explainFlag(request);
        if (json) return printJson(FlagStepSchema, steps);
        if (evaluation) await print(FlagEvaluationSchema, [evaluation], EVALUATION_COLUMNS, json);
        return print(FlagStepSchema, steps, STEP_COLUMNS, json);
      }),
    );
  addOverrideCommands(flags);
}

const EXPLAIN_EXAMPLE = `
Example:
  tenantplane flags explain acme new-checkout --context '{"targetingKey": "ann", "country": "de"}'`;

interface ContextOption {
  readonly context?: JsonObject;
}

function withContext(command: Command): Command {
  return command.option("--context <json>", "whom it is for, as a JSON object", contextOf);
}

function contextOf(text: string): JsonObject {
  try {
    const context: unknown = JSON.parse(text);
    if (typeof context === "object" && context !== null && !Array.isArray(context)) return context as JsonObject;
  } catch {
    // Told below, in the same words.
  }
  throw new InvalidArgumentError("Must be a JSON object.");
}

interface OverrideOptions extends DryRunOption {
  readonly reason: string;
  readonly until?: { seconds: bigint; nanos: number };
}

function addOverrideCommands(flags: Command): void {
  withDryRun(flags.command("override <tenant> <key> [variant]"))
    .description("Give a tenant a variant of its own; without one, end its override.")
    .option("--reason <text>", "why", "")
    .option("--until <time>", "when it ends by itself, such as 2030-01-31T12:00:00Z", instant)
    .action(
      online(async (session, tenant: string, key: string, variant: string | undefined, options: OverrideOptions) => {
        if (variant === undefined) return endOverride(session, tenant, key, options);
        const written = await setOverride(session, tenant, key, variant, options);
        return printWritten(FlagOverrideSchema, written, OVERRIDE_COLUMNS, {
          json: session.json,
          dryRun: options.dryRun,
        });
      }),
    );
  withLimit(flags.command("overrides"))
    .description("List overrides.")
    .option("--tenant <tenant>", "only those of this tenant", "")
    .option("--flag <key>", "only those of this flag", "")
    .action(
      online(({ clients, json }, { limit, tenant, flag }: LimitOption & { tenant: string; flag: string }) =>
        printList(FlagOverrideSchema, OVERRIDE_COLUMNS, { json, limit }, async (page) => {
          const query = { parent: tenant && nameOf("tenants", tenant), flag: flag && nameOf("flags", flag) };
          const { flagOverrides: items, nextPageToken } = await clients.flags.listFlagOverrides({ ...query, ...page });
          return { items, nextPageToken };
        }),
      ),
    );
}

async function setOverride(
  { clients }: Session,
  tenant: string,
  key: string,
  variant: string,
  { reason, until, dryRun }: OverrideOptions,
) {
  const parent = nameOf("tenants", tenant);
  const flagOverrideId = key.replace(/^flags\//, "");
  const name = `${parent}/flagOverrides/${flagOverrideId}`;
  const serve = { serve: { case: "variant" as const, value: variant } };
  const fields = { serve, reason, ...(until ? { expireTime: until } : {}) };
  const known = await isThere(clients.flags.getFlagOverride({ name }));
  const paths = ["serve", "reason", "expire_time"];
  const written = known
    ? await clients.flags.updateFlagOverride({
        flagOverride: { name, ...fields },
        updateMask: { paths },
        validateOnly: dryRun,
      })
    : await clients.flags.createFlagOverride({ parent, flagOverrideId, flagOverride: fields, validateOnly: dryRun });
  return written.flagOverride;
}

async function endOverride({ clients }: Session, tenant: string, key: string, { reason, dryRun }: OverrideOptions) {
  const name = `${nameOf("tenants", tenant)}/flagOverrides/${key.replace(/^flags\//, "")}`;
  await clients.flags.deleteFlagOverride({ name, reason, validateOnly: dryRun });
  if (dryRun) note("A dry run: nothing was written.");
}
