import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { type AccessRule, AccessRule_Target, access } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { parseId } from "../aip/name.ts";
import { allows, type Principal, type Target } from "../auth/permission.ts";
import { permissionDenied } from "../errors.ts";
import type { Tenant } from "../tenant/tenant.ts";

/** Finds a tenant by id, in memory or else in the database. */
export type FindTenant = (tenantId: string) => Promise<Tenant | undefined>;

/** The access rule that an RPC declares in its proto. */
export function accessRule(method: DescMethod): AccessRule {
  if (!hasOption(method, access)) throw new Error(`${method.parent.typeName}/${method.name} declares no access rule`);
  return getOption(method, access);
}

/**
 * Checks that the principal has the rule's permission on what the request names. It does so before anybody looks whether
 * that exists, so the answer tells nothing of it. Throws PERMISSION_DENIED, and INVALID_FIELDS for a malformed name.
 */
export async function authorise(rule: AccessRule, principal: Principal, request: unknown, find: FindTenant) {
  const name = rule.field === "" ? "" : String(fieldValue(request, rule.field) ?? "");
  const target = await targetOf(rule, name, principal, find);
  if (rule.permission !== "" && !allows(principal, rule.permission, target)) {
    throw permissionDenied(rule.permission, name || (target.kind === "platform" ? "the platform" : "anything"));
  }
}

async function targetOf(rule: AccessRule, name: string, principal: Principal, find: FindTenant): Promise<Target> {
  switch (rule.target) {
    case AccessRule_Target.TENANT: {
      const tenantId = parseId(name.split("/").slice(0, 2).join("/"), "tenants", rule.field);
      return tenantTarget(tenantId, principal, find);
    }
    case AccessRule_Target.INTEGRATOR:
      // A tenant without an integrator belongs to the platform alone.
      if (name === "") return { kind: "platform" };
      return { kind: "integrator", integratorId: parseId(name, "integrators", rule.field) };
    case AccessRule_Target.CALLER:
      return { kind: "caller" };
    default:
      return { kind: "platform" };
  }
}

/** A tenant as a target; its integrator is looked up only for callers who administer one. */
export async function tenantTarget(tenantId: string, principal: Principal, find: FindTenant): Promise<Target> {
  const asks = principal.bindings.some((binding) => binding.scope.kind === "integrator");
  const tenant = asks ? await find(tenantId) : undefined;
  return { kind: "tenant", tenantId, integratorId: tenant?.integratorId ?? undefined };
}

function fieldValue(request: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], request);
}
