import {
  ExplainQuotaResponse_StepSchema,
  type LimitState,
  LimitStateSchema,
  type ListTenantsNearLimitResponse_Item,
  ListTenantsNearLimitResponse_ItemSchema,
  QuotaGrantSchema,
  type QuotaOverride,
  QuotaOverrideSchema,
} from "@tenantplane/sdk";
import type { Command } from "commander";
import { online } from "./client.ts";
import { type LimitOption, printList, withLimit } from "./list.ts";
import {
  type DeleteOptions,
  type DryRunOption,
  type EtagOption,
  instant,
  nameOf,
  wholeAmount,
  wholeNumber,
  withAllowMissing,
  withDryRun,
  withEtag,
} from "./options.ts";
import { type Column, print, printWritten } from "./output.ts";

const STATE_COLUMNS: readonly Column<LimitState>[] = [
  "holder",
  "limit_id",
  "amount",
  "used",
  "held",
  "remaining",
  "reset_time",
  "source",
];
const OVERRIDE_COLUMNS: readonly Column<QuotaOverride>[] = [
  "name",
  "limit_id",
  { head: "amount", of: ({ limit }) => String(limit?.amount ?? "") },
  "expire_time",
  "reason",
];
const GRANT_COLUMNS = ["name", "limit_id", "amount", "used_amount", "priority", "expire_time", "reason"];
const NEAR_COLUMNS: readonly Column<ListTenantsNearLimitResponse_Item>[] = [
  "tenant",
  { head: "limit_id", of: ({ limit }) => limit?.limitId ?? "" },
  { head: "used", of: ({ limit }) => String(limit?.used ?? "") },
  { head: "amount", of: ({ limit }) => String(limit?.amount ?? "") },
  "used_percent",
];

/** Adds the commands for what tenants may use. */
export function addQuotaCommands(program: Command): void {
  const quotas = program.command("quotas").description("Quotas: what tenants may use, and why.");
  addReadCommands(quotas);
  addOverrideCommands(quotas);
  addGrantCommands(quotas);
}

function addReadCommands(quotas: Command): void {
  quotas
    .command("get <tenant>")
    .description("Show a tenant's limits and what is used of each.")
    .action(
      online(async ({ clients, json }, tenant: string) => {
        const { limits } = await clients.quotas.getTenantQuotas({ name: nameOf("tenants", tenant) });
        await print(LimitStateSchema, limits, STATE_COLUMNS, json);
      }),
    );
  quotas
    .command("explain <tenant> <limit>")
    .description("Show what is behind a limit: the plan's version, override, rollover and grants, with who and why.")
    .option("--holder <integrator>", "the limit of integrators/{id} in the place of the tenant's own", "")
    .action(
      online(async ({ clients, json }, tenant: string, limitId: string, { holder }: { holder: string }) => {
        const request = { name: nameOf("tenants", tenant), limitId, holder };
        const { steps } = await clients.quotas.explainQuota(request);
        const columns = ["kind", "resource", "amount", "description"];
        await print(ExplainQuotaResponse_StepSchema, steps, columns, json);
      }),
    );
  withLimit(quotas.command("near"))
    .description("List the tenants that are near a limit, the fullest first.")
    .option("--limit-id <limit>", "only this limit", "")
    .option("--min-percent <n>", "the least share of it that is used", wholeNumber(1, 1_000), 80)
    .option("--integrator <id>", "only tenants of this integrator")
    .action(
      online(({ clients, json }, options: NearOptions) => {
        const { limit, limitId, minPercent, integrator } = options;
        const query = { limitId, minPercent, integrator: integrator ? nameOf("integrators", integrator) : "" };
        return printList(ListTenantsNearLimitResponse_ItemSchema, NEAR_COLUMNS, { json, limit }, (page) =>
          clients.quotas.listTenantsNearLimit({ ...query, ...page }),
        );
      }),
    );
}

interface NearOptions extends LimitOption {
  readonly limitId: string;
  readonly minPercent: number;
  readonly integrator?: string;
}

interface ReasonedOptions extends DryRunOption {
  readonly amount: bigint;
  readonly reason: string;
  readonly expires?: ReturnType<typeof instant>;
}

function addOverrideCommands(quotas: Command): void {
  reasoned(quotas.command("override <tenant> <limit>"))
    .description("Give one tenant another amount of a limit that it has.")
    .action(
      online(async ({ clients, json }, tenant: string, limitId: string, options: ReasonedOptions) => {
        const { amount, reason, expires, dryRun } = options;
        const parent = nameOf("tenants", tenant);
        // The rule stays as it applies now.
        const { effectiveLimit } = await clients.quotas.explainQuota({ name: parent, limitId });
        const limit = effectiveLimit && { ...effectiveLimit, amount };
        const quotaOverride = { ...(limit ? { limit } : {}), reason, ...(expires ? { expireTime: expires } : {}) };
        const written = await clients.quotas.createQuotaOverride({ parent, quotaOverride, validateOnly: dryRun });
        await printWritten(QuotaOverrideSchema, written.quotaOverride, OVERRIDE_COLUMNS, { json, dryRun });
      }),
    );
  withLimit(quotas.command("overrides <tenant>"))
    .description("List a tenant's overrides.")
    .option("--show-expired", "those that have ended, too", false)
    .action(
      online(({ clients, json }, tenant: string, { limit, showExpired }: LimitOption & { showExpired: boolean }) =>
        printList(QuotaOverrideSchema, OVERRIDE_COLUMNS, { json, limit }, async (page) => {
          const request = { parent: nameOf("tenants", tenant), showExpired, ...page };
          const { quotaOverrides: items, nextPageToken } = await clients.quotas.listQuotaOverrides(request);
          return { items, nextPageToken };
        }),
      ),
    );
  withAllowMissing(withEtag(withDryRun(quotas.command("end-override <name>"))))
    .description("End an override by its name, tenants/{tenant}/quotaOverrides/{override}.")
    .action(
      online(async ({ clients }, name: string, { etag, dryRun, allowMissing }: DeleteOptions) => {
        await clients.quotas.deleteQuotaOverride({ name, etag, allowMissing, validateOnly: dryRun });
      }),
    );
}

interface GrantOptions extends ReasonedOptions {
  readonly priority: number;
  readonly starts?: ReturnType<typeof instant>;
}

function addGrantCommands(quotas: Command): void {
  reasoned(quotas.command("grant <tenant> <limit>"))
    .description("Give a tenant an extra amount once, used up after the limit's own.")
    .option("--priority <n>", "0 to 255, the smaller is used up first", wholeNumber(0, 255), 0)
    .option("--starts <time>", "when it begins; at once by default", instant)
    .action(
      online(async ({ clients, json }, tenant: string, limitId: string, options: GrantOptions) => {
        const { amount, reason, priority, starts, expires, dryRun } = options;
        const times = { ...(starts ? { startTime: starts } : {}), ...(expires ? { expireTime: expires } : {}) };
        const quotaGrant = { limitId, amount, reason, priority, ...times };
        const request = { parent: nameOf("tenants", tenant), quotaGrant, validateOnly: dryRun };
        const written = await clients.quotas.createQuotaGrant(request);
        await printWritten(QuotaGrantSchema, written.quotaGrant, GRANT_COLUMNS, { json, dryRun });
      }),
    );
  withLimit(quotas.command("grants <tenant>"))
    .description("List a tenant's grants in the order in which they are used up.")
    .option("--show-expired", "those that are over, too", false)
    .action(
      online(({ clients, json }, tenant: string, { limit, showExpired }: LimitOption & { showExpired: boolean }) =>
        printList(QuotaGrantSchema, GRANT_COLUMNS, { json, limit }, async (page) => {
          const request = { parent: nameOf("tenants", tenant), showExpired, ...page };
          const { quotaGrants: items, nextPageToken } = await clients.quotas.listQuotaGrants(request);
          return { items, nextPageToken };
        }),
      ),
    );
  withEtag(withDryRun(quotas.command("void-grant <name>")))
    .description("Take back what is left of a grant by its name, tenants/{tenant}/quotaGrants/{grant}.")
    .option("--reason <text>", "why, for the audit log", "")
    .action(
      online(async ({ clients, json }, name: string, options: EtagOption & DryRunOption & { reason: string }) => {
        const { etag, reason, dryRun } = options;
        const written = await clients.quotas.voidQuotaGrant({ name, etag, reason, validateOnly: dryRun });
        await printWritten(QuotaGrantSchema, written.quotaGrant, GRANT_COLUMNS, { json, dryRun });
      }),
    );
}

function reasoned(command: Command): Command {
  return withDryRun(command)
    .requiredOption("--amount <n>", "how much", wholeAmount)
    .requiredOption("--reason <text>", "why")
    .option("--expires <time>", "when it ends, such as 2030-01-31T12:00:00Z; never by default", instant);
}
