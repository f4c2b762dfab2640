import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { allows, type Scope, type Target } from "../auth/permission.ts";
import { scopeName } from "../auth/service.ts";
import { type Ctx, rowScope } from "../context.ts";
import { DomainError, notFound, permissionDenied } from "../errors.ts";
import { type Mutation, type MutationDeps, mutate, remainingMs } from "../mutation.ts";
import { type Queryable, readAs, type Tx } from "../platform/postgres.ts";
import { PARKED_AT, rescheduleDeliveries } from "./delivery-store.ts";
import {
  countEndpoints,
  deleteEndpointRow,
  insertEndpoint,
  rotateEndpointSecret,
  selectEndpoint,
  selectEndpoints,
  updateEndpointRow,
} from "./store.ts";
import { auditView, type DisableReason, endpointName, type Signing, type WebhookEndpoint } from "./webhook.ts";

export interface WebhookDeps extends MutationDeps {
  readonly seal: Seal;
  readonly createEd25519: () => { privateKey: string; publicKey: string };
  /** Says that deliveries are due. */
  readonly wakeDeliveries: () => void;
}

/** What a caller decides of a new endpoint; `target` is the scope as a target of permissions. */
export interface NewEndpoint extends EndpointInput {
  readonly scope: Scope;
  readonly target: Target;
  readonly integratorUid: string | null;
  readonly signing: Signing;
}

/** What a caller may change of an endpoint. */
export interface EndpointInput {
  readonly url: string;
  readonly eventTypes: readonly string[];
  readonly description: string;
  readonly disabled: boolean;
}

/** An endpoint with its new secret, which is empty when nothing was written or the receiver needs none. */
export interface MadeEndpoint {
  readonly endpoint: WebhookEndpoint;
  readonly secret: string;
}

/** Each endpoint multiplies what every event costs. */
const ENDPOINTS_MAX = 20;

/** Creates an endpoint. Throws PERMISSION_DENIED, and TOO_MANY when the scope has as many as it may. */
export async function createEndpoint(deps: WebhookDeps, ctx: Ctx, input: NewEndpoint): Promise<MadeEndpoint> {
  const permission = "webhookEndpoints.create";
  const scope = scopeName(input.scope);
  if (!allows(ctx.principal, permission, input.target)) throw permissionDenied(permission, scope);
  const endpointId = deps.ids.uuid();
  const keys = makeKeys(deps, input.signing);
  const { value } = await mutate(
    deps,
    ctx,
    `webhookEndpoints of ${scope}`,
    async ({ tx, now, record }) => {
      if ((await countEndpoints(tx, scope)) >= ENDPOINTS_MAX) {
        const message = `${scope} has ${ENDPOINTS_MAX} webhook endpoints, which is as many as it may`;
        throw new DomainError("TOO_MANY", message, { scope, max: String(ENDPOINTS_MAX) });
      }
      const { url, eventTypes, description, signing } = input;
      const endpoint: WebhookEndpoint = {
        ...{ uid: deps.ids.uuid(), endpointId, url, scope, eventTypes, description, signing },
        tenantUid: input.scope.kind === "tenant" ? input.scope.tenantUid : null,
        integratorUid: input.integratorUid,
        disableReason: input.disabled ? "REQUESTED" : null,
        publicKey: keys.publicKey,
        ...{ previousExpiresAt: null, lastSuccessAt: null, failingSinceAt: null },
        ...{ revision: 1, createdAt: now, updatedAt: now },
      };
      await insertEndpoint(tx, endpoint, deps.seal.seal(keys.signingKey, secretContext(endpointId)));
      record({ ...endpointNoun(endpoint), before: null, after: endpoint });
      return endpoint;
    },
    { secret: true },
  );
  return { endpoint: value, secret: ctx.validateOnly ? "" : keys.shown };
}

/** Reads an endpoint. Throws RESOURCE_NOT_FOUND. */
export function getEndpoint(deps: WebhookDeps, ctx: Ctx, endpointId: string): Promise<WebhookEndpoint> {
  return read(deps, ctx, (tx) => requireEndpoint(tx, endpointId));
}

/** Lists the endpoints that the caller may see, by id. Throws PAGE_TOKEN_INVALID. */
export async function listEndpoints(deps: WebhookDeps, ctx: Ctx, page: { pageSize: number; pageToken: string }) {
  const size = pageSize(page.pageSize);
  const query = [ctx.method, ctx.principal.actor];
  const [after = ""] = decodePageToken(deps.seal, query, page.pageToken, deps.clock.now()) ?? [];
  const rows = await read(deps, ctx, (tx) => selectEndpoints(tx, String(after), size + 1));
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.endpointId], deps.clock.now()));
}

/** Changes an endpoint. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function updateEndpoint(
  deps: WebhookDeps,
  ctx: Ctx,
  input: { endpointId: string; etag: string; patch: Partial<EndpointInput> },
): Promise<WebhookEndpoint> {
  const { disabled, ...patch } = input.patch;
  const { value } = await writeEndpoint(
    deps,
    ctx,
    input.endpointId,
    input.etag,
    async (before, { tx, now, record }) => {
      const disableReason = disabled === undefined ? before.disableReason : requested(disabled, before.disableReason);
      const failingSinceAt = disableReason === null ? null : before.failingSinceAt;
      const revision = before.revision + 1;
      const after: WebhookEndpoint = { ...before, ...patch, disableReason, failingSinceAt, revision, updatedAt: now };
      await updateEndpointRow(tx, after);
      if ((before.disableReason === null) !== (disableReason === null)) {
        await rescheduleDeliveries(tx, before.uid, disableReason === null ? now : PARKED_AT);
      }
      record({ ...endpointNoun(before), before, after });
      return after;
    },
  );
  if (!ctx.validateOnly) deps.wakeDeliveries();
  return value;
}

/** Disables an endpoint for what it answers, or does not: the node's own decision, in the audit log like any other. */
export async function disableEndpoint(deps: WebhookDeps, ctx: Ctx, endpointId: string, why: DisableReason) {
  await mutate(deps, ctx, endpointName(endpointId), async ({ tx, now, record }) => {
    const before = await selectEndpoint(tx, endpointId);
    if (!before || before.disableReason !== null) return {};
    const after = { ...before, disableReason: why, revision: before.revision + 1, updatedAt: now };
    await updateEndpointRow(tx, after);
    await rescheduleDeliveries(tx, before.uid, PARKED_AT);
    record({ ...endpointNoun(before), before, after });
    return {};
  });
}

/** Deletes an endpoint with its deliveries. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function deleteEndpoint(
  deps: WebhookDeps,
  ctx: Ctx,
  { endpointId, etag, allowMissing }: { endpointId: string; etag: string; allowMissing: boolean },
): Promise<void> {
  await mutate(deps, ctx, endpointName(endpointId), async ({ tx, record }) => {
    const before = await selectEndpoint(tx, endpointId);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("WebhookEndpoint", endpointName(endpointId));
    requireEtag(etag, before.uid, before.revision, endpointName(endpointId));
    await deleteEndpointRow(tx, before.uid);
    record({ ...endpointNoun(before), before, after: null });
    return {};
  });
}

/** Gives an endpoint a new secret; the old one signs on for `overlapMs`. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function rotateSecret(
  deps: WebhookDeps,
  ctx: Ctx,
  { endpointId, etag, overlapMs }: { endpointId: string; etag: string; overlapMs: number },
): Promise<MadeEndpoint> {
  let shown = "";
  const rotate = async (before: WebhookEndpoint, { tx, now, record }: Mutation) => {
    const keys = makeKeys(deps, before.signing);
    shown = keys.shown;
    const after: WebhookEndpoint = {
      ...before,
      publicKey: keys.publicKey,
      previousExpiresAt: now + overlapMs,
      revision: before.revision + 1,
      updatedAt: now,
    };
    await rotateEndpointSecret(tx, after, deps.seal.seal(keys.signingKey, secretContext(endpointId)));
    record({ ...endpointNoun(before), before, after });
    return after;
  };
  const { value } = await writeEndpoint(deps, ctx, endpointId, etag, rotate, { secret: true });
  return { endpoint: value, secret: ctx.validateOnly ? "" : shown };
}

function read<T>(deps: WebhookDeps, ctx: Ctx, fn: (tx: Tx) => Promise<T>): Promise<T> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), fn);
}

/**
 * Writes under an endpoint: row level security shows a caller none outside of its scope. Throws RESOURCE_NOT_FOUND and
 * ETAG_MISMATCH.
 */
export function writeEndpoint<T extends object>(
  deps: WebhookDeps,
  ctx: Ctx,
  endpointId: string,
  etag: string,
  fn: (endpoint: WebhookEndpoint, mutation: Mutation) => Promise<T>,
  options: { secret?: boolean } = {},
) {
  const run = async (mutation: Mutation) => {
    const endpoint = await requireEndpoint(mutation.tx, endpointId);
    requireEtag(etag, endpoint.uid, endpoint.revision, endpointName(endpointId));
    return fn(endpoint, mutation);
  };
  return mutate(deps, ctx, endpointName(endpointId), run, options);
}

/** One endpoint by id. Throws RESOURCE_NOT_FOUND. */
export async function requireEndpoint(sql: Queryable, endpointId: string): Promise<WebhookEndpoint> {
  const endpoint = await selectEndpoint(sql, endpointId);
  if (!endpoint) throw notFound("WebhookEndpoint", endpointName(endpointId));
  return endpoint;
}

// Who disables an endpoint that has disabled itself changes nothing.
function requested(disabled: boolean, before: DisableReason | null): DisableReason | null {
  return disabled ? (before ?? "REQUESTED") : null;
}

/** The context in which an endpoint's secret is sealed. */
export function secretContext(endpointId: string): string {
  return `webhook secret of ${endpointId}`;
}

// What signs, what the creator is shown of it, and what anybody may know.
function makeKeys(deps: WebhookDeps, signing: Signing): { signingKey: string; shown: string; publicKey: string } {
  if (signing === "ED25519") {
    const { privateKey, publicKey } = deps.createEd25519();
    return { signingKey: privateKey, shown: "", publicKey: `whpk_${publicKey}` };
  }
  const secret = Buffer.from(deps.ids.bytes(32)).toString("base64");
  return { signingKey: secret, shown: `whsec_${secret}`, publicKey: "" };
}

/** What audit and change rows say of an endpoint. */
export function endpointNoun(endpoint: WebhookEndpoint) {
  const { tenantUid, integratorUid } = endpoint;
  return {
    noun: "webhookEndpoint" as const,
    resource: endpointName(endpoint.endpointId),
    tenantUid,
    integratorUid,
    auditView,
  };
}
