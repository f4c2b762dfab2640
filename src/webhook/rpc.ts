import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type WebhookEndpoint as ProtoEndpoint,
  WebhookDelivery_State,
  type WebhookDeliverySchema,
  WebhookEndpoint_DisableReason,
  WebhookEndpoint_Signing,
  type WebhookEndpointSchema,
  WebhookService,
} from "@tenantplane/sdk/gen/tenantplane/v1/webhook_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkText, etagOf, parseId, parseName } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import { urlProblem } from "../platform/safe-request.ts";
import { durationMs, optionalTimestamp, toDuration, toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { resolveScope, type ScopeDeps } from "../server/scope.ts";
import { getDelivery, listDeliveries, pingEndpoint, replayDelivery } from "./delivery-service.ts";
import { PARKED_AT } from "./delivery-store.ts";
import {
  createEndpoint,
  deleteEndpoint,
  type EndpointInput,
  getEndpoint,
  listEndpoints,
  rotateSecret,
  updateEndpoint,
  type WebhookDeps,
} from "./service.ts";
import { endpointName, type Signing, type WebhookDelivery, type WebhookEndpoint } from "./webhook.ts";

export interface WebhookRpcDeps extends WebhookDeps, ScopeDeps {
  /** For development: endpoints on this machine and in private networks, and clear text. */
  readonly allowPrivate: boolean;
}

/** The handlers of WebhookService. */
export function webhookRpc(deps: WebhookRpcDeps): Mount {
  const id = (name: string, field = "name") => parseId(name, "webhookEndpoints", field);
  const ids = (name: string) => {
    const [endpointId = "", eventId = ""] = parseName(name, ["webhookEndpoints", "deliveries"], "name");
    return [endpointId, eventId] as const;
  };
  return mount(WebhookService, {
    createWebhookEndpoint: async ({ webhookEndpoint }, ctx) => {
      if (!webhookEndpoint) throw invalidField("webhook_endpoint", "must be set");
      const problems = new Problems();
      const input = parseEndpoint(problems, webhookEndpoint, deps.allowPrivate);
      const signing = SIGNINGS[webhookEndpoint.signing];
      if (!signing) problems.add("webhook_endpoint.signing", "is none that this server knows");
      problems.throwIfAny();
      const permission = "webhookEndpoints.create";
      const asked = { name: webhookEndpoint.scope, field: "webhook_endpoint.scope", permission };
      const scope = await resolveScope(deps, ctx.principal, asked);
      const made = await createEndpoint(deps, ctx, { ...input, ...scope, signing: signing ?? "HMAC_SHA256" });
      return { webhookEndpoint: toEndpoint(made.endpoint), secret: made.secret };
    },
    getWebhookEndpoint: async ({ name }, ctx) => ({
      webhookEndpoint: toEndpoint(await getEndpoint(deps, ctx, id(name))),
    }),
    listWebhookEndpoints: async (request, ctx) => {
      const { items, token } = await listEndpoints(deps, ctx, request);
      return { webhookEndpoints: items.map(toEndpoint), nextPageToken: token };
    },
    updateWebhookEndpoint: async ({ webhookEndpoint, updateMask }, ctx) => {
      if (!webhookEndpoint) throw invalidField("webhook_endpoint", "must be set");
      const patch = patchOf(webhookEndpoint, updateMask?.paths, deps.allowPrivate);
      const endpointId = id(webhookEndpoint.name, "webhook_endpoint.name");
      const input = { endpointId, etag: webhookEndpoint.etag, patch };
      return { webhookEndpoint: toEndpoint(await updateEndpoint(deps, ctx, input)) };
    },
    deleteWebhookEndpoint: async ({ name, etag, allowMissing }, ctx) => {
      await deleteEndpoint(deps, ctx, { endpointId: id(name), etag, allowMissing });
      return {};
    },
    rotateWebhookSecret: async ({ name, etag, overlap }, ctx) => {
      const problems = new Problems();
      const overlapMs = durationMs(problems, "overlap", overlap, OVERLAP_MS);
      problems.throwIfAny();
      const made = await rotateSecret(deps, ctx, { endpointId: id(name), etag, overlapMs });
      return { webhookEndpoint: toEndpoint(made.endpoint), secret: made.secret };
    },
    pingWebhookEndpoint: async ({ name }, ctx) => ({
      delivery: toDelivery(await pingEndpoint(deps, ctx, id(name))),
    }),
    getWebhookDelivery: async ({ name }, ctx) => ({
      delivery: toDelivery(await getDelivery(deps, ctx, ...ids(name))),
    }),
    listWebhookDeliveries: async ({ parent, state, ...page }, ctx) => {
      const query = { endpointId: id(parent, "parent"), state: STATES[state], ...page };
      const { items, token } = await listDeliveries(deps, ctx, query);
      return { deliveries: items.map(toDelivery), nextPageToken: token };
    },
    replayWebhookDelivery: async ({ name }, ctx) => ({
      delivery: toDelivery(await replayDelivery(deps, ctx, ...ids(name))),
    }),
  });
}

const DAY_MS = 86_400_000;
/** A day is enough to roll a secret out; a month for those who do it by hand. */
const OVERLAP_MS = { fallback: DAY_MS, min: 0, max: 30 * DAY_MS };
/** There are not many more types of events. */
const EVENT_TYPES_MAX = 50;
const SIGNINGS: Readonly<Record<number, Signing>> = { 0: "HMAC_SHA256", 1: "HMAC_SHA256", 2: "ED25519" };
const STATES: Readonly<Record<number, WebhookDelivery["state"]>> = { 1: "PENDING", 2: "DELIVERED", 3: "FAILED" };

function parseEndpoint(problems: Problems, endpoint: ProtoEndpoint, allowPrivate: boolean): EndpointInput {
  const { url, eventTypes, description, disabled } = endpoint;
  const problem = urlProblem(url, allowPrivate);
  if (problem) problems.add("webhook_endpoint.url", problem);
  checkText(problems, "webhook_endpoint.description", description, 0, 200);
  if (eventTypes.length > EVENT_TYPES_MAX) {
    problems.add("webhook_endpoint.event_types", `must have at most ${EVENT_TYPES_MAX} entries`);
  }
  for (const [index, type] of eventTypes.slice(0, EVENT_TYPES_MAX).entries()) {
    if (type.length <= 64 && /^[a-z][a-z_]*\.([a-z][a-z_]*|\*)$/.test(type)) continue;
    problems.add(`webhook_endpoint.event_types[${index}]`, "must be a type such as tenant.suspended, or tenant.*");
  }
  return { url, eventTypes, description, disabled };
}

const FIELDS = {
  url: "writable",
  event_types: "writable",
  description: "writable",
  disabled: "writable",
  scope: "immutable",
  signing: "immutable",
  name: "output",
  disable_reason: "output",
  public_key: "output",
  previous_expire_time: "output",
  last_success_time: "output",
  failing_since_time: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;

function patchOf(endpoint: ProtoEndpoint, mask: readonly string[] | undefined, allowPrivate: boolean) {
  const populated = [
    ...(endpoint.url ? ["url"] : []),
    ...(endpoint.eventTypes.length > 0 ? ["event_types"] : []),
    ...(endpoint.description ? ["description"] : []),
    ...(endpoint.disabled ? ["disabled"] : []),
  ];
  const problems = new Problems();
  const { url, eventTypes, description, disabled } = parseEndpoint(problems, endpoint, allowPrivate);
  const fields = checkedFields(maskedFields(mask, populated, FIELDS), problems);
  return {
    ...(fields.has("url") ? { url } : {}),
    ...(fields.has("event_types") ? { eventTypes } : {}),
    ...(fields.has("description") ? { description } : {}),
    ...(fields.has("disabled") ? { disabled } : {}),
  };
}

function toEndpoint(endpoint: WebhookEndpoint): MessageInitShape<typeof WebhookEndpointSchema> {
  return {
    name: endpointName(endpoint.endpointId),
    url: endpoint.url,
    scope: endpoint.scope,
    eventTypes: [...endpoint.eventTypes],
    description: endpoint.description,
    disabled: endpoint.disableReason !== null,
    ...(endpoint.disableReason === null
      ? {}
      : { disableReason: WebhookEndpoint_DisableReason[endpoint.disableReason] }),
    signing: WebhookEndpoint_Signing[endpoint.signing],
    publicKey: endpoint.publicKey,
    ...optionalTimestamp("previousExpireTime", endpoint.previousExpiresAt),
    ...optionalTimestamp("lastSuccessTime", endpoint.lastSuccessAt),
    ...optionalTimestamp("failingSinceTime", endpoint.failingSinceAt),
    etag: etagOf(endpoint.uid, endpoint.revision),
    createTime: toTimestamp(endpoint.createdAt),
    updateTime: toTimestamp(endpoint.updatedAt),
  };
}

function toDelivery(delivery: WebhookDelivery): MessageInitShape<typeof WebhookDeliverySchema> {
  const { nextAttemptAt } = delivery;
  return {
    name: `${endpointName(delivery.endpointId)}/deliveries/${delivery.eventId}`,
    eventType: delivery.eventType,
    resource: delivery.resource,
    payload: delivery.payload,
    state: WebhookDelivery_State[delivery.state],
    attemptCount: delivery.attemptCount,
    attempts: delivery.attempts.map(({ startedAt, durationMs: ms, statusCode, error }) => ({
      startTime: toTimestamp(startedAt),
      duration: toDuration(ms),
      statusCode,
      error,
    })),
    ...optionalTimestamp("nextAttemptTime", nextAttemptAt === PARKED_AT ? null : nextAttemptAt),
    eventTime: toTimestamp(delivery.eventAt),
    ...optionalTimestamp("deliveryTime", delivery.deliveredAt),
  };
}
