import type { ApiKey, KeyHashes } from "../auth/key.ts";
import type { Binding, Principal } from "../auth/permission.ts";
import { authenticateKey, identifyKey } from "../auth/service.ts";
import { DomainError } from "../errors.ts";
import { allThen, andThen, type NowOrLater } from "../platform/now-or-later.ts";
import type { Sql } from "../platform/postgres.ts";
import type { Tenant } from "../tenant/tenant.ts";
import { createJwtReader, type JwtDeps, type Oidc } from "./jwt.ts";

export interface AuthenticatorDeps extends JwtDeps {
  readonly sql: Sql;
  readonly sha256: (text: string) => Uint8Array;
  readonly loadKey: (keyId: string) => Promise<(ApiKey & KeyHashes) | undefined>;
  readonly findTenantByUid: (uid: string) => NowOrLater<Tenant | undefined>;
  readonly oidc: Oidc | undefined;
}

/** Tells who calls. */
export interface Authenticator {
  /** Throws CREDENTIALS_MISSING, CREDENTIALS_INVALID and ISSUER_UNAVAILABLE. */
  identify(header: (name: string) => string | undefined): NowOrLater<Principal>;
  /** Whose key that is, for who has proven it before. Throws CREDENTIALS_INVALID. */
  identifyKey(keyId: string): NowOrLater<Principal>;
  /** The caller with what it may use now: bindings to tenants that are ACTIVE. Throws TENANT_NOT_ACTIVE when none is left. */
  requireActive(caller: Principal): NowOrLater<Principal>;
  /** Forgets what is known of a key, because it has changed. */
  forgetKey(keyId: string): void;
  /** Forgets the keys of a tenant or an integrator that is gone, its own keys with it; of everybody when undefined. */
  forgetKeysOf(uid: string | undefined): void;
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
  const load = async (keyId: string) => {
    const before = generation;
    const key = await deps.loadKey(keyId);
    // A change that arrived while the row was read may be newer than the row.
    if (before !== generation) return key;
    if (cache.size >= CACHED_KEYS_MAX) cache.delete(cache.keys().next().value ?? "");
    cache.set(keyId, key);
    return key;
  };
  const find = (keyId: string) => (cache.has(keyId) ? cache.get(keyId) : load(keyId));
  return {
    identify(header) {
      const credential = bearer(header);
      if (!credential.startsWith("tpk_") && jwt) return jwt(credential);
      return andThen(authenticateKey(deps, credential, find), (proof) => {
        used.add(proof.keyId);
        return proof.principal;
      });
    },
    identifyKey: (keyId) => identifyKey(deps, keyId, find),
    requireActive: (caller) => requireActive(deps, caller),
    forgetKey(keyId) {
      generation += 1;
      cache.delete(keyId);
    },
    forgetKeysOf(uid) {
      generation += 1;
      for (const [keyId, key] of cache) {
        if (uid === undefined || key?.tenantUid === uid || key?.integratorUid === uid) cache.delete(keyId);
      }
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
function requireActive(deps: AuthenticatorDeps, caller: Principal): NowOrLater<Principal> {
  const tenants = caller.bindings.map(({ scope }) =>
    scope.kind === "tenant" ? deps.findTenantByUid(scope.tenantUid) : undefined,
  );
  return allThen(tenants, (found) => {
    const bindings: Binding[] = [];
    let refused: DomainError | undefined;
    for (const [index, binding] of caller.bindings.entries()) {
      const { scope } = binding;
      if (scope.kind !== "tenant" || found[index]?.state === "ACTIVE") bindings.push(binding);
      else refused ??= notActive(`tenants/${scope.tenantId}`, found[index]);
    }
    if (!refused) return caller;
    if (bindings.length === 0) throw refused;
    return { ...caller, bindings };
  });
}

function notActive(name: string, tenant: Tenant | undefined): DomainError {
  const state = tenant?.state ?? "PURGED";
  const suspensions = tenant?.suspensions.map((suspension) => suspension.reason).join(", ") ?? "";
  const why = suspensions === "" ? state : `${state} (${suspensions})`;
  return new DomainError("TENANT_NOT_ACTIVE", `${name} is ${why}`, { tenant: name, state, suspensions });
}
