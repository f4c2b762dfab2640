import type { Evaluation, FlagKind, TenantFacts } from "@tenantplane/sdk/evaluate";
import { Flag_Kind as Kind } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import type { EvaluateFlagRequest } from "@tenantplane/sdk/gen/tenantplane/v1/flag_evaluation_pb";
import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { parseId } from "../aip/name.ts";
import { allows } from "../auth/permission.ts";
import { parsePosition } from "../change/token.ts";
import type { Ctx } from "../context.ts";
import { invalidField, notFound } from "../errors.ts";
import { remainingMs } from "../mutation.ts";
import { sleep } from "../platform/clock.ts";
import { andThen, type NowOrLater } from "../platform/now-or-later.ts";
import { fromTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { tenantName } from "../tenant/tenant.ts";
import type { FlagRpcDeps } from "./base-rpc.ts";
import { answerOf, toEvaluation, toStep } from "./evaluation-rpc.ts";
import { stepsOf } from "./explanation.ts";
import { keyOf } from "./name-rpc.ts";
import { versionFor, viewFor } from "./viewer.ts";

type EvaluateRpcs = "evaluateFlag" | "evaluateAllFlags" | "batchEvaluateFlags" | "explainFlag";

/** The handlers of FlagService that evaluate, from memory alone. */
export function evaluateRpc(deps: FlagRpcDeps): Pick<Handlers<typeof FlagService>, EvaluateRpcs> {
  return {
    evaluateFlag: (request, ctx) => {
      const { tenantId, key, expected } = parse(request);
      return andThen(factsFor(deps, ctx, tenantId, request.minRevision), (facts) =>
        answerOf(key, evaluate(deps, ctx, facts, { ...request, key, expected })),
      );
    },
    batchEvaluateFlags: async ({ requests }, ctx) => {
      if (requests.length === 0 || requests.length > BATCH_MAX)
        throw invalidField("requests", `must be 1 to ${BATCH_MAX}`);
      const parsed = requests.map((request, index) => ({ ...request, ...parse(request, `requests[${index}].`) }));
      for (const { minRevision } of parsed) await catchUp(deps, ctx, minRevision);
      const evaluations = parsed.map(({ tenantId, ...request }) => {
        const facts = newestFacts(deps, tenantId);
        const target = { kind: "tenant" as const, tenantId, integratorId: facts?.integrator };
        // In the same words whether it is not there or not the caller's to see.
        const isKnown = facts && allows(ctx.principal, "flags.evaluate", target);
        const evaluation = isKnown ? evaluate(deps, ctx, facts, request) : NO_SUCH_TENANT;
        return toEvaluation(request.key, evaluation);
      });
      return { evaluations };
    },
    evaluateAllFlags: async ({ tenant, context = {}, flags, minRevision }, ctx) => {
      const tenantId = parseId(tenant, "tenants", "tenant");
      const facts = await factsFor(deps, ctx, tenantId, minRevision);
      const view = viewFor(deps.flags, ctx.principal, facts);
      const wanted = flags.map((name, index) => keyOf(name, "flags", `flags[${index}]`));
      if (wanted.length > BATCH_MAX) throw invalidField("flags", `must be at most ${BATCH_MAX}`);
      const now = deps.clock.now();
      const evaluations = (wanted.length > 0 ? wanted : view.keys()).map((key) =>
        toEvaluation(key, view.evaluate(key, context, now)),
      );
      return { evaluations, version: versionFor(deps.flags, tenantId) };
    },
    explainFlag: async (request, ctx) => {
      const { tenantId, key } = parse({ ...request, expectedKind: Kind.UNSPECIFIED });
      const facts = await factsFor(deps, ctx, tenantId, request.minRevision);
      const { context = {}, time } = request;
      const now = time ? fromTimestamp(time) : deps.clock.now();
      const explanation = deps.flags.replica.evaluator.explain(key, context, facts, now);
      return { evaluation: toEvaluation(key, explanation.evaluation), steps: stepsOf(explanation).map(toStep) };
    },
  };
}

/** What is known of a tenant, with at least the write that answered with a revision. Throws RESOURCE_NOT_FOUND. */
export function factsFor(deps: FlagRpcDeps, ctx: Ctx, tenantId: string, minRevision = ""): NowOrLater<TenantFacts> {
  const known = minRevision === "" ? newestFacts(deps, tenantId) : undefined;
  return known ?? findFacts(deps, ctx, tenantId, minRevision);
}

async function findFacts(deps: FlagRpcDeps, ctx: Ctx, tenantId: string, minRevision: string): Promise<TenantFacts> {
  await catchUp(deps, ctx, minRevision);
  // A tenant that was made a moment ago, here or on another node, is found at a second look: at once, or when the
  // transactions that began before it are over.
  for (let waitedMs = 0; ; waitedMs += CATCH_UP_MS) {
    const facts = newestFacts(deps, tenantId);
    if (facts) return facts;
    await deps.refresh();
    const isNew = waitedMs > 0 || newestFacts(deps, tenantId) || (await deps.findTenant(tenantId));
    if (!isNew || waitedMs > NEW_TENANT_WAIT_MS) throw notFound("Tenant", tenantName(tenantId));
    await sleep(Math.min(CATCH_UP_MS, remainingMs(deps.clock, ctx)), ctx.signal);
  }
}

// The log may be held back by a long transaction; what stops a tenant does not wait for it.
function newestFacts(deps: FlagRpcDeps, tenantId: string): TenantFacts | undefined {
  const facts = deps.flags.replica.facts(tenantId);
  const uid = facts && deps.tenants.byId(tenantId)?.uid;
  const state = uid && deps.tenants.newest(uid)?.state;
  return facts && state && state !== facts.state ? { ...facts, state } : facts;
}

/** As AIP-231 has it. */
const BATCH_MAX = 1_000;
/** A write is in the log as soon as those that began before it are over. */
const CATCH_UP_MS = 5;
/** Our own transactions are over sooner; for others nobody waits with a flag. */
const NEW_TENANT_WAIT_MS = 1_000;

async function catchUp(deps: FlagRpcDeps, ctx: Ctx, minRevision: string): Promise<void> {
  if (minRevision === "") return;
  const { xid } = parsePosition(deps.database, minRevision, "min_revision");
  while (deps.through() <= xid) {
    await deps.refresh();
    if (deps.through() <= xid) await sleep(Math.min(CATCH_UP_MS, remainingMs(deps.clock, ctx)), ctx.signal);
  }
}

interface Parsed {
  readonly key: string;
  readonly expected: FlagKind | undefined;
  readonly context?: EvaluateFlagRequest["context"];
}

function evaluate(
  deps: FlagRpcDeps,
  ctx: Ctx,
  facts: TenantFacts,
  { key, expected, context = {} }: Parsed,
): Evaluation {
  const now = deps.clock.now();
  const evaluation = viewFor(deps.flags, ctx.principal, facts).evaluate(key, context, now, expected);
  if (evaluation.reason !== "ERROR") deps.usage.add(key, evaluation.variant, now);
  return evaluation;
}

const KINDS: Readonly<Record<number, FlagKind>> = { 1: "boolean", 2: "string", 3: "number", 4: "object" };

function parse(request: Pick<EvaluateFlagRequest, "tenant" | "flag" | "expectedKind">, prefix = "") {
  const tenantId = parseId(request.tenant, "tenants", `${prefix}tenant`);
  const key = keyOf(request.flag, "flags", `${prefix}flag`);
  const expected = KINDS[request.expectedKind];
  if (!expected && request.expectedKind !== Kind.UNSPECIFIED) {
    throw invalidField(`${prefix}expected_kind`, "must be BOOLEAN, STRING, NUMBER or OBJECT");
  }
  return { tenantId, key, expected };
}

const NO_SUCH_TENANT: Evaluation = Object.freeze({
  value: undefined,
  variant: undefined,
  reason: "ERROR",
  layer: "ERROR",
  ruleId: undefined,
  errorCode: "INVALID_CONTEXT",
  errorMessage: "There is no such tenant",
  flagMetadata: Object.freeze({}),
});
