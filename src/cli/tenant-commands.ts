import { IntegratorSchema } from "@tenantplane/sdk/gen/tenantplane/v1/integrator_pb";
import { PlanSchema } from "@tenantplane/sdk/gen/tenantplane/v1/plan_pb";
import {
  Suspension_Reason,
  type Tenant,
  TenantSchema,
  TransitionSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { UserSchema } from "@tenantplane/sdk/gen/tenantplane/v1/user_pb";
import type { Clients } from "@tenantplane/sdk/web";
import type { Command } from "commander";
import { OperatorError } from "../platform/operator-error.ts";
import { connect, readPages } from "./client.ts";
import { print } from "./output.ts";

const TENANT_COLUMNS = ["name", "displayName", "state", "plan", "integrator", "createTime"];
const LIMIT = ["--limit <n>", "at most so many", Number, 100] as const;

/** Adds the commands for tenants, plans, integrators, users and the watch. */
export function addTenantCommands(program: Command): void {
  const tenants = program.command("tenants").description("Tenants and their life.");
  tenants
    .command("list")
    .option("--filter <filter>", "such as 'state = SUSPENDED AND labels.team = red'", "")
    .option("--order-by <fields>", "such as 'create_time desc'", "")
    .option("--show-deleted", "deleted ones too", false)
    .option(...LIMIT)
    .action(async ({ limit, ...query }, command: Command) => {
      const { clients, json } = connect(command);
      const items = await readPages(limit, async (pageSize, pageToken) => {
        const page = await clients.tenants.listTenants({ ...query, pageSize, pageToken });
        return { items: page.tenants, nextPageToken: page.nextPageToken };
      });
      print(TenantSchema, items, TENANT_COLUMNS, json);
    });
  tenants
    .command("get <id>")
    .action((id: string, _: object, command: Command) =>
      show(command, ({ tenants: t }) => t.getTenant({ name: nameOf(id) })),
    );
  tenants
    .command("create <id>")
    .requiredOption("--plan <plan>", "the plan's id")
    .option("--display-name <name>", "for people; the id by default")
    .option("--integrator <integrator>", "the integrator's id")
    .option("--admin-email <email>", "the first administrator", "")
    .option("--no-activate", "leave it CREATED")
    .action((id: string, options, command: Command) => {
      const integrator = options.integrator ? `integrators/${options.integrator}` : "";
      const tenant = { displayName: options.displayName ?? id, plan: `plans/${options.plan}`, integrator };
      const { activate, adminEmail } = options;
      const request = { tenantId: id, tenant, activate, adminEmail, requestId: crypto.randomUUID() };
      return show(command, (clients) => clients.tenants.createTenant(request));
    });
  addTransitionCommands(tenants);
  addReferenceCommands(program);
}

function addTransitionCommands(tenants: Command): void {
  const plain = {
    activate: "activateTenant",
    archive: "archiveTenant",
    unarchive: "unarchiveTenant",
    delete: "deleteTenant",
    undelete: "undeleteTenant",
  } as const;
  for (const [verb, method] of Object.entries(plain)) {
    tenants
      .command(`${verb} <id>`)
      .option("--reason <text>", "why, for the audit log", "")
      .action((id: string, { reason }, command: Command) =>
        show(command, (clients) =>
          clients.tenants[method]({ name: nameOf(id), reason, requestId: crypto.randomUUID() }),
        ),
      );
  }
  for (const [verb, method] of [
    ["suspend", "suspendTenant"],
    ["resume", "resumeTenant"],
  ] as const) {
    tenants
      .command(`${verb} <id>`)
      .requiredOption("--for <suspension>", "billing, policy, security, maintenance or customer")
      .option("--reason <text>", "why, for the audit log", "")
      .action((id: string, options, command: Command) => {
        const suspension = Suspension_Reason[String(options.for).toUpperCase() as keyof typeof Suspension_Reason];
        if (!suspension) throw new OperatorError("--for must be billing, policy, security, maintenance or customer");
        const request = { name: nameOf(id), suspension, reason: options.reason, requestId: crypto.randomUUID() };
        return show(command, (clients) => clients.tenants[method](request));
      });
  }
  tenants.command("history <id>").action(async (id: string, _: object, command: Command) => {
    const { clients, json } = connect(command);
    const { transitions } = await clients.tenants.listTransitions({ parent: nameOf(id), pageSize: 1_000 });
    print(TransitionSchema, transitions, ["transitionTime", "verb", "fromState", "toState", "actor", "reason"], json);
  });
}

function addReferenceCommands(program: Command): void {
  program
    .command("plans")
    .description("List the plans.")
    .action(async (_: object, command: Command) => {
      const { clients, json } = connect(command);
      print(
        PlanSchema,
        (await clients.plans.listPlans({ pageSize: 1_000 })).plans,
        ["name", "displayName", "version", "limits"],
        json,
      );
    });
  program
    .command("integrators")
    .description("List the integrators.")
    .action(async (_: object, command: Command) => {
      const { clients, json } = connect(command);
      const { integrators } = await clients.integrators.listIntegrators({ pageSize: 1_000 });
      print(IntegratorSchema, integrators, ["name", "displayName", "createTime"], json);
    });
  program
    .command("users <tenant>")
    .description("List the users of a tenant.")
    .action(async (tenant: string, _: object, command: Command) => {
      const { clients, json } = connect(command);
      const { users } = await clients.users.listUsers({ parent: nameOf(tenant), pageSize: 1_000 });
      print(UserSchema, users, ["name", "email", "role", "disabled"], json);
    });
  program
    .command("watch")
    .description("Print tenants as they change, one JSON object a line, until Ctrl-C.")
    .option("--filter <filter>", "as for `tenants list`", "")
    .action(async ({ filter }, command: Command) => {
      const { clients } = connect(command);
      for await (const { events } of clients.tenants.watchTenants({ filter })) {
        print(
          TenantSchema,
          events.flatMap(({ tenant }) => (tenant ? [tenant] : [])),
          [],
          true,
        );
      }
    });
}

async function show(
  command: Command,
  call: (clients: Clients) => Promise<{ tenant?: Tenant | undefined }>,
): Promise<void> {
  const { clients, json } = connect(command);
  const { tenant } = await call(clients);
  print(TenantSchema, tenant ? [tenant] : [], TENANT_COLUMNS, json);
}

function nameOf(id: string): string {
  return id.startsWith("tenants/") ? id : `tenants/${id}`;
}
