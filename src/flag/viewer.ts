import type { Evaluation, EvaluationContext, FlagKind, TenantFacts } from "@tenantplane/sdk/evaluate";
import { type Checksum, formatChecksum, hashOf, toggle } from "@tenantplane/sdk/replica";
import { allows, type Principal } from "../auth/permission.ts";
import type { Position } from "../change/store.ts";
import type { FlagTable } from "./table.ts";

/** The flags as one caller may see them for one tenant. */
export interface Viewer {
  /** Keys of the flags that the caller may see. */
  keys(): readonly string[];
  /** Evaluates a flag. One that the caller may not see is as good as not there. */
  evaluate(key: string, context: EvaluationContext, now: number, expected?: FlagKind): Evaluation;
}

/**
 * Makes a caller's view for a tenant. The platform sees all flags; a tenant's people and its integrator those that are for
 * clients or that they may override; clients those that are for them.
 */
export function viewFor(flags: FlagTable, principal: Principal, facts: TenantFacts): Viewer {
  const { evaluator } = flags.replica;
  const audience = audienceOf(principal, facts);
  const isVisible = (key: string) => isVisibleTo(flags, audience, key);
  return {
    keys: () => keysFor(flags, audience),
    evaluate(key, context, now, expected) {
      const evaluation = isVisible(key) ? evaluator.evaluate(key, context, facts, now) : notFound(key);
      const { value } = evaluation;
      return expected === undefined || value === undefined || typeof value === expected
        ? evaluation
        : failure(evaluation, "TYPE_MISMATCH", `The flag "${key}" is of kind ${typeof value}, not ${expected}`);
    },
  };
}

/**
 * Changes with all that an evaluation for the tenant can depend on, but the context and the time: the platform's part, the
 * tenant's facts and its overrides.
 */
export function versionFor(flags: FlagTable, tenantId: string): string {
  return `${flags.replica.checksums().platformChecksum}${tenantChecksum(flags, tenantId)}`;
}

/** The checksum of what belongs to one tenant. */
export function tenantChecksum(flags: FlagTable, tenantId: string): string {
  const sum: Checksum = { high: 0, low: 0 };
  for (const id of tenantIds(flags, tenantId)) {
    const json = flags.replica.document(id);
    if (json !== undefined) toggle(sum, hashOf(id.kind, id.key, json));
  }
  return formatChecksum(sum);
}

/** Names the documents that belong to one tenant. */
export function tenantIds(flags: FlagTable, tenantId: string) {
  const overrides = [...flags.overriddenBy(tenantId)].map((flag) => ({
    kind: "override" as const,
    key: `${tenantId}/${flag}`,
  }));
  return [{ kind: "tenant" as const, key: tenantId }, ...overrides];
}

type Audience = "platform" | "people" | "clients";

function audienceOf(principal: Principal, facts: TenantFacts): Audience {
  if (allows(principal, "flags.evaluate", { kind: "platform" })) return "platform";
  const tenant = { kind: "tenant" as const, tenantId: facts.id, integratorId: facts.integrator };
  return allows(principal, "flags.get", tenant) ? "people" : "clients";
}

function isVisibleTo(flags: FlagTable, audience: Audience, key: string): boolean {
  if (audience === "platform" || flags.replica.evaluator.definition(key)?.clientVisible) return true;
  return audience === "people" && flags.isOverridable(key);
}

const lists = new WeakMap<FlagTable, { readonly at: Position; readonly keys: Map<Audience, readonly string[]> }>();

// A thousand browsers ask for the same list at every change: it is made once.
function keysFor(flags: FlagTable, audience: Audience): readonly string[] {
  let known = lists.get(flags);
  if (known?.at !== flags.changedAt()) {
    known = { at: flags.changedAt(), keys: new Map() };
    lists.set(flags, known);
  }
  const keys =
    known.keys.get(audience) ??
    [...flags.replica.evaluator.keys()].filter((key) => isVisibleTo(flags, audience, key)).sort();
  known.keys.set(audience, keys);
  return keys;
}

function notFound(key: string): Evaluation {
  return failure(undefined, "FLAG_NOT_FOUND", `There is no flag "${key}"`);
}

function failure(
  of: Evaluation | undefined,
  errorCode: NonNullable<Evaluation["errorCode"]>,
  errorMessage: string,
): Evaluation {
  return {
    value: undefined,
    variant: undefined,
    reason: "ERROR",
    layer: "ERROR",
    ruleId: undefined,
    errorCode,
    errorMessage,
    flagMetadata: of?.flagMetadata ?? {},
  };
}
