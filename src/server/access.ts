import { create, type DescMethod, getOption, hasOption, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AccessRule,
  AccessRule_Target,
  AccessRuleSchema,
  access,
} from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { parseId } from "../aip/name.ts";
import { allows, type Principal, type Target } from "../auth/permission.ts";
import { permissionDenied } from "../errors.ts";
import { andThen, type NowOrLater } from "../platform/now-or-later.ts";
import type { Tenant } from "../tenant/tenant.ts";
import { fullName } from "./handlers.ts";

/** Finds a tenant by id, in memory or else in the database. */
export type FindTenant = (tenantId: string) => NowOrLater<Tenant | undefined>;

/** The access rule of an RPC: the one that its proto declares or, where the proto is another's, that stands here. */
export function accessRule(method: DescMethod): AccessRule {
  if (hasOption(method, access)) return getOption(method, access);
  const rule = FOREIGN_RULES[fullName(method)];
  if (!rule) throw new Error(`${fullName(method)} declares no access rule`);
  return create(AccessRuleSchema, rule);
}

type Rule = MessageInitShape<typeof AccessRuleSchema>;

// A request of theirs names its tenant in a way of its own: the handler asks for the permission on it.
const CALLER = AccessRule_Target.CALLER;
const EVALUATE: Rule = { permission: "flags.evaluate", target: CALLER };
// Rules of flags go to whoever may follow them in our own protocol.
const FOLLOW: Rule = { permission: "flags.watch", target: CALLER };
// Nobody in particular may ask whether this node is alive.
const ANYBODY: Rule = { permission: "", target: CALLER };
const RESOLVERS = ["Boolean", "String", "Float", "Int", "Object"].map((kind) => `Resolve${kind}`);

const FOREIGN_RULES: Readonly<Record<string, Rule>> = {
  "envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit": { permission: "quotas.check", target: CALLER },
  ...rulesOf("flagd.evaluation.v1.Service", ["ResolveAll", ...RESOLVERS], EVALUATE),
  ...rulesOf("flagd.evaluation.v1.Service", ["EventStream"], ANYBODY),
  ...rulesOf("flagd.evaluation.v2.Service", RESOLVERS, EVALUATE),
  ...rulesOf("flagd.evaluation.v2.Service", ["EventStream"], ANYBODY),
  ...rulesOf("flagd.sync.v1.FlagSyncService", ["SyncFlags", "FetchAllFlags", "GetMetadata"], FOLLOW),
};

function rulesOf(service: string, methods: readonly string[], rule: Rule): Record<string, Rule> {
  return Object.fromEntries(methods.map((method) => [`${service}/${method}`, rule]));
}

/**
 * Checks that the principal has the rule's permission on what the request names. It does so before anybody looks whether
 * that exists, so the answer tells nothing of it. Throws PERMISSION_DENIED, and INVALID_FIELDS for a malformed name.
 */
export function authorise(
  rule: AccessRule,
  principal: Principal,
  request: unknown,
  find: FindTenant,
): NowOrLater<void> {
  const name = rule.field === "" ? "" : String(fieldValue(request, rule.field) ?? "");
  return andThen(targetOf(rule, name, principal, find), (target) => {
    if (rule.permission !== "" && !allows(principal, rule.permission, target)) {
      throw permissionDenied(rule.permission, name || (target.kind === "platform" ? "the platform" : "anything"));
    }
  });
}

function targetOf(rule: AccessRule, name: string, principal: Principal, find: FindTenant): NowOrLater<Target> {
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
export function tenantTarget(tenantId: string, principal: Principal, find: FindTenant): NowOrLater<Target> {
  const asks = principal.bindings.some((binding) => binding.scope.kind === "integrator");
  return andThen(asks ? find(tenantId) : undefined, (tenant) => {
    return { kind: "tenant", tenantId, integratorId: tenant?.integratorId ?? undefined };
  });
}

// Messages in memory have their fields by JSON's names.
function fieldValue(request: unknown, path: string): unknown {
  return path
    .replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    .split(".")
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], request);
}
