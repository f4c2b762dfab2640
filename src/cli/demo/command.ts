import { createHash } from "node:crypto";
import { ConnectError } from "@connectrpc/connect";
import { type Clients, reasonOf } from "@tenantplane/sdk";
import { SingleBar } from "cli-progress";
import type { Command } from "commander";
import { online, type Session } from "../client.ts";
import { wholeNumber } from "../options.ts";
import { note } from "../output.ts";
import {
  EXCEPTION,
  FAMILY_NAMES,
  FIRST_WORDS,
  GIVEN_NAMES,
  INTEGRATORS,
  METERS,
  PACK,
  PARTNER_LIMITS,
  PLANS,
  REGIONS,
  SECOND_WORDS,
  STORIES,
  type Step,
} from "./data.ts";

/** Tenants of the demo: enough for pages, filters and every state. */
const TENANTS = 200;
/** Calls at once: a polite client. */
const CONCURRENCY = 8;

/** Adds the command that fills a server with a realistic platform, the same for the same seed, through the public API. */
export function addDemoCommand(program: Command): void {
  program
    .command("demo")
    .description("Fill the server with three integrators, four plans and 200 tenants with users and a history.")
    .option("--seed <n>", "the same seed makes the same platform", wholeNumber(0, 2_147_483_647), 1)
    .action(online(demo));
}

async function demo({ clients }: Session, { seed }: { seed: number }): Promise<void> {
  await createReferences(clients);
  const bar = process.stderr.isTTY ? new SingleBar({ format: "{bar} {value}/{total} tenants" }) : undefined;
  bar?.start(TENANTS, 0);
  let next = 0;
  let created = 0;
  const worker = async () => {
    while (next < TENANTS) {
      if (await createTenant(clients, seed, next++)) created += 1;
      bar?.increment();
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker)).finally(() => bar?.stop());
  note(`${created} tenants created. Try: npx tenantplane tenants list --filter 'state = SUSPENDED'`);
}

async function createReferences(clients: Clients): Promise<void> {
  for (const { id: meterId, ...meter } of METERS) await unlessThere(clients.quotas.createMeter({ meterId, meter }));
  for (const { id: planId, displayName, limits: planned, sso, support } of PLANS) {
    const limits = [...planned];
    const entitlements = { sso: bool(sso), audit_export: bool(sso) };
    const settings = { support: text(support) };
    await unlessThere(clients.plans.createPlan({ planId, plan: { displayName, limits, entitlements, settings } }));
  }
  for (const { id: integratorId, displayName } of INTEGRATORS) {
    if (integratorId === "") continue;
    const integrator = { displayName, limits: PARTNER_LIMITS };
    await unlessThere(clients.integrators.createIntegrator({ integratorId, integrator }));
  }
}

// False when there is a tenant of this name that is none of this demo.
async function createTenant(clients: Clients, seed: number, index: number): Promise<boolean> {
  const random = seeded(seed * 1_000_003 + index);
  // Steps of 37 through the 400 names meet each once; the seed says where to begin.
  const place = (seed * 101 + index * 37) % (FIRST_WORDS.length * SECOND_WORDS.length);
  const first = FIRST_WORDS[place % FIRST_WORDS.length] ?? "";
  const second = SECOND_WORDS[Math.floor(place / FIRST_WORDS.length)] ?? "";
  const tenantId = `${first}-${second}`.toLowerCase();
  const region = choose(REGIONS, random());
  const integrator = choose(INTEGRATORS, random()).id;
  const activate = random() < ACTIVATED;
  const tenant = {
    displayName: `${first} ${second}`,
    plan: `plans/${choose(PLANS, random()).id}`,
    integrator: integrator && `integrators/${integrator}`,
    region: region.id,
    timeZone: region.timeZone,
    labels: { industry: second.toLowerCase(), stage: pick(["trial", "live", "live", "churning"], random()) },
    settings: { theme: text(pick(["light", "dark"], random())), beta: bool(random() < 0.2) },
  };
  // Request ids made of the seed: a demo that was cut off goes on where it ended, and nothing is done twice.
  const requestId = (step: string) => uuidOf(`demo ${seed} ${tenantId} ${step}`);
  const adminEmail = `${emailOf(random)}@${tenantId}.example`;
  const request = { tenantId, tenant, activate, adminEmail, requestId: requestId("create") };
  if (!(await unlessThere(clients.tenants.createTenant(request)))) return false;
  await createUsers(clients, tenantId, { random, requestId, taken: new Set([adminEmail]) });
  await createExtras(clients, tenantId, random, requestId);
  const story = choose(STORIES, random());
  if (activate) for (const [at, step] of story.steps.entries()) await take(clients, tenantId, step, requestId(`${at}`));
  return true;
}

/** The others are still being set up. */
const ACTIVATED = 0.94;

async function createUsers(
  clients: Clients,
  tenantId: string,
  { random, requestId, taken }: { random: () => number; requestId: (step: string) => string; taken: Set<string> },
) {
  const parent = `tenants/${tenantId}`;
  for (let count = Math.floor(random() * 5); count > 0; count -= 1) {
    const role = pick(["tenant.editor", "tenant.viewer", "tenant.viewer"], random());
    const disabled = random() < 0.08;
    const email = `${emailOf(random)}@${tenantId}.example`;
    // Two people of one name: the second one is left out, here rather than by the server, which keeps no refusals.
    if (taken.has(email)) continue;
    taken.add(email);
    await clients.users.createUser({ parent, user: { email, role, disabled }, requestId: requestId(`user ${count}`) });
  }
}

/** Tenants in 100 with an override, and with a grant. */
const EXCEPTIONS = 5;
const PACKS = 10;

async function createExtras(clients: Clients, tenantId: string, random: () => number, id: (step: string) => string) {
  const parent = `tenants/${tenantId}`;
  if (random() * 100 < EXCEPTIONS) {
    await clients.quotas.createQuotaOverride({ parent, quotaOverride: EXCEPTION, requestId: id("override") });
  }
  if (random() * 100 < PACKS) {
    await clients.quotas.createQuotaGrant({ parent, quotaGrant: PACK, requestId: id("grant") });
  }
}

async function take({ tenants }: Clients, tenantId: string, step: Step, requestId: string): Promise<void> {
  const { method, ...request } = step;
  await tenants[method]({ name: `tenants/${tenantId}`, requestId, ...request });
}

async function unlessThere(call: Promise<unknown>): Promise<boolean> {
  return call.then(
    () => true,
    (error: unknown) => {
      if (error instanceof ConnectError && reasonOf(error) === "RESOURCE_EXISTS") return false;
      throw error;
    },
  );
}

function emailOf(random: () => number): string {
  return `${pick(GIVEN_NAMES, random())}.${pick(FAMILY_NAMES, random())}`.toLowerCase();
}

function bool(value: boolean) {
  return { value: { case: "boolValue" as const, value } };
}

function text(value: string) {
  return { value: { case: "stringValue" as const, value } };
}

function pick<T>(items: readonly T[], chance: number): T {
  const item = items[Math.floor(chance * items.length)];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}

// One of the items, each as often as its share of 100 says.
function choose<T extends { readonly share: number }>(items: readonly T[], chance: number): T {
  let left = chance * 100;
  const found = items.find(({ share }) => {
    left -= share;
    return left < 0;
  });
  return found ?? pick(items, 0);
}

function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
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
