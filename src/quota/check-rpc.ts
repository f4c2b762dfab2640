import type { CheckQuotaRequest } from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import type { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { allows, type Principal } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { DomainError, invalidField, permissionDenied } from "../errors.ts";
import type { Clock } from "../platform/clock.ts";
import { type FindTenant, tenantTarget } from "../server/access.ts";
import type { Handlers } from "../server/handlers.ts";
import { parseCheck, parseTenant } from "./check-parse-rpc.ts";
import { answerStream } from "./check-stream-rpc.ts";
import { toBatchResponse, toCheckResponse, toStreamResponse } from "./check-write-rpc.ts";
import type { QuotaChecks } from "./checks.ts";
import type { Check, Decision } from "./decision.ts";
import { rateLimitFields } from "./rate-limit-fields.ts";
import { refusalOf } from "./refusal.ts";

export interface CheckRpcDeps {
  readonly checks: QuotaChecks;
  readonly clock: Clock;
  readonly findTenant: FindTenant;
  readonly sha256: (text: string) => Uint8Array;
}

/** The handlers of QuotaService that decide and count. */
export function checkRpc(
  deps: CheckRpcDeps,
): Pick<Handlers<typeof QuotaService>, "checkQuota" | "batchCheckQuota" | "streamQuotaChecks"> {
  return {
    checkQuota: async (request, ctx) => {
      const [result] = await deps.checks.check([parseCheck(request, parseTenant(request.tenant), deps.sha256)]);
      const decision = settle(ctx, request.tenant, result, { enforce: request.enforce, now: deps.clock.now() });
      return toCheckResponse(decision);
    },
    batchCheckQuota: async ({ requests }, ctx) => {
      if (requests.length < 1 || requests.length > BATCH_MAX) {
        throw invalidField("requests", `must have 1 to ${BATCH_MAX} entries`);
      }
      return toBatchResponse(await decideAll(deps, ctx.principal, requests));
    },
    async *streamQuotaChecks(messages, ctx) {
      const answers = answerStream(messages, (requests) => decideAll(deps, ctx.principal, requests));
      for await (const some of answers) yield toStreamResponse(some);
    },
  };
}

/** As many as one message of a stream takes. */
const BATCH_MAX = 1_000;
const PERMISSION = "quotas.check";

/**
 * A decision that answers a call of its own: tells HTTP callers of the limits in headers, and with `enforce` throws what
 * is not ALLOW. Throws the error when the check was refused.
 */
export function settle(
  ctx: Ctx,
  tenant: string,
  result: Decision | DomainError | undefined,
  { enforce, now }: { readonly enforce: boolean; readonly now: number },
): Decision {
  if (!result || result instanceof DomainError) throw result ?? new Error("a check has no result");
  const fields = ctx.setHttpHeader && rateLimitFields(result, now);
  if (fields) {
    if (fields.limit !== "") {
      ctx.setHttpHeader?.("ratelimit-policy", fields.policy);
      ctx.setHttpHeader?.("ratelimit", fields.limit);
    }
    if (fields.retryAfter !== undefined) ctx.setHttpHeader?.("retry-after", fields.retryAfter);
  }
  if (enforce && result.outcome !== "ALLOW") throw refusalOf(tenant, result);
  return result;
}

// Each check by itself: what is wrong with one says nothing of the others. Permission comes before everything that could
// tell whether a tenant or a meter exists.
async function decideAll(
  deps: CheckRpcDeps,
  principal: Principal,
  requests: readonly (CheckQuotaRequest | undefined)[],
): Promise<(Decision | DomainError)[]> {
  const tenantIds = requests.map((request) => attempt(() => parseTenant(request?.tenant ?? "")));
  const permitted = allows(principal, PERMISSION, { kind: "platform" })
    ? tenantIds
    : await Promise.all(tenantIds.map((tenantId) => permit(deps, principal, tenantId)));
  const parsed = permitted.map((tenantId, index) => {
    const request = requests[index];
    if (tenantId instanceof DomainError || !request) return tenantId as DomainError;
    return attempt(() => parseCheck(request, tenantId, deps.sha256));
  });
  const checks = parsed.filter((check): check is Check => !(check instanceof DomainError));
  const decided = checks.length > 0 ? (await deps.checks.check(checks)).values() : [].values();
  return parsed.map((check) => (check instanceof DomainError ? check : (decided.next().value as Decision)));
}

async function permit(
  { findTenant }: CheckRpcDeps,
  principal: Principal,
  tenantId: string | DomainError,
): Promise<string | DomainError> {
  if (tenantId instanceof DomainError) return tenantId;
  const allowed = allows(principal, PERMISSION, await tenantTarget(tenantId, principal, findTenant));
  return allowed ? tenantId : permissionDenied(PERMISSION, `tenants/${tenantId}`);
}

// What parsing refuses, as a value.
function attempt<T>(parse: () => T): T | DomainError {
  try {
    return parse();
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}
