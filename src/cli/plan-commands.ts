import { readFileSync } from "node:fs";
import { fromJsonString } from "@bufbuild/protobuf";
import { type Plan, PlanSchema } from "@tenantplane/sdk";
import type { Command } from "commander";
import { OperatorError } from "../platform/operator-error.ts";
import { online } from "./client.ts";
import { changedLimits, type LimitOptions, limitsText, withLimitRemoval, withLimits } from "./limit-options.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import {
  type DeleteOptions,
  type DryRunOption,
  type EtagOption,
  maskOf,
  merged,
  nameOf,
  type SettingInit,
  settings,
  several,
  wholeNumber,
  withAllowMissing,
  withDryRun,
  withEtag,
} from "./options.ts";
import { type Column, printWhole, printWritten } from "./output.ts";

const COLUMNS: readonly Column<Plan>[] = [
  "name",
  "display_name",
  "version",
  { head: "limits", of: ({ limits }) => limitsText(limits) },
  "create_time",
];

/** Adds the commands for plans. */
export function addPlanCommands(program: Command): void {
  const plans = program.command("plans").description("Plans: versioned bundles of limits, entitlements and settings.");
  addReadCommands(plans);
  addWriteCommands(plans);
}

function addReadCommands(plans: Command): void {
  withLimit(plans.command("list"))
    .description("List the plans in their newest version.")
    .action(
      online(({ clients, json }, { limit }: LimitOption) =>
        printList(PlanSchema, COLUMNS, { json, limit }, async (page) => {
          const { plans: items, nextPageToken } = await clients.plans.listPlans(page);
          return { items, nextPageToken };
        }),
      ),
    );
  plans
    .command("get <id>")
    .description("Show a plan with all its fields.")
    .option("--plan-version <n>", "which version; the newest by default", wholeNumber(1, 2_147_483_647))
    .action(
      online(async ({ clients, json }, id: string, { planVersion: version = 0 }: { planVersion?: number }) => {
        const { plan } = await clients.plans.getPlan({ name: nameOf("plans", id), version });
        if (plan) await printWhole(PlanSchema, plan, json);
      }),
    );
}

interface FieldOptions extends DryRunOption, LimitOptions {
  readonly file?: Plan;
  readonly displayName?: string;
  readonly entitlement?: Record<string, SettingInit>;
  readonly setting?: Record<string, SettingInit>;
}

interface UpdateOptions extends FieldOptions, EtagOption {
  readonly removeEntitlement?: readonly string[];
  readonly removeSetting?: readonly string[];
}

function addWriteCommands(plans: Command): void {
  fields(plans.command("create <id>"))
    .description("Create a plan with version 1.")
    .addHelpText("after", CREATE_EXAMPLE)
    .action(
      online(async ({ clients, json }, planId: string, options: FieldOptions) => {
        const { file, dryRun } = options;
        const plan = { displayName: planId, ...contentOf(file), ...changesOf(file, options) };
        const written = await clients.plans.createPlan({ planId, plan, validateOnly: dryRun });
        await printWritten(PlanSchema, written.plan, COLUMNS, { json, dryRun });
      }),
    );
  withEtag(withLimitRemoval(fields(plans.command("update <id>"))))
    .description("Add a version to a plan; what is not named stays, and tenants stay on their version.")
    .option("--remove-entitlement <key>", "may be repeated", several)
    .option("--remove-setting <key>", "may be repeated", several)
    .action(
      online(async ({ clients, json }, id: string, options: UpdateOptions) => {
        const { file, dryRun } = options;
        const name = nameOf("plans", id);
        const { plan: before } = await clients.plans.getPlan({ name });
        const changes = { ...contentOf(file), ...changesOf(file ?? before, options) };
        // What was read is what is changed: the server refuses the write when somebody else was faster.
        const plan = { name, etag: options.etag || (before?.etag ?? ""), ...changes };
        const written = await clients.plans.updatePlan({ plan, updateMask: maskOf(changes), validateOnly: dryRun });
        await printWritten(PlanSchema, written.plan, COLUMNS, { json, dryRun });
      }),
    );
  withAllowMissing(withEtag(withDryRun(plans.command("delete <id>"))))
    .description("Delete a plan that no tenant uses.")
    .action(
      online(async ({ clients }, id: string, { etag, dryRun, allowMissing }: DeleteOptions) => {
        await clients.plans.deletePlan({ name: nameOf("plans", id), etag, allowMissing, validateOnly: dryRun });
      }),
    );
}

function fields(command: Command): Command {
  return withLimits(withDryRun(command))
    .option("--display-name <name>", "for people; on creation the id by default")
    .option("--file <file>", "the plan as JSON, as `plans get --json` prints it; other options change it", planFile)
    .option("--entitlement <key[:type]=value>", "a feature's value; may be repeated", settings)
    .option("--setting <key[:type]=value>", "a default of the tenants' settings; may be repeated", settings);
}

const CREATE_EXAMPLE = `
Example:
  tenantplane plans create pro --display-name Pro --limit seats=25 --entitlement sso:bool=true`;

function planFile(file: string): Plan {
  try {
    return fromJsonString(PlanSchema, readFileSync(file, "utf8"));
  } catch (error) {
    throw new OperatorError(`${file} is no plan: ${error instanceof Error ? error.message : "unreadable"}`);
  }
}

// What a plan is made of; its name and its times are the server's to give.
function contentOf(
  plan: Plan | undefined,
): Partial<Pick<Plan, "displayName" | "limits" | "entitlements" | "settings">> {
  if (!plan) return {};
  const { displayName, limits, entitlements, settings: defaults } = plan;
  return { displayName, limits, entitlements, settings: defaults };
}

function changesOf(base: Plan | undefined, options: FieldOptions & Partial<UpdateOptions>) {
  const { displayName } = options;
  const limits = changedLimits(base?.limits ?? [], options);
  const entitlements = merged<SettingInit>(base?.entitlements, options.entitlement, options.removeEntitlement);
  const defaults = merged<SettingInit>(base?.settings, options.setting, options.removeSetting);
  return {
    ...(displayName === undefined ? {} : { displayName }),
    ...(limits ? { limits } : {}),
    ...(entitlements ? { entitlements } : {}),
    ...(defaults ? { settings: defaults } : {}),
  };
}
