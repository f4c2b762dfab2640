import { cutPage, decodePageToken, encodePageToken, pageSize } from "../aip/page.ts";
import { type Ctx, rowScope } from "../context.ts";
import { DomainError, notFound } from "../errors.ts";
import { remainingMs } from "../mutation.ts";
import { type Queryable, readAs, type Tx } from "../platform/postgres.ts";
import { insertDeliveries, replayDeliveryRow, selectDeliveries, selectDelivery } from "./delivery-store.ts";
import { payloadOf } from "./event.ts";
import { endpointNoun, requireEndpoint, type WebhookDeps, writeEndpoint } from "./service.ts";
import { endpointName, type WebhookDelivery } from "./webhook.ts";

/** Sends an endpoint a ping. Throws RESOURCE_NOT_FOUND. */
export async function pingEndpoint(deps: WebhookDeps, ctx: Ctx, endpointId: string): Promise<WebhookDelivery> {
  const eventId = `evt_ping_${deps.ids.uuid()}`;
  const { value } = await writeEndpoint(deps, ctx, endpointId, "", async (endpoint, { tx, now, record }) => {
    const { uid: endpointUid, tenantUid, integratorUid } = endpoint;
    const resource = endpointName(endpointId);
    const event = { eventId, type: "webhook.ping", resource, tenantUid, integratorUid, at: now, data: { resource } };
    const payload = payloadOf(event);
    const delivery = { ...event, endpointUid, eventType: event.type, payload, eventAt: now, dueAt: now };
    await insertDeliveries(tx, [delivery], now);
    record({ ...endpointNoun(endpoint), before: endpoint, after: endpoint });
    return requireDelivery(tx, endpointId, eventId);
  });
  if (!ctx.validateOnly) deps.wakeDeliveries();
  return value;
}

/** Reads a delivery. Throws RESOURCE_NOT_FOUND. */
export function getDelivery(
  deps: WebhookDeps,
  ctx: Ctx,
  endpointId: string,
  eventId: string,
): Promise<WebhookDelivery> {
  return read(deps, ctx, (tx) => requireDelivery(tx, endpointId, eventId));
}

/** Lists the deliveries to an endpoint, newest first. Throws RESOURCE_NOT_FOUND and PAGE_TOKEN_INVALID. */
export async function listDeliveries(
  deps: WebhookDeps,
  ctx: Ctx,
  input: { endpointId: string; state: WebhookDelivery["state"] | undefined; pageSize: number; pageToken: string },
) {
  const size = pageSize(input.pageSize);
  const query = [ctx.method, input.endpointId, input.state ?? null];
  const position = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now());
  const before = position && { createdAt: Number(position[0]), eventId: String(position[1]) };
  const rows = await read(deps, ctx, async (tx) => {
    const endpoint = await requireEndpoint(tx, input.endpointId);
    return selectDeliveries(tx, { endpointUid: endpoint.uid, state: input.state, before, limit: size + 1 });
  });
  return cutPage(rows, size, (last) =>
    encodePageToken(deps.seal, query, [last.createdAt, last.eventId], deps.clock.now()),
  );
}

/** Sends a delivery again, under the same id. Throws RESOURCE_NOT_FOUND, and ENDPOINT_DISABLED. */
export async function replayDelivery(
  deps: WebhookDeps,
  ctx: Ctx,
  endpointId: string,
  eventId: string,
): Promise<WebhookDelivery> {
  const { value } = await writeEndpoint(deps, ctx, endpointId, "", async (endpoint, { tx, now, record }) => {
    const before = await requireDelivery(tx, endpointId, eventId);
    if (endpoint.disableReason !== null) {
      const message = `${endpointName(endpointId)} is disabled: enable it first`;
      throw new DomainError("ENDPOINT_DISABLED", message, { resource: endpointName(endpointId) });
    }
    await replayDeliveryRow(tx, endpoint.uid, eventId, now);
    const resource = `${endpointName(endpointId)}/deliveries/${eventId}`;
    const view = (delivery: WebhookDelivery) => ({ name: resource, state: delivery.state });
    const after = await requireDelivery(tx, endpointId, eventId);
    record({ ...endpointNoun(endpoint), resource, auditView: view, before, after });
    return after;
  });
  if (!ctx.validateOnly) deps.wakeDeliveries();
  return value;
}

function read<T>(deps: WebhookDeps, ctx: Ctx, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), fn);
}

async function requireDelivery(sql: Queryable, endpointId: string, eventId: string): Promise<WebhookDelivery> {
  const delivery = await selectDelivery(sql, endpointId, eventId);
  if (!delivery) throw notFound("WebhookDelivery", `${endpointName(endpointId)}/deliveries/${eventId}`);
  return delivery;
}
