import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import type { Ctx } from "../context.ts";
import { DomainError, notFound, permissionDenied } from "../errors.ts";
import { type MutationDeps, mutate, read } from "../mutation.ts";
import { andThen, type NowOrLater } from "../platform/now-or-later.ts";
import { PLATFORM_SCOPE, type Queryable, readAs } from "../platform/postgres.ts";
import {
  type ApiKey,
  auditView,
  formatSecret,
  hex,
  isInForceAt,
  isValidAt,
  type KeyHashes,
  keyIdOf,
  scopeOf,
} from "./key.ts";
import { mayGrant, type Principal, type Role, type Scope, type Target } from "./permission.ts";
import { insertKey, revokeKey, rotateKey, selectKey, selectKeys } from "./store.ts";

export interface AuthDeps extends MutationDeps {
  readonly seal: Seal;
  readonly sha256: (text: string) => Uint8Array;
}

/** What a caller decides of a new key. */
export interface NewKey {
  readonly displayName: string;
  readonly role: Role;
  readonly scope: Scope;
  /** The scope as a target of permissions; a tenant's integrator included. */
  readonly target: Target;
  readonly integratorUid: string | null;
  readonly expiresAt: number | null;
  /** Puts the secret where it is needed, before the key exists: a key whose secret nobody has is worse than none. */
  readonly keep?: (secret: string) => void;
}

/** A key with its new secret, which is empty when nothing was written. */
export interface MadeKey {
  readonly key: ApiKey;
  readonly secret: string;
}

/** Creates a key that may do no more than its creator. Throws PERMISSION_DENIED. */
export async function createApiKey(deps: AuthDeps, ctx: Ctx, input: NewKey): Promise<MadeKey> {
  const scope = scopeName(input.scope);
  if (!mayGrant(ctx.principal, input.role, input.target)) throw permissionDenied(`all of ${input.role}`, scope);
  const keyId = hex(deps.ids.bytes(8));
  const secret = formatSecret(keyId, deps.ids.bytes(32));
  const { value } = await mutate(
    deps,
    ctx,
    name(keyId),
    async ({ tx, now, send, record }) => {
      const key: ApiKey = {
        keyId,
        displayName: input.displayName,
        role: input.role,
        scope,
        tenantUid: input.scope.kind === "tenant" ? input.scope.tenantUid : null,
        integratorUid: input.integratorUid,
        expiresAt: input.expiresAt,
        previousExpiresAt: null,
        createdAt: now,
        revokedAt: null,
        lastUsedAt: null,
        revision: 1,
      };
      send(insertKey(tx, key, deps.sha256(secret)));
      record({ ...noun(key), before: null, after: key });
      input.keep?.(secret);
      return key;
    },
    { secret: true },
  );
  return { key: value, secret: ctx.validateOnly ? "" : secret };
}

/** Reads a key, revoked or not. Throws RESOURCE_NOT_FOUND. */
export async function getApiKey(deps: AuthDeps, ctx: Ctx, keyId: string): Promise<ApiKey> {
  const key = await read(deps, ctx, (tx) => selectKey(tx, keyId));
  if (!key) throw notFound("ApiKey", name(keyId));
  return withoutHashes(key);
}

/** Lists the keys that the caller may see. Throws PAGE_TOKEN_INVALID. */
export async function listApiKeys(
  deps: AuthDeps,
  ctx: Ctx,
  input: { pageSize: number; pageToken: string; showRevoked: boolean },
) {
  const size = pageSize(input.pageSize);
  const query = [ctx.method, ctx.principal.actor, input.showRevoked];
  const [after = ""] = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now()) ?? [];
  const rows = await read(deps, ctx, (tx) =>
    selectKeys(tx, { afterId: String(after), showRevoked: input.showRevoked, limit: size + 1 }),
  );
  return cutPage(rows, size, (last) => encodePageToken(deps.seal, query, [last.keyId], deps.clock.now()));
}

/** Gives a key a new secret; the old one works for `overlapMs` more. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function rotateApiKey(
  deps: AuthDeps,
  ctx: Ctx,
  { keyId, etag, overlapMs }: { keyId: string; etag: string; overlapMs: number },
): Promise<MadeKey> {
  const secret = formatSecret(keyId, deps.ids.bytes(32));
  const { value } = await mutate(
    deps,
    ctx,
    name(keyId),
    async ({ tx, now, send, record }) => {
      const before = await requireLiveKey(tx, ctx, keyId);
      requireEtag(etag, before.keyId, before.revision, name(keyId));
      const after = { ...before, previousExpiresAt: now + overlapMs, revision: before.revision + 1 };
      send(rotateKey(tx, keyId, deps.sha256(secret), after.previousExpiresAt));
      record({ ...noun(before), before, after });
      return after;
    },
    { secret: true },
  );
  return { key: value, secret: ctx.validateOnly ? "" : secret };
}

/** Ends a key at once. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export async function revokeApiKey(deps: AuthDeps, ctx: Ctx, keyId: string, etag: string): Promise<ApiKey> {
  const { value } = await mutate(deps, ctx, name(keyId), async ({ tx, now, send, record }) => {
    const before = await requireLiveKey(tx, ctx, keyId);
    requireEtag(etag, before.keyId, before.revision, name(keyId));
    const after = { ...before, revokedAt: now, revision: before.revision + 1 };
    send(revokeKey(tx, keyId, now));
    record({ ...noun(before), before, after });
    return after;
  });
  return value;
}

/** What a valid secret proves: who calls, and until when that is known. */
export interface KeyProof {
  readonly principal: Principal;
  readonly keyId: string;
}

/** Answers whose key a secret is. Throws CREDENTIALS_INVALID, the same for every cause. */
export function authenticateKey(
  deps: Pick<AuthDeps, "clock" | "sha256">,
  secret: string,
  find: (keyId: string) => NowOrLater<(ApiKey & KeyHashes) | undefined>,
): NowOrLater<KeyProof> {
  const keyId = keyIdOf(secret);
  return andThen(keyId === undefined ? undefined : find(keyId), (key) => {
    if (!key || !isValidAt(key, deps.sha256(secret), deps.clock.now())) throw invalidKey();
    return { keyId: key.keyId, principal: principalOf(key) };
  });
}

/** Answers whose key that is, for who has proven to have it before. Throws CREDENTIALS_INVALID when it is not in force. */
export function identifyKey(
  deps: Pick<AuthDeps, "clock">,
  keyId: string,
  find: (keyId: string) => NowOrLater<ApiKey | undefined>,
): NowOrLater<Principal> {
  return andThen(find(keyId), (key) => {
    if (!key || !isInForceAt(key, deps.clock.now())) throw invalidKey();
    return principalOf(key);
  });
}

/** Reads a key as the node itself, before anybody is known. */
export function loadKey(deps: Pick<AuthDeps, "sql">, keyId: string): Promise<(ApiKey & KeyHashes) | undefined> {
  return readAs(deps.sql, PLATFORM_SCOPE, LOAD_TIMEOUT_MS, (tx) => selectKey(tx, keyId));
}

/** Authentication waits no longer for the database than a caller would. */
const LOAD_TIMEOUT_MS = 5_000;

/** The name of a scope: "platform", "integrators/{integrator}" or "tenants/{tenant}". */
export function scopeName(scope: Scope): string {
  if (scope.kind === "tenant") return `tenants/${scope.tenantId}`;
  return scope.kind === "integrator" ? `integrators/${scope.integratorId}` : "platform";
}

// Row level security hides keys outside of the caller's scope. Within it, a key of more power than the caller's own is
// not the caller's to touch.
async function requireLiveKey(tx: Queryable, ctx: Ctx, keyId: string): Promise<ApiKey> {
  const row = await selectKey(tx, keyId);
  if (!row || row.revokedAt !== null) throw notFound("ApiKey", name(keyId));
  const key = withoutHashes(row);
  const scope = scopeOf(key);
  const target: Target = scope.kind === "tenant" ? { ...scope, integratorId: integratorOf(ctx.principal, key) } : scope;
  if (!mayGrant(ctx.principal, key.role, target)) throw permissionDenied(`all of ${key.role}`, name(keyId));
  return key;
}

function withoutHashes({ secretHash: _, previousHash: __, ...key }: ApiKey & KeyHashes): ApiKey {
  return key;
}

// A caller that sees a tenant's key through its integrator binding administers that integrator.
function integratorOf(principal: Principal, key: ApiKey): string | undefined {
  const scopes = principal.bindings.map((binding) => binding.scope);
  const found = scopes.find((scope) => scope.kind === "integrator" && scope.integratorUid === key.integratorUid);
  return found?.kind === "integrator" ? found.integratorId : undefined;
}

function principalOf(key: ApiKey): Principal {
  return { actor: name(key.keyId), bindings: [{ role: key.role, scope: scopeOf(key) }] };
}

function invalidKey(): DomainError {
  return new DomainError("CREDENTIALS_INVALID", "the API key is unknown, expired or revoked");
}

function name(keyId: string): string {
  return `apiKeys/${keyId}`;
}

function noun(key: ApiKey) {
  const { tenantUid, integratorUid } = key;
  return { noun: "apiKey" as const, resource: name(key.keyId), tenantUid, integratorUid, auditView };
}
