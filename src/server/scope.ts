import { parseId } from "../aip/name.ts";
import { allows, type Principal, type Scope, type Target } from "../auth/permission.ts";
import { notFound, permissionDenied } from "../errors.ts";
import type { Integrator } from "../integrator/integrator.ts";
import type { FindTenant } from "./access.ts";

export interface ScopeDeps {
  readonly findTenant: FindTenant;
  readonly findIntegrator: (integratorId: string) => Promise<Integrator | undefined>;
}

/** A scope that a caller has named and may use. */
export interface ResolvedScope {
  readonly scope: Scope;
  /** The scope as a target of permissions; a tenant's integrator included. */
  readonly target: Target;
  readonly integratorUid: string | null;
}

/**
 * Finds "platform", "integrators/{integrator}" or "tenants/{tenant}" for a caller that needs `permission` on it. Throws
 * INVALID_FIELDS on `field`, PERMISSION_DENIED, and RESOURCE_NOT_FOUND to those who may know.
 */
export async function resolveScope(
  deps: ScopeDeps,
  principal: Principal,
  input: { name: string; field: string; permission: string },
): Promise<ResolvedScope> {
  const { name, field, permission } = input;
  if (name === "platform") {
    const target = { kind: "platform" } as const;
    if (!allows(principal, permission, target)) throw permissionDenied(permission, name);
    return { scope: target, target, integratorUid: null };
  }
  if (name.startsWith("integrators/")) {
    const integratorId = parseId(name, "integrators", field);
    const target = { kind: "integrator", integratorId } as const;
    if (!allows(principal, permission, target)) throw permissionDenied(permission, name);
    const integrator = await deps.findIntegrator(integratorId);
    if (!integrator) throw notFound("Integrator", name);
    const scope = { kind: "integrator", integratorId, integratorUid: integrator.uid } as const;
    return { scope, target, integratorUid: integrator.uid };
  }
  const tenantId = parseId(name, "tenants", field);
  const tenant = await deps.findTenant(tenantId);
  const target = { kind: "tenant", tenantId, integratorId: tenant?.integratorId ?? undefined } as const;
  if (!allows(principal, permission, target)) throw permissionDenied(permission, name);
  if (!tenant) throw notFound("Tenant", name);
  return { scope: { kind: "tenant", tenantId, tenantUid: tenant.uid }, target, integratorUid: tenant.integratorUid };
}
