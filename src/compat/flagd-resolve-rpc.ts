import type { JsonObject } from "@bufbuild/protobuf";
import type { Evaluation, FlagKind } from "@tenantplane/sdk/evaluate";
import type { Ctx } from "../context.ts";
import { DomainError, notFound } from "../errors.ts";
import { flagName } from "../flag/flag.ts";
import { viewFor } from "../flag/viewer.ts";
import { type FlagdDeps, requireTenant, selectorOf } from "./flagd-caller-rpc.ts";

/** What a request of either version asks. */
export interface Ask {
  readonly flagKey: string;
  readonly context?: JsonObject | undefined;
}

/** What is common to the answers of either version. */
export interface Resolved<T> {
  /** Undefined where the caller's default is to be used. */
  readonly value: T | undefined;
  readonly variant: string | undefined;
  readonly reason: string;
  readonly metadata: JsonObject;
}

/** The permission to evaluate. */
export const EVALUATE = "flags.evaluate";

/**
 * Evaluates a flag that is to be of a kind, for the tenant that the call is for. Throws RESOURCE_NOT_FOUND, FLAG_TYPE_MISMATCH, FLAG_UNREADABLE and
 * FLAG_UNDECIDED: errors of one evaluation, which providers do not retry.
 */
export async function resolve<T>(
  deps: FlagdDeps,
  ctx: Ctx,
  { flagKey, context = {} }: Ask,
  kind: FlagKind,
): Promise<Resolved<T>> {
  const facts = await requireTenant(deps, ctx, EVALUATE);
  const now = deps.clock.now();
  const evaluation = viewFor(deps.flags, ctx.principal, facts).evaluate(flagKey, context, now, kind);
  if (evaluation.errorCode !== undefined) throw errorOf(flagKey, evaluation);
  deps.usage.add(flagKey, evaluation.variant, now);
  return resolvedOf<T>(evaluation, facts.id, reasonsFor(ctx));
}

/** Evaluates all flags that the caller may see. Those that fail, and those that leave it to the caller's default, are left out. */
export async function resolveAll(deps: FlagdDeps, ctx: Ctx, context: JsonObject = {}) {
  const facts = await requireTenant(deps, ctx, EVALUATE);
  const view = viewFor(deps.flags, ctx.principal, facts);
  const now = deps.clock.now();
  const reasonOf = reasonsFor(ctx);
  const resolved = view.keys().flatMap((key): [string, Resolved<unknown>][] => {
    const evaluation = view.evaluate(key, context, now);
    return evaluation.value === undefined ? [] : [[key, resolvedOf(evaluation, facts.id, reasonOf)]];
  });
  return { resolved, tenantId: facts.id };
}

/**
 * Which metadata goes with a result: the flag's own, and whose flags they are. Without it, providers would put there the
 * selector, which may hold a key.
 */
export function metadataOf(
  { flagMetadata }: Pick<Evaluation, "flagMetadata">,
  tenantId: string,
): Record<string, boolean | number | string> {
  return { ...flagMetadata, scope: tenantId };
}

function resolvedOf<T>(evaluation: Evaluation, tenantId: string, reasonOf: (reason: string) => string): Resolved<T> {
  const { value, variant, reason } = evaluation;
  return {
    value: value as T | undefined,
    variant: value === undefined ? undefined : variant,
    reason: reasonOf(reason),
    metadata: metadataOf(evaluation, tenantId),
  };
}

// Providers keep what is STATIC by the flag's key until their event stream says otherwise. A selector does not reach the
// event stream, so whoever is known by one hears of no change, and may even ask for several tenants.
function reasonsFor(ctx: Ctx): (reason: string) => string {
  const hears = Object.values(selectorOf(ctx.header)).every((part) => part === undefined);
  return (reason) => (reason === "STATIC" && !hears ? "DEFAULT" : reason);
}

function errorOf(key: string, { errorCode, errorMessage = "" }: Evaluation): DomainError {
  const about = { flag: flagName(key), description: errorMessage };
  switch (errorCode) {
    case "FLAG_NOT_FOUND":
      return notFound("Flag", flagName(key));
    case "TYPE_MISMATCH":
      return new DomainError("FLAG_TYPE_MISMATCH", errorMessage, about);
    case "PARSE_ERROR":
      return new DomainError("FLAG_UNREADABLE", errorMessage, about);
    default:
      return new DomainError("FLAG_UNDECIDED", errorMessage, about);
  }
}

/** A number as a whole one. Throws FLAG_TYPE_MISMATCH for one that 64 bits can't hold. */
export function wholeNumber(key: string, value: number): bigint {
  const whole = BigInt(Math.trunc(value));
  if (BigInt.asIntN(64, whole) === whole) return whole;
  const description = "its value does not fit into 64 bits";
  throw new DomainError("FLAG_TYPE_MISMATCH", `${flagName(key)}: ${description}`, { flag: flagName(key), description });
}
