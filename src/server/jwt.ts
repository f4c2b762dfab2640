import { createRemoteJWKSet, type JWTPayload, type JWTVerifyGetKey, errors as joseErrors, jwtVerify } from "jose";
import { type Binding, isRoleFor, type Principal } from "../auth/permission.ts";
import { DomainError } from "../errors.ts";
import type { Integrator } from "../integrator/integrator.ts";
import type { Clock } from "../platform/clock.ts";
import type { FindTenant } from "./access.ts";

export interface JwtDeps {
  readonly clock: Clock;
  readonly findTenant: FindTenant;
  readonly findIntegrator: (integratorId: string) => Promise<Integrator | undefined>;
  readonly findUser: (
    tenantId: string,
    email: string,
  ) => Promise<{ actor: string; binding: Binding; disabled: boolean } | undefined>;
}

/** The identity provider whose tokens are taken. */
export interface Oidc {
  readonly issuer: string;
  readonly audience: string;
  /** Empty: found by the issuer's discovery document. */
  readonly jwksUrl: string;
  readonly rolesClaim: string;
}

/**
 * Makes a reader of JWTs. A token whose verified `email` and `tenant` are a user's is that user, with the user's role;
 * any other has the roles of its claim. The reader throws CREDENTIALS_INVALID and ISSUER_UNAVAILABLE.
 */
export function createJwtReader(deps: JwtDeps, oidc: Oidc): (token: string) => Promise<Principal> {
  let keys: Promise<JWTVerifyGetKey> | undefined;
  const getKey: JWTVerifyGetKey = async (header, token) => {
    keys ??= discoverKeys(oidc).catch((error: unknown) => {
      keys = undefined;
      throw error;
    });
    return keys.then((get) => get(header, token)).catch(sortOut);
  };
  return async (token) => {
    const { issuer, audience } = oidc;
    const options = { issuer, audience, currentDate: new Date(deps.clock.now()), requiredClaims: ["exp", "sub"] };
    const { payload } = await jwtVerify(token, getKey, options).catch(refuse);
    const principal = await principalOf(deps, oidc, payload);
    if (principal.bindings.length === 0) throw new DomainError("CREDENTIALS_INVALID", "the token grants no role here");
    return principal;
  };
}

async function discoverKeys(oidc: Oidc): Promise<JWTVerifyGetKey> {
  if (oidc.jwksUrl !== "") return createRemoteJWKSet(new URL(oidc.jwksUrl));
  const discovery = `${oidc.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const answer = await fetch(discovery, { signal: AbortSignal.timeout(DISCOVERY_TIMEOUT_MS) });
  const document = (await answer.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (document.issuer !== oidc.issuer) throw new Error(`the document at ${discovery} is of another issuer`);
  return createRemoteJWKSet(new URL(String(document.jwks_uri)));
}

/** An identity provider that takes longer is down. */
const DISCOVERY_TIMEOUT_MS = 5_000;

// A key that the provider does not have is the token's fault; that the provider can't be asked is not.
function sortOut(error: unknown): never {
  const { JWKSNoMatchingKey, JWKSMultipleMatchingKeys, JOSENotSupported } = joseErrors;
  const faults = [JWKSNoMatchingKey, JWKSMultipleMatchingKeys, JOSENotSupported];
  if (faults.some((fault) => error instanceof fault)) throw error;
  throw new DomainError("ISSUER_UNAVAILABLE", "the identity provider's keys can't be read", {}, { cause: error });
}

function refuse(error: unknown): never {
  if (error instanceof DomainError) throw error;
  throw new DomainError("CREDENTIALS_INVALID", "the token is invalid or expired", {}, { cause: error });
}

async function principalOf(deps: JwtDeps, oidc: Oidc, payload: JWTPayload): Promise<Principal> {
  const { tenant, email } = payload;
  if (typeof tenant === "string" && typeof email === "string" && payload.email_verified === true) {
    const user = await deps.findUser(tenant, email);
    if (user && !user.disabled) return { actor: user.actor, bindings: [user.binding] };
  }
  const claim = payload[oidc.rolesClaim];
  const roles = Array.isArray(claim) ? claim.filter((role) => typeof role === "string").slice(0, ROLES_MAX) : [];
  const bindings = await Promise.all(roles.map((role) => bindingOf(deps, role)));
  return { actor: `oidc:${payload.sub ?? ""}`, bindings: bindings.flatMap((binding) => binding ?? []) };
}

/** More hats than anybody wears; each may cost a look into the database. */
const ROLES_MAX = 32;

// "platform.operator", "integrator.admin@integrators/north" or "tenant.admin@tenants/acme".
async function bindingOf(deps: JwtDeps, text: string): Promise<Binding | undefined> {
  const [role = "", scope = "platform"] = text.split("@");
  const [collection, id = ""] = scope.split("/");
  switch (collection) {
    case "platform":
      return isRoleFor(role, "platform") ? { role, scope: { kind: "platform" } } : undefined;
    case "integrators": {
      const integrator = isRoleFor(role, "integrator") ? await deps.findIntegrator(id) : undefined;
      if (!integrator || !isRoleFor(role, "integrator")) return undefined;
      return { role, scope: { kind: "integrator", integratorId: id, integratorUid: integrator.uid } };
    }
    case "tenants": {
      const tenant = isRoleFor(role, "tenant") ? await deps.findTenant(id) : undefined;
      if (!tenant || !isRoleFor(role, "tenant")) return undefined;
      return { role, scope: { kind: "tenant", tenantId: id, tenantUid: tenant.uid } };
    }
    default:
      return undefined;
  }
}
