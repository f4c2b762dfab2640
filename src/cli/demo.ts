import { Suspension_Reason } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import type { Clients } from "@tenantplane/sdk/web";
import { SingleBar } from "cli-progress";
import type { Command } from "commander";
import { connect } from "./client.ts";

const PLANS = [
  ["free", "Free", 3n],
  ["team", "Team", 25n],
  ["business", "Business", 500n],
  ["enterprise", "Enterprise", 10_000n],
] as const;
const INTEGRATORS = [
  ["nordlicht", "Nordlicht Systems"],
  ["sunbelt", "Sunbelt Partners"],
  ["kaizen", "Kaizen Integration"],
] as const;
const FIRST = ["Amber", "Birch", "Cobalt", "Delta", "Ember", "Fjord", "Garnet", "Harbor", "Indigo", "Juniper"];
const SECOND = ["Labs", "Foods", "Health", "Logistics", "Media", "Motors", "Retail", "Robotics", "Systems", "Travel"];
const REGIONS = ["eu-central", "eu-north", "us-east", "ap-south"];
const ZONES = ["Europe/Berlin", "Europe/Oslo", "America/New_York", "Asia/Kolkata"];

/** Tenants of the demo: enough for pages, filters and every state. */
const TENANTS = 200;
/** Calls at once: a polite client. */
const CONCURRENCY = 8;

/** Adds the command that fills a server with a realistic platform, the same for the same seed, through the public API. */
export function addDemoCommand(program: Command): void {
  program
    .command("demo")
    .description("Fill the server with three integrators, four plans and 200 tenants with users and a history.")
    .option("--seed <n>", "the same seed makes the same platform", Number, 1)
    .action(async ({ seed }, command: Command) => {
      const { clients } = connect(command);
      await createReferences(clients);
      const bar = new SingleBar({ format: "{bar} {value}/{total} tenants" });
      bar.start(TENANTS, 0);
      let next = 0;
      const worker = async () => {
        while (next < TENANTS) {
          const index = next++;
          await createTenant(clients, index, seeded(seed * 1_000_003 + index));
          bar.increment();
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, worker)).finally(() => bar.stop());
      process.stdout.write("Try: npx tenantplane tenants list --filter 'state = SUSPENDED'\n");
    });
}

async function createReferences(clients: Clients): Promise<void> {
  for (const [planId, displayName, seats] of PLANS) {
    await clients.plans.createPlan({ planId, plan: { displayName, limits: [{ meter: "seats", amount: seats }] } });
  }
  for (const [integratorId, displayName] of INTEGRATORS) {
    await clients.integrators.createIntegrator({ integratorId, integrator: { displayName } });
  }
}

async function createTenant(clients: Clients, index: number, random: () => number): Promise<void> {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const displayName = `${FIRST[index % FIRST.length]} ${SECOND[Math.floor(index / FIRST.length) % SECOND.length]}`;
  const tenantId = `${displayName.toLowerCase().replace(" ", "-")}-${index}`;
  const [integrator] = pick(INTEGRATORS);
  const place = Math.floor(random() * REGIONS.length);
  await clients.tenants.createTenant({
    tenantId,
    tenant: {
      displayName,
      plan: `plans/${pick(PLANS)[0]}`,
      integrator: random() < 0.7 ? `integrators/${integrator}` : "",
      region: REGIONS[place] ?? "",
      timeZone: ZONES[place] ?? "",
      labels: { industry: tenantId.split("-")[1] ?? "", stage: pick(["trial", "live", "churning"]) },
    },
    activate: random() < 0.93,
    adminEmail: `admin@${tenantId}.example`,
  });
  const parent = `tenants/${tenantId}`;
  const roles = ["tenant.editor", "tenant.viewer"];
  for (let i = Math.floor(random() * 4); i > 0; i -= 1) {
    await clients.users.createUser({ parent, user: { email: `user${i}@${tenantId}.example`, role: pick(roles) } });
  }
  await live(clients, parent, random());
}

// What happened to it since: most are active, some are not, and some were and are again.
async function live(clients: Clients, name: string, fate: number): Promise<void> {
  const { tenants } = clients;
  const { tenant } = await tenants.getTenant({ name });
  if (tenant?.epoch === 1n) return;
  const suspension = fate < 0.1 ? Suspension_Reason.BILLING : Suspension_Reason.POLICY;
  if (fate < 0.2) await tenants.suspendTenant({ name, suspension, reason: "two invoices are unpaid" });
  if (fate < 0.06) await tenants.resumeTenant({ name, suspension, reason: "paid" });
  if (fate > 0.92) await tenants.archiveTenant({ name, reason: "contract ended" });
  if (fate > 0.97) await tenants.deleteTenant({ name, reason: "customer asked" });
}

// mulberry32
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
