import type { Position } from "../change/store.ts";
import type { Json, Queryable } from "../platform/postgres.ts";
import type { Attempt, WebhookDelivery } from "./webhook.ts";

/** A delivery as it is made; its owner is the endpoint's, not the event's. */
export interface NewDelivery {
  readonly endpointUid: string;
  readonly tenantUid: string | null;
  readonly integratorUid: string | null;
  readonly eventId: string;
  readonly eventType: string;
  readonly resource: string;
  readonly payload: string;
  readonly eventAt: number;
  readonly dueAt: number;
}

/** Up to where changes have become deliveries; the row stays locked until the transaction ends. */
export async function lockCursor(sql: Queryable): Promise<Position | undefined> {
  const [row] = await sql<{ xid: string; seq: number }[]>`
    select xid::text, seq from webhook_cursor for update skip locked`;
  return row && { xid: BigInt(row.xid), seq: row.seq };
}

/** The newest transaction whose changes have become deliveries. */
export async function selectCursor(sql: Queryable): Promise<bigint> {
  const [row] = await sql<{ xid: string }[]>`select xid::text from webhook_cursor`;
  return BigInt(row?.xid ?? 0);
}

/** Moves the cursor on. */
export async function moveCursor(sql: Queryable, position: Position): Promise<void> {
  await sql`update webhook_cursor set xid = ${String(position.xid)}::xid8, seq = ${position.seq}`;
}

/** Inserts deliveries; those that are there already stay as they are. Answers how many are new. */
export async function insertDeliveries(
  sql: Queryable,
  deliveries: readonly NewDelivery[],
  at: number,
): Promise<number> {
  if (deliveries.length === 0) return 0;
  const time = (instant: number) => new Date(instant).toISOString();
  const rows = deliveries.map((delivery) => ({
    ...delivery,
    eventAt: time(delivery.eventAt),
    dueAt: time(delivery.dueAt),
  }));
  const result = await sql`insert into webhook_delivery (endpoint_uid, event_id, tenant_uid, integrator_uid, event_type,
      resource, payload, state, attempt_count, attempts, next_attempt_at, event_at, created_at)
    select d."endpointUid", d."eventId", d."tenantUid", d."integratorUid", d."eventType", d.resource, d.payload,
      'PENDING', 0, '[]', d."dueAt", d."eventAt", ${at}::timestamptz
    from jsonb_to_recordset(${sql.json(rows as unknown as Json)}) as d ("endpointUid" uuid, "eventId" text,
      "tenantUid" uuid, "integratorUid" uuid, "eventType" text, resource text, payload text, "eventAt" timestamptz, "dueAt" timestamptz)
    on conflict do nothing`;
  return result.count;
}

/** A delivery that one node has taken on, with the number of the attempt that it makes. */
export interface TakenDelivery {
  readonly endpointUid: string;
  readonly eventId: string;
  readonly payload: string;
  readonly attempt: number;
}

/**
 * Takes due deliveries for `holdMs`: a node that dies with them leaves them due again after it. Of each endpoint at most
 * `perEndpoint` at once, so that a slow one does not take every place.
 */
export function takeDue(
  sql: Queryable,
  input: { now: number; holdMs: number; limit: number; perEndpoint: number },
): Promise<TakenDelivery[]> {
  return sql<TakenDelivery[]>`
    with due as (
      select endpoint_uid, event_id, next_attempt_at from webhook_delivery
      where state = 'PENDING' and next_attempt_at <= ${input.now}
      order by next_attempt_at limit ${input.limit} for update skip locked),
    fair as (
      select endpoint_uid, event_id, row_number() over (partition by endpoint_uid order by next_attempt_at) as place
      from due)
    update webhook_delivery w set attempt_count = w.attempt_count + 1, next_attempt_at = ${input.now + input.holdMs}
    from fair where w.endpoint_uid = fair.endpoint_uid and w.event_id = fair.event_id and fair.place <= ${input.perEndpoint}
    returning w.endpoint_uid as "endpointUid", w.event_id as "eventId", w.payload, w.attempt_count as attempt`;
}

/** When the deliveries to a disabled endpoint are due: never, as far as anybody is concerned. */
export const PARKED_AT = Date.UTC(9_999, 0);

/** Sets the time of all waiting deliveries to an endpoint: `PARKED_AT` when it is disabled, now when it is enabled. */
export async function rescheduleDeliveries(sql: Queryable, endpointUid: string, at: number): Promise<void> {
  await sql`update webhook_delivery set next_attempt_at = ${at} where endpoint_uid = ${endpointUid} and state = 'PENDING'`;
}

/** Writes how an attempt ended, unless another one has been made since. */
export async function finishAttempt(
  sql: Queryable,
  taken: Pick<TakenDelivery, "endpointUid" | "eventId" | "attempt">,
  end: { state: WebhookDelivery["state"]; nextAttemptAt: number | null; deliveredAt: number | null; attempt: Attempt },
): Promise<void> {
  await sql`update webhook_delivery set state = ${end.state}, next_attempt_at = ${end.nextAttemptAt},
      delivered_at = ${end.deliveredAt},
      attempts = jsonb_path_query_array(
        jsonb_insert(attempts, '{0}', ${sql.json(end.attempt as unknown as Json)}), '$[0 to 19]')
    where endpoint_uid = ${taken.endpointUid} and event_id = ${taken.eventId} and attempt_count = ${taken.attempt}`;
}

/** Makes a delivery due now, with all its attempts before it. */
export async function replayDeliveryRow(sql: Queryable, endpointUid: string, eventId: string, at: number) {
  await sql`update webhook_delivery set state = 'PENDING', next_attempt_at = ${at}, attempt_count = 0,
    delivered_at = null where endpoint_uid = ${endpointUid} and event_id = ${eventId}`;
}

/** One delivery, or undefined. */
export async function selectDelivery(
  sql: Queryable,
  endpointId: string,
  eventId: string,
): Promise<WebhookDelivery | undefined> {
  const [row] = await sql<WebhookDelivery[]>`select ${columns(sql)}, d.payload, d.attempts
    from webhook_delivery d join webhook_endpoint e on e.uid = d.endpoint_uid
    where e.endpoint_id = ${endpointId} and d.event_id = ${eventId}`;
  return row;
}

/** A page of deliveries without their payloads, newest first. */
export function selectDeliveries(
  sql: Queryable,
  query: {
    endpointUid: string;
    state: WebhookDelivery["state"] | undefined;
    before: { createdAt: number; eventId: string } | undefined;
    limit: number;
  },
): Promise<(WebhookDelivery & { createdAt: number })[]> {
  const { before } = query;
  return sql<(WebhookDelivery & { createdAt: number })[]>`
    select ${columns(sql)}, '' as payload, '[]'::jsonb as attempts, d.created_at as "createdAt"
    from webhook_delivery d join webhook_endpoint e on e.uid = d.endpoint_uid
    where d.endpoint_uid = ${query.endpointUid} ${query.state ? sql`and d.state = ${query.state}` : sql``}
      ${before ? sql`and (d.created_at, d.event_id) < (${before.createdAt}::timestamptz, ${before.eventId})` : sql``}
    order by d.created_at desc, d.event_id desc limit ${query.limit}`;
}

/** Forgets deliveries that ended before an instant, and gives up those that have waited since before it. */
export async function deleteEndedDeliveries(sql: Queryable, before: number): Promise<void> {
  await sql`delete from webhook_delivery where created_at < ${before}`;
}

function columns(sql: Queryable) {
  return sql`e.endpoint_id as "endpointId", d.event_id as "eventId", d.event_type as "eventType", d.resource, d.state,
    d.attempt_count as "attemptCount", d.next_attempt_at as "nextAttemptAt", d.event_at as "eventAt",
    d.delivered_at as "deliveredAt"`;
}
