import type { Queryable } from "../platform/postgres.ts";
import type { DisableReason, SealedSecrets, WebhookEndpoint } from "./webhook.ts";

/** One endpoint by its id, or undefined. */
export async function selectEndpoint(sql: Queryable, endpointId: string): Promise<WebhookEndpoint | undefined> {
  const [row] = await sql<
    WebhookEndpoint[]
  >`select ${columns(sql)} from webhook_endpoint where endpoint_id = ${endpointId}`;
  return row;
}

/** A page of endpoints, by id. */
export function selectEndpoints(sql: Queryable, afterId: string, limit: number): Promise<WebhookEndpoint[]> {
  return sql<WebhookEndpoint[]>`select ${columns(sql)} from webhook_endpoint
    where endpoint_id > ${afterId} order by endpoint_id limit ${limit}`;
}

/**
 * Every endpoint that may want events of these tenants, integrators or the platform; disabled ones too: events wait for
 * them. They stay as they are until the transaction ends, so that one that is enabled meanwhile finds its events.
 */
export function selectListeners(
  sql: Queryable,
  tenantUids: readonly string[],
  integratorUids: readonly string[],
): Promise<Listener[]> {
  return sql`select uid, scope, tenant_uid as "tenantUid", integrator_uid as "integratorUid",
      event_types as "eventTypes", disable_reason as "disableReason", created_at as "createdAt"
    from webhook_endpoint
    where scope = 'platform' or tenant_uid = any(${[...tenantUids]}::uuid[])
      or (tenant_uid is null and integrator_uid = any(${[...integratorUids]}::uuid[]))
    for share`;
}

export type Listener = Pick<
  WebhookEndpoint,
  "uid" | "scope" | "tenantUid" | "integratorUid" | "eventTypes" | "disableReason" | "createdAt"
>;

/** Whether there is any endpoint. */
export async function hasEndpoints(sql: Queryable): Promise<boolean> {
  const [row] = await sql<{ found: boolean }[]>`select exists (select from webhook_endpoint) as found`;
  return row?.found ?? false;
}

/** How many endpoints a scope has. */
export async function countEndpoints(sql: Queryable, scope: string): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from webhook_endpoint where scope = ${scope}`;
  return row?.n ?? 0;
}

/** Inserts an endpoint. */
export async function insertEndpoint(sql: Queryable, endpoint: WebhookEndpoint, secret: string): Promise<void> {
  await sql`insert into webhook_endpoint (uid, endpoint_id, url, scope, tenant_uid, integrator_uid, event_types,
      description, disable_reason, signing, public_key, secret, revision, created_at, updated_at)
    values (${endpoint.uid}, ${endpoint.endpointId}, ${endpoint.url}, ${endpoint.scope}, ${endpoint.tenantUid},
      ${endpoint.integratorUid}, ${[...endpoint.eventTypes]}, ${endpoint.description}, ${endpoint.disableReason},
      ${endpoint.signing}, ${endpoint.publicKey}, ${secret}, ${endpoint.revision}, ${endpoint.createdAt},
      ${endpoint.updatedAt})`;
}

/** Writes what can change of an endpoint; enabling it forgets its failures. */
export async function updateEndpointRow(sql: Queryable, endpoint: WebhookEndpoint): Promise<void> {
  await sql`update webhook_endpoint set url = ${endpoint.url}, event_types = ${[...endpoint.eventTypes]},
    description = ${endpoint.description}, disable_reason = ${endpoint.disableReason},
    failing_since_at = ${endpoint.failingSinceAt}, revision = ${endpoint.revision}, updated_at = ${endpoint.updatedAt}
    where uid = ${endpoint.uid}`;
}

/** Gives an endpoint a new secret; the one in force signs on until `previousExpiresAt`. */
export async function rotateEndpointSecret(sql: Queryable, endpoint: WebhookEndpoint, secret: string): Promise<void> {
  await sql`update webhook_endpoint set previous_secret = secret, previous_expires_at = ${endpoint.previousExpiresAt},
    secret = ${secret}, public_key = ${endpoint.publicKey}, revision = ${endpoint.revision},
    updated_at = ${endpoint.updatedAt} where uid = ${endpoint.uid}`;
}

/** Removes an endpoint with its deliveries. */
export async function deleteEndpointRow(sql: Queryable, uid: string): Promise<void> {
  await sql`delete from webhook_endpoint where uid = ${uid}`;
}

/** Takes note of how an endpoint answered; none of it is a write of anybody's, so the revision stays. */
export async function noteOutcome(sql: Queryable, uid: string, at: number, delivered: boolean): Promise<void> {
  await sql`update webhook_endpoint set
    last_success_at = case when ${delivered} then greatest(last_success_at, ${at}) else last_success_at end,
    failing_since_at = case when ${delivered} then null else coalesce(failing_since_at, ${at}) end
    where uid = ${uid}`;
}

/** What a delivery is sent with. */
export interface Sender extends SealedSecrets {
  readonly uid: string;
  readonly endpointId: string;
  readonly url: string;
  readonly signing: WebhookEndpoint["signing"];
  readonly previousExpiresAt: number | null;
  readonly failingSinceAt: number | null;
  readonly disableReason: DisableReason | null;
}

/** The senders of some endpoints. */
export function selectSenders(sql: Queryable, uids: readonly string[]): Promise<Sender[]> {
  return sql<Sender[]>`select uid, endpoint_id as "endpointId", url, signing, secret,
      previous_secret as "previousSecret", previous_expires_at as "previousExpiresAt",
      failing_since_at as "failingSinceAt", disable_reason as "disableReason"
    from webhook_endpoint where uid = any(${[...uids]}::uuid[])`;
}

function columns(sql: Queryable) {
  return sql`uid, endpoint_id as "endpointId", url, scope, tenant_uid as "tenantUid",
    integrator_uid as "integratorUid", event_types as "eventTypes", description, disable_reason as "disableReason",
    signing, public_key as "publicKey", previous_expires_at as "previousExpiresAt",
    last_success_at as "lastSuccessAt", failing_since_at as "failingSinceAt", revision, created_at as "createdAt",
    updated_at as "updatedAt"`;
}
