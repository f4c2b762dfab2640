import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  QuotaOverride as ProtoOverride,
  QuotaOverrideSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_admin_pb";
import type { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkText, etagOf, parseId, parseName } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import { optionalTimestamp, parseInstant, toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { parseLimit, toLimit } from "../server/limit.ts";
import { overrideName, type QuotaOverride } from "./override.ts";
import {
  createOverride,
  deleteOverride,
  getOverride,
  listOverrides,
  type OverrideDeps,
  type OverrideInput,
  type OverrideRef,
  updateOverride,
} from "./override-service.ts";

type OverrideRpcs =
  | "createQuotaOverride"
  | "getQuotaOverride"
  | "listQuotaOverrides"
  | "updateQuotaOverride"
  | "deleteQuotaOverride";

/** The handlers of QuotaService for overrides. */
export function overrideRpc(deps: OverrideDeps): Pick<Handlers<typeof QuotaService>, OverrideRpcs> {
  return {
    createQuotaOverride: async ({ parent, quotaOverride, quotaOverrideId }, ctx) => {
      const problems = new Problems();
      const tenantId = parseId(parent, "tenants", "parent");
      const overrideId = quotaOverrideId || `o-${deps.ids.uuid().slice(0, 13)}`;
      if (!/^[a-z0-9-]{1,63}$/.test(overrideId)) problems.add("quota_override_id", "must be 1 to 63 of [a-z0-9-]");
      const input = parseOverride(problems, quotaOverride);
      problems.throwIfAny();
      return { quotaOverride: toOverride(await createOverride(deps, ctx, { tenantId, overrideId }, input)) };
    },
    getQuotaOverride: async ({ name }, ctx) => ({
      quotaOverride: toOverride(await getOverride(deps, ctx, refOf(name))),
    }),
    listQuotaOverrides: async ({ parent, pageSize, pageToken, showExpired }, ctx) => {
      const tenantId = parseId(parent, "tenants", "parent");
      const query = { tenantId, pageSize, pageToken, showEnded: showExpired };
      const { items, token } = await listOverrides(deps, ctx, query);
      return { quotaOverrides: items.map(toOverride), nextPageToken: token };
    },
    updateQuotaOverride: async ({ quotaOverride, updateMask }, ctx) => {
      if (!quotaOverride) throw invalidField("quota_override", "must be set");
      const { name, etag } = quotaOverride;
      const input = { ...refOf(name, "quota_override.name"), etag, patch: patchOf(quotaOverride, updateMask?.paths) };
      return { quotaOverride: toOverride(await updateOverride(deps, ctx, input)) };
    },
    deleteQuotaOverride: async ({ name, etag, allowMissing }, ctx) => {
      await deleteOverride(deps, ctx, { ...refOf(name), etag, allowMissing });
      return {};
    },
  };
}

function refOf(name: string, field = "name"): OverrideRef {
  const [tenantId = "", overrideId = ""] = parseName(name, ["tenants", "quotaOverrides"], field);
  return { tenantId, overrideId };
}

function parseOverride(problems: Problems, override: ProtoOverride | undefined): OverrideInput {
  if (!override?.limit) throw invalidField(override ? "quota_override.limit" : "quota_override", "must be set");
  return { ...parseTexts(problems, override), limit: parseLimitOf(problems, override) };
}

function parseTexts(problems: Problems, override: ProtoOverride): Pick<OverrideInput, "reason" | "expiresAt"> {
  checkText(problems, "quota_override.reason", override.reason, 1, 500);
  const expiresAt = parseInstant(problems, "quota_override.expire_time", override.expireTime);
  return { reason: override.reason, expiresAt };
}

function parseLimitOf(problems: Problems, { limitId, limit }: ProtoOverride): OverrideInput["limit"] {
  if (!limit) throw invalidField("quota_override.limit", "must be set");
  if (limitId !== "" && limit.limitId !== "" && limit.limitId !== limitId) {
    problems.add("quota_override.limit.limit_id", "must be the override's limit_id, or empty");
  }
  return parseLimit(problems, "quota_override.limit", { ...limit, limitId: limit.limitId || limitId });
}

const FIELDS = {
  limit: "writable",
  reason: "writable",
  expire_time: "writable",
  limit_id: "immutable",
  name: "output",
  creator: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;

function patchOf(override: ProtoOverride, mask: readonly string[] | undefined): Partial<OverrideInput> {
  const populated = [
    ...(override.limit ? ["limit"] : []),
    ...(override.reason ? ["reason"] : []),
    ...(override.expireTime ? ["expire_time"] : []),
  ];
  const named = maskedFields(mask, populated, FIELDS);
  const problems = new Problems();
  const { reason, expiresAt } = parseTexts(problems, override);
  const limit = named.has("limit") ? parseLimitOf(problems, override) : undefined;
  const fields = checkedFields(named, problems);
  return {
    ...(limit ? { limit } : {}),
    ...(fields.has("reason") ? { reason } : {}),
    ...(fields.has("expire_time") ? { expiresAt } : {}),
  };
}

function toOverride(override: QuotaOverride): MessageInitShape<typeof QuotaOverrideSchema> {
  return {
    name: overrideName(override),
    limitId: override.limit.limitId,
    limit: toLimit(override.limit),
    reason: override.reason,
    creator: override.creator,
    ...optionalTimestamp("expireTime", override.expiresAt),
    etag: etagOf(override.uid, override.revision),
    createTime: toTimestamp(override.createdAt),
    updateTime: toTimestamp(override.updatedAt),
  };
}
