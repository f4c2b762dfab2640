import type { MessageInitShape } from "@bufbuild/protobuf";
import type { QuotaGrant as ProtoGrant, QuotaGrantSchema } from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import type { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { checkText, etagOf, LIMIT_ID, parseId, parseName } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import { optionalTimestamp, parseInstant, toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { grantName, type QuotaGrant } from "./grant.ts";
import {
  createGrant,
  type GrantDeps,
  type GrantRef,
  getGrant,
  listGrants,
  type NewGrant,
  voidGrant,
} from "./grant-service.ts";

type GrantRpcs = "createQuotaGrant" | "getQuotaGrant" | "listQuotaGrants" | "voidQuotaGrant";

/** The handlers of QuotaService for grants. */
export function grantRpc(deps: GrantDeps): Pick<Handlers<typeof QuotaService>, GrantRpcs> {
  return {
    createQuotaGrant: async ({ parent, quotaGrant, quotaGrantId }, ctx) => {
      const problems = new Problems();
      const tenantId = parseId(parent, "tenants", "parent");
      const grantId = quotaGrantId || `g-${deps.ids.uuid().slice(0, 13)}`;
      if (!/^[a-z0-9-]{1,63}$/.test(grantId)) problems.add("quota_grant_id", "must be 1 to 63 of [a-z0-9-]");
      const input = parseGrant(problems, quotaGrant);
      problems.throwIfAny();
      return { quotaGrant: toGrant(await createGrant(deps, ctx, { tenantId, grantId }, input)) };
    },
    getQuotaGrant: async ({ name }, ctx) => ({ quotaGrant: toGrant(await getGrant(deps, ctx, refOf(name))) }),
    listQuotaGrants: async ({ parent, pageSize, pageToken, showExpired }, ctx) => {
      const tenantId = parseId(parent, "tenants", "parent");
      const query = { tenantId, pageSize, pageToken, showOver: showExpired };
      const { items, token } = await listGrants(deps, ctx, query);
      return { quotaGrants: items.map(toGrant), nextPageToken: token };
    },
    voidQuotaGrant: async ({ name, etag }, ctx) => ({
      quotaGrant: toGrant(await voidGrant(deps, ctx, refOf(name), etag)),
    }),
  };
}

/** Finer steps than anybody can tell apart. */
const PRIORITY_MAX = 255;

function refOf(name: string): GrantRef {
  const [tenantId = "", grantId = ""] = parseName(name, ["tenants", "quotaGrants"], "name");
  return { tenantId, grantId };
}

function parseGrant(problems: Problems, grant: ProtoGrant | undefined): NewGrant {
  if (!grant) throw invalidField("quota_grant", "must be set");
  const { limitId, amount, priority, reason } = grant;
  if (!LIMIT_ID.test(limitId)) problems.add("quota_grant.limit_id", "must be 1 to 63 of [a-z0-9_.-], first a letter");
  if (amount < 1n) problems.add("quota_grant.amount", "must be at least 1");
  if (priority < 0 || priority > PRIORITY_MAX) problems.add("quota_grant.priority", `must be 0 to ${PRIORITY_MAX}`);
  checkText(problems, "quota_grant.reason", reason, 1, 500);
  const startsAt = parseInstant(problems, "quota_grant.start_time", grant.startTime);
  const expiresAt = parseInstant(problems, "quota_grant.expire_time", grant.expireTime);
  return { limitId, amount: String(amount), priority, startsAt, expiresAt, reason };
}

function toGrant(grant: QuotaGrant): MessageInitShape<typeof QuotaGrantSchema> {
  return {
    name: grantName(grant),
    limitId: grant.limitId,
    amount: BigInt(grant.amount),
    usedAmount: BigInt(grant.usedAmount),
    priority: grant.priority,
    startTime: toTimestamp(grant.startsAt),
    ...optionalTimestamp("expireTime", grant.expiresAt),
    ...optionalTimestamp("voidTime", grant.voidedAt),
    reason: grant.reason,
    creator: grant.creator,
    etag: etagOf(grant.uid, grant.revision),
    createTime: toTimestamp(grant.createdAt),
  };
}
