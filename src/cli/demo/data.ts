import type { MessageInitShape } from "@bufbuild/protobuf";
import { Suspension_Reason as For, Meter_Kind as Kind, type LimitSchema, Limit_Mode as Mode } from "@tenantplane/sdk";

type LimitInit = MessageInitShape<typeof LimitSchema>;

/** What the platform counts, beside the seats that the server counts itself. */
export const METERS = [
  { id: "api.calls", displayName: "API calls", kind: Kind.RATE, unit: "call" },
  { id: "messages", displayName: "Messages", kind: Kind.PERIOD, unit: "message" },
  { id: "storage.bytes", displayName: "Storage", kind: Kind.GAUGE, unit: "By" },
  { id: "exports", displayName: "Running exports", kind: Kind.CONCURRENCY, unit: "export" },
] as const;

const GIB = 2n ** 30n;
const seats = (amount: bigint): LimitInit => ({ meter: "seats", amount });
const calls = (amount: bigint): LimitInit => {
  const value = { window: { seconds: 1n, nanos: 0 }, burst: 5n * amount };
  return { meter: "api.calls", amount, rule: { case: "rate", value } };
};
const messages = (amount: bigint, more: LimitInit = {}, rolloverMax = 0n): LimitInit => {
  const value = { duration: "P1M", rolloverMax };
  return { meter: "messages", amount, warningPercents: [80, 95], rule: { case: "period", value }, ...more };
};
const storage = (gib: bigint): LimitInit => ({ meter: "storage.bytes", amount: gib * GIB, warningPercents: [90] });
const exports = (amount: bigint): LimitInit => {
  const value = { slotTtl: { seconds: 600n, nanos: 0 } };
  return { meter: "exports", amount, rule: { case: "concurrency", value } };
};
const overage = (overageCap: bigint) => ({ mode: Mode.OVERAGE, overageCap });

/** Plans, cheapest first, with how many of 100 tenants have them. */
export const PLANS = [
  {
    ...{ id: "free", displayName: "Free", share: 35, sso: false, support: "community" },
    limits: [seats(5n), calls(2n), messages(1_000n), storage(1n), exports(1n)],
  },
  {
    ...{ id: "team", displayName: "Team", share: 35, sso: false, support: "email" },
    limits: [seats(25n), calls(20n), messages(50_000n, {}, 10_000n), storage(50n), exports(2n)],
  },
  {
    ...{ id: "business", displayName: "Business", share: 22, sso: true, support: "phone" },
    limits: [seats(250n), calls(200n), messages(2_000_000n, overage(200_000n)), storage(1_000n), exports(10n)],
  },
  {
    ...{ id: "enterprise", displayName: "Enterprise", share: 8, sso: true, support: "24/7" },
    limits: [seats(10_000n), calls(2_000n), messages(100_000_000n, { mode: Mode.SOFT }), storage(50_000n)],
  },
] as const;

/** What all tenants of a partner may use together. */
export const PARTNER_LIMITS = [seats(2_000n), messages(250_000_000n)];
/** An exception that some tenants were granted, and a pack that others bought. */
export const EXCEPTION = { limit: messages(75_000n), reason: "migration of old messages, agreed with sales" };
export const PACK = { limitId: "messages", amount: 25_000n, reason: "message pack, order 4711" };

/** Partners, with how many of 100 tenants they administer; the platform itself has the rest. */
export const INTEGRATORS = [
  { id: "nordlicht", displayName: "Nordlicht Systems", share: 30 },
  { id: "sunbelt", displayName: "Sunbelt Partners", share: 25 },
  { id: "kaizen", displayName: "Kaizen Integration", share: 15 },
  { id: "", displayName: "", share: 30 },
] as const;

/** Regions, with the time zone that most of their tenants keep. */
export const REGIONS = [
  { id: "eu-central", timeZone: "Europe/Berlin", share: 35 },
  { id: "eu-north", timeZone: "Europe/Oslo", share: 15 },
  { id: "us-east", timeZone: "America/New_York", share: 35 },
  { id: "ap-south", timeZone: "Asia/Kolkata", share: 15 },
] as const;

/** The two words of a company's name: 400 of them. */
export const FIRST_WORDS = (
  "Amber Birch Cobalt Delta Ember Fjord Garnet Harbor Indigo Juniper " +
  "Kestrel Lumen Maple Nimbus Onyx Pine Quartz Ridge Sable Tundra"
).split(" ");
export const SECOND_WORDS = (
  "Labs Foods Health Logistics Media Motors Retail Robotics Systems Travel " +
  "Energy Finance Games Insurance Legal Mobility Pharma Schools Studios Textiles"
).split(" ");

/** Names of people. */
export const GIVEN_NAMES = "Aisha Ben Chloe Daniel Emre Fatima Greta Hiro Ines Jonas Kavya Liam Mona Noah Olga".split(
  " ",
);
export const FAMILY_NAMES = "Adeyemi Berg Costa Dubois Eriksen Fischer Gupta Haddad Ito Jensen Kowalski Lopez".split(
  " ",
);

/** A step of a tenant's life: an RPC of TenantService with what it asks for. */
export interface Step {
  readonly method:
    | "suspendTenant"
    | "resumeTenant"
    | "archiveTenant"
    | "unarchiveTenant"
    | "deleteTenant"
    | "undeleteTenant"
    | "placeLegalHold";
  readonly suspension?: For;
  readonly holdId?: string;
  readonly reason: string;
}

const unpaid: Step = { method: "suspendTenant", suspension: For.BILLING, reason: "two invoices are unpaid" };
const paid: Step = { method: "resumeTenant", suspension: For.BILLING, reason: "paid in full" };
const spam: Step = { method: "suspendTenant", suspension: For.POLICY, reason: "sent spam in spite of two warnings" };
const breach: Step = { method: "suspendTenant", suspension: For.SECURITY, reason: "keys found in a public repository" };
const secured: Step = { method: "resumeTenant", suspension: For.SECURITY, reason: "keys rotated" };
const moving: Step = { method: "suspendTenant", suspension: For.MAINTENANCE, reason: "moves to another region" };
const moved: Step = { method: "resumeTenant", suspension: For.MAINTENANCE, reason: "move is done" };
const season: Step = { method: "suspendTenant", suspension: For.CUSTOMER, reason: "closed until the season begins" };
const ended: Step = { method: "archiveTenant", reason: "contract ended" };
const renewed: Step = { method: "unarchiveTenant", reason: "contract renewed" };
const closed: Step = { method: "deleteTenant", reason: "customer closed the account" };
const regretted: Step = { method: "undeleteTenant", reason: "customer changed their mind" };
const held: Step = { method: "placeLegalHold", holdId: "case-2231", reason: "litigation" };

/** What happens to tenants once they are active, with how many of 100 it happens to. */
export const STORIES: readonly { readonly share: number; readonly steps: readonly Step[] }[] = [
  { share: 56, steps: [] },
  { share: 9, steps: [unpaid, paid] },
  { share: 5, steps: [unpaid] },
  { share: 3, steps: [spam] },
  { share: 2, steps: [unpaid, breach] },
  { share: 2, steps: [breach, secured, unpaid, paid] },
  { share: 4, steps: [moving, moved] },
  { share: 2, steps: [season] },
  { share: 5, steps: [ended] },
  { share: 2, steps: [unpaid, ended] },
  { share: 2, steps: [ended, renewed] },
  { share: 4, steps: [closed] },
  { share: 2, steps: [closed, regretted] },
  { share: 2, steps: [held] },
];
