import { createRemoteJWKSet, type JWTPayload, type JWTVerifyGetKey, errors as joseErrors, jwtVerify } from "jose";
import type { ApiKey, KeyHashes } from "../auth/key.ts";
import { type Binding, isRoleFor, type Principal, type ScopeKind } from "../auth/permission.ts";
import { authenticateKey, type KeyProof } from "../auth/service.ts";
import { DomainError } from "../errors.ts";
import type { Clock } from "../platform/clock.ts";
import type { Sql } from "../platform/postgres.ts";
import type { Tenant } from "../tenant/tenant.ts";
import type { FindTenant } from "./access.ts";

export interface AuthenticatorDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly sha256: (text: string) => Uint8Array;
  readonly loadKey: (keyId: string) => Promise<(ApiKey & KeyHashes) | undefined>;
  readonly findTenant: FindTenant;
  readonly findTenantByUid: (uid: string) => Promise<Tenant | undefined>;
  readonly findUser: (
    tenantId: string,
    email: string,
  ) => Promise<{ actor: string; binding: Binding; disabled: boolean } | undefined>;
  readonly oidc: { issuer: string; audience: string; jwksUrl: string; rolesClaim: string } | undefined;
}

/** Tells who calls. */
export interface Authenticator {
  /** Throws CREDENTIALS_MISSING, CREDENTIALS_INVALID and TENANT_NOT_ACTIVE. */
  authenticate(header: (name: string) => string | undefined): Promise<Principal>;
  /** Forgets what is known of a key, because it has changed. */
  forgetKey(keyId: string): void;
  /** The keys used since the last call of this. */
  takeUsedKeys(): string[];
}

/** Keys in memory; above it the longest known is forgotten. 200 bytes each. */
const CACHED_KEYS_MAX = 20_000;

/** Makes an authenticator for API keys (`Authorization: Bearer tpk_…` or `X-Api-Key`) and, when set up, JWTs. */
export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const cache = new Map<string, (ApiKey & KeyHashes) | undefined>();
  const used = new Set<string>();
  const jwt = deps.oidc ? createJwtReader(deps, deps.oidc) : undefined;
  let generation = 0;
  const find = async (keyId: string) => {
    if (cache.has(keyId)) return cache.get(keyId);
    const before = generation;
    const key = await deps.loadKey(keyId);
    // A change that arrived while the row was read may be newer than the row.
    if (before !== generation) return key;
    if (cache.size >= CACHED_KEYS_MAX) cache.delete(cache.keys().next().value ?? "");
    cache.set(keyId, key);
    return key;
  };
  return {
    async authenticate(header) {
      const credential = bearer(header);
      if (!credential.startsWith("tpk_") && jwt) return requireActive(deps, await jwt(credential));
      const proof: KeyProof = await authenticateKey(deps, credential, find);
      used.add(proof.keyId);
      return requireActive(deps, proof.principal);
    },
    forgetKey(keyId) {
      generation += 1;
      cache.delete(keyId);
    },
    takeUsedKeys() {
      const keys = [...used];
      used.clear();
      return keys;
    },
  };
}

function bearer(header: (name: string) => string | undefined): string {
  const authorization = header("authorization") ?? "";
  const credential = /^bearer /i.test(authorization) ? authorization.slice(7).trim() : (header("x-api-key") ?? "");
  if (credential === "") {
    throw new DomainError("CREDENTIALS_MISSING", "send an API key or token as 'Authorization: Bearer …'");
  }
  return credential;
}

// The gate of a tenant's own keys and users: they work while the tenant is ACTIVE, and at no other time.
async function requireActive(deps: AuthenticatorDeps, principal: Principal): Promise<Principal> {
  for (const { scope } of principal.bindings) {
    if (scope.kind !== "tenant") continue;
    const tenant = await deps.findTenantByUid(scope.tenantUid);
    if (tenant?.state === "ACTIVE") continue;
    const state = tenant?.state ?? "PURGED";
    const suspensions = tenant?.suspensions.map((suspension) => suspension.reason).join(", ") ?? "";
    const name = `tenants/${scope.tenantId}`;
    const why = suspensions === "" ? state : `${state} (${suspensions})`;
    throw new DomainError("TENANT_NOT_ACTIVE", `${name} is ${why}`, { tenant: name, state, suspensions });
  }
  return principal;
}

type Oidc = NonNullable<AuthenticatorDeps["oidc"]>;

function createJwtReader(deps: AuthenticatorDeps, oidc: Oidc): (token: string) => Promise<Principal> {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  return async (token) => {
    keys ??= discoverKeys(oidc).catch((error: unknown) => {
      keys = undefined;
      throw error;
    });
    const { issuer, audience } = oidc;
    const currentDate = new Date(deps.clock.now());
    const { payload } = await jwtVerify(token, await keys, { issuer, audience, currentDate }).catch(refuse);
    const principal = await principalOf(deps, oidc, payload);
    if (principal.bindings.length === 0) throw new DomainError("CREDENTIALS_INVALID", "the token grants no role here");
    return principal;
  };
}

async function discoverKeys(oidc: Oidc): Promise<JWTVerifyGetKey> {
  if (oidc.jwksUrl !== "") return createRemoteJWKSet(new URL(oidc.jwksUrl));
  const discovery = `${oidc.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const answer = await fetch(discovery, { signal: AbortSignal.timeout(DISCOVERY_TIMEOUT_MS) });
  const document = (await answer.json()) as { jwks_uri?: unknown };
  return createRemoteJWKSet(new URL(String(document.jwks_uri)));
}

/** An identity provider that takes longer is down. */
const DISCOVERY_TIMEOUT_MS = 5_000;

function refuse(error: unknown): never {
  if (error instanceof joseErrors.JWKSTimeout) {
    throw new DomainError("DATABASE_UNAVAILABLE", "the issuer's keys can't be reached", {}, { cause: error });
  }
  throw new DomainError("CREDENTIALS_INVALID", "the token is invalid or expired", {}, { cause: error });
}

async function principalOf(deps: AuthenticatorDeps, oidc: Oidc, payload: JWTPayload): Promise<Principal> {
  const { tenant, email } = payload;
  if (typeof tenant === "string" && typeof email === "string" && payload.email_verified === true) {
    const user = await deps.findUser(tenant, email);
    if (user && !user.disabled) return { actor: user.actor, bindings: [user.binding] };
  }
  const claim = payload[oidc.rolesClaim];
  const roles = Array.isArray(claim) ? claim.filter((role) => typeof role === "string") : [];
  const bindings = await Promise.all(roles.map((role) => bindingOf(deps, role)));
  return { actor: `oidc:${payload.sub ?? ""}`, bindings: bindings.flatMap((binding) => binding ?? []) };
}

// "platform.operator", or "tenant.admin@tenants/acme".
async function bindingOf(deps: AuthenticatorDeps, text: string): Promise<Binding | undefined> {
  const [role = "", scope = "platform"] = text.split("@");
  const kind: ScopeKind = scope.startsWith("tenants/") ? "tenant" : "platform";
  if (!isRoleFor(role, kind)) return undefined;
  if (kind === "platform") return { role, scope: { kind: "platform" } };
  const tenantId = scope.slice("tenants/".length);
  const tenant = await deps.findTenant(tenantId);
  return tenant ? { role, scope: { kind: "tenant", tenantId, tenantUid: tenant.uid } } : undefined;
}
