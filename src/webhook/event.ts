import type { ChangeRow } from "../change/store.ts";
import type { Tenant } from "../tenant/tenant.ts";

/** Something that happened, as receivers are told of it. */
export interface WebhookEvent {
  /** One for each change, and the same however often it is worked out. */
  readonly eventId: string;
  /** "<noun>.<what happened>", both in snake_case, such as "tenant.suspended" or "quota_override.created". */
  readonly type: string;
  readonly resource: string;
  readonly tenantUid: string | null;
  readonly integratorUid: string | null;
  readonly at: number;
  /** Names what has changed; what it is now is read by whoever may. No secret is ever in it. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** An event that a domain tells of by itself, rather than of a resource: the `after` of a change of noun "event". */
export interface ToldEvent {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The event of a change; undefined when nobody outside is concerned. `database` keeps ids of several databases apart. */
export function eventOf(database: string, change: ChangeRow): WebhookEvent | undefined {
  const { resource, tenantUid, integratorUid, at } = change;
  const told = describe(change);
  if (!told) return undefined;
  const eventId = `evt_${database}_${change.xid.toString(36)}_${change.seq.toString(36)}`;
  return { eventId, type: told.type, resource, tenantUid, integratorUid, at, data: { resource, ...told.data } };
}

/** The body of an event, as Standard Webhooks has it. */
export function payloadOf(event: WebhookEvent): string {
  return JSON.stringify({ type: event.type, timestamp: new Date(event.at).toISOString(), data: event.data });
}

function describe(change: ChangeRow): ToldEvent | undefined {
  if (change.noun === "event") return change.after as ToldEvent;
  if (change.noun === "tenant") return describeTenant(change.before as Tenant | null, change.after as Tenant | null);
  const noun = change.noun.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const [before, after] = [change.before as Fields | null, change.after as Fields | null];
  if (!before) return { type: `${noun}.created`, data: {} };
  if (!after) return { type: `${noun}.deleted`, data: {} };
  return { type: `${noun}.updated`, data: { changed_fields: changedFields(before, after) } };
}

type Fields = Readonly<Record<string, unknown>>;

function describeTenant(before: Tenant | null, after: Tenant | null): ToldEvent | undefined {
  const tenant = after ?? before;
  if (!tenant) return undefined;
  const data = {
    uid: tenant.uid,
    display_name: tenant.displayName,
    plan: `plans/${tenant.planId}`,
    integrator: tenant.integratorId === null ? null : `integrators/${tenant.integratorId}`,
    state: tenant.state,
    previous_state: before && after ? before.state : null,
    suspension_reasons: tenant.suspensions.map(({ reason }) => reason),
    epoch: tenant.epoch,
    purge_time: tenant.purgeAt === null ? null : new Date(tenant.purgeAt).toISOString(),
  };
  if (!before) return { type: "tenant.created", data };
  if (!after) return { type: "tenant.purged", data };
  const type = transitionType(before, after);
  return type === "tenant.updated"
    ? { type, data: { ...data, changed_fields: changedFields(fieldsOf(before), fieldsOf(after)) } }
    : { type, data };
}

function fieldsOf(tenant: Tenant): Fields {
  return { ...tenant };
}

function transitionType(before: Tenant, after: Tenant): string {
  if (before.epoch === after.epoch) return "tenant.updated";
  if (after.state === "DELETED") return "tenant.deleted";
  if (before.state === "DELETED") return "tenant.undeleted";
  if (after.state === "ARCHIVED") return "tenant.archived";
  if (before.state === "ARCHIVED") return "tenant.unarchived";
  if (before.state === "CREATED") return "tenant.activated";
  // One of several suspensions may be lifted while others stand.
  return after.suspensions.length < before.suspensions.length ? "tenant.resumed" : "tenant.suspended";
}

function changedFields(before: Fields, after: Fields): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names]
    .filter((name) => !BOOKKEEPING.has(name) && JSON.stringify(before[name]) !== JSON.stringify(after[name]))
    .map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
    .sort();
}

/** Fields that every write changes. */
const BOOKKEEPING = new Set(["revision", "updatedAt", "epoch"]);
