/** The roles and what each may do. A role is always bound to a scope: the platform, an integrator or a tenant. */
const tenantRead = ["tenants.get", "tenants.list", "tenants.watch", "transitions.list", "plans.get", "users.get"];
const tenantLife = ["activate", "suspend", "resume", "archive", "unarchive", "delete", "undelete"].map(
  (v) => `tenants.${v}`,
);
/** Each reason of a suspension has its own: what the platform has stopped, a partner does not start again. */
const partnerSuspensions = ["suspensions.billing", "suspensions.maintenance", "suspensions.customer"];
const userWrite = ["users.create", "users.update", "users.delete"];
const keyAdmin = ["apiKeys.create", "apiKeys.list", "apiKeys.rotate", "apiKeys.revoke"];
const auditRead = ["audit.list", "audit.export"];
const quotaRead = ["quotas.get", "quotas.list", "meters.get", "quotaOverrides.get", "quotaGrants.get"];
const quotaWrite = [
  "quotaOverrides.create",
  "quotaOverrides.update",
  "quotaOverrides.delete",
  "quotaGrants.create",
  "quotaGrants.void",
];
const flagRead = ["flags.get", "flags.evaluate", "flagOverrides.get"];
const flagAudit = [...flagRead, "flags.explain", "flagSegments.get", "flagGroups.get", "flagSchedules.get"];
const flagOverrideWrite = ["flagOverrides.create", "flagOverrides.update", "flagOverrides.delete"];
const flagWrite = [
  ...["flags", "flagSegments", "flagGroups", "flagSchedules"].flatMap((noun) => [
    `${noun}.create`,
    `${noun}.update`,
    `${noun}.delete`,
  ]),
  "flags.kill",
  "flags.import",
  "flags.watch",
];
const webhookAdmin = ["create", "get", "update", "delete"].map((verb) => `webhookEndpoints.${verb}`);
const usageRead = ["usage.query"];
const integratorRead = ["integrators.get"];
const operator = [
  ...tenantRead,
  ...quotaRead,
  ...usageRead,
  ...quotaWrite,
  ...webhookAdmin,
  ...flagAudit,
  ...flagWrite,
  ...flagOverrideWrite,
  ...tenantLife,
  ...partnerSuspensions,
  ...integratorRead,
  ...userWrite,
  ...auditRead,
  "suspensions.policy",
  "suspensions.security",
  "tenants.create",
  "tenants.update",
  "tenants.assign",
  "tenants.hold",
  "integrators.create",
  "integrators.update",
  "integrators.delete",
  "integrators.setLimits",
  "plans.create",
  "plans.update",
  "plans.delete",
  "meters.create",
  "meters.update",
  "meters.delete",
  "quotas.check",
  "usage.report",
  "usage.correct",
];

/** Every role, the kind of scope it is bound to, and its permissions. */
export const ROLES = {
  "platform.admin": { scope: "platform", permissions: new Set([...operator, ...keyAdmin]) },
  "platform.operator": { scope: "platform", permissions: new Set(operator) },
  "platform.auditor": {
    scope: "platform",
    permissions: new Set([
      ...tenantRead,
      ...quotaRead,
      ...usageRead,
      ...flagAudit,
      ...integratorRead,
      ...auditRead,
      "apiKeys.list",
      "webhookEndpoints.get",
    ]),
  },
  "integrator.admin": {
    scope: "integrator",
    permissions: new Set([
      ...tenantRead,
      ...tenantLife,
      ...partnerSuspensions,
      ...quotaRead,
      ...usageRead,
      ...quotaWrite,
      ...webhookAdmin,
      ...flagRead,
      ...flagOverrideWrite,
      ...integratorRead,
      ...userWrite,
      ...keyAdmin,
      ...auditRead,
      "tenants.create",
      "tenants.update",
      "tenants.assign",
      "integrators.update",
    ]),
  },
  "tenant.admin": {
    scope: "tenant",
    permissions: new Set([
      ...tenantRead,
      ...quotaRead,
      ...usageRead,
      ...flagRead,
      ...flagOverrideWrite,
      ...webhookAdmin,
      ...userWrite,
      ...keyAdmin,
      ...auditRead,
      "tenants.update",
    ]),
  },
  "tenant.editor": {
    scope: "tenant",
    permissions: new Set([...tenantRead, ...quotaRead, ...usageRead, ...flagRead, "tenants.update"]),
  },
  "tenant.viewer": { scope: "tenant", permissions: new Set([...tenantRead, ...quotaRead, ...usageRead, ...flagRead]) },
  service: {
    scope: "platform",
    permissions: new Set([
      ...tenantRead,
      ...quotaRead,
      ...usageRead,
      "quotas.check",
      "usage.report",
      ...flagRead,
      "flags.watch",
    ]),
  },
  client: { scope: "tenant", permissions: new Set(["tenants.get", "quotas.get", "flags.evaluate"]) },
} as const satisfies Record<string, { scope: ScopeKind; permissions: ReadonlySet<string> }>;

export type Role = keyof typeof ROLES;
export type ScopeKind = "platform" | "integrator" | "tenant";

/** What a role is bound to. */
export type Scope =
  | { readonly kind: "platform" }
  | { readonly kind: "integrator"; readonly integratorId: string; readonly integratorUid: string }
  | { readonly kind: "tenant"; readonly tenantId: string; readonly tenantUid: string };

/** A role within a scope. */
export interface Binding {
  readonly role: Role;
  readonly scope: Scope;
}

/** Whoever calls. `actor` is the name that the audit log keeps. */
export interface Principal {
  readonly actor: string;
  readonly bindings: readonly Binding[];
}

/** What a permission is asked for, with what is known of it. */
export type Target =
  | { readonly kind: "platform" }
  | { readonly kind: "caller" }
  | { readonly kind: "integrator"; readonly integratorId: string }
  | { readonly kind: "tenant"; readonly tenantId: string; readonly integratorId: string | undefined };

/** True when one of the principal's bindings grants the permission on the target. */
export function allows(principal: Principal, permission: string, target: Target): boolean {
  return principal.bindings.some(
    (binding) => ROLES[binding.role].permissions.has(permission) && reaches(binding.scope, target),
  );
}

/** True when the role exists and may be bound to such a scope. */
export function isRoleFor(role: string, kind: ScopeKind): role is Role {
  return Object.hasOwn(ROLES, role) && ROLES[role as Role].scope === kind;
}

/** True when every permission of `role` is held by the principal on the target: nobody can give more than they have. */
export function mayGrant(principal: Principal, role: Role, target: Target): boolean {
  return [...ROLES[role].permissions].every((permission) => allows(principal, permission, target));
}

function reaches(scope: Scope, target: Target): boolean {
  switch (scope.kind) {
    case "platform":
      return true;
    case "integrator":
      if (target.kind === "platform") return false;
      return target.kind === "caller" || target.integratorId === scope.integratorId;
    case "tenant":
      if (target.kind === "tenant") return target.tenantId === scope.tenantId;
      return target.kind === "caller";
    default:
      return scope satisfies never;
  }
}
