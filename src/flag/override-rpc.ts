import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  FlagOverrideSchema,
  FlagOverride as ProtoOverride,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { checkText, etagOf, parseId } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import type { Written } from "../mutation.ts";
import { fromTimestamp, optionalTimestamp, toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { type FlagRpcDeps, revisionOf } from "./base-rpc.ts";
import { fromServe, toServe } from "./definition-rpc.ts";
import { type Override, overrideName } from "./flag.ts";
import { checkKey, keyOf, overrideIdOf, writtenFields } from "./name-rpc.ts";
import {
  createOverride,
  deleteOverride,
  getOverride,
  listOverrides,
  type OverrideInput,
  updateOverride,
} from "./override-service.ts";

type OverrideRpcs =
  | "createFlagOverride"
  | "getFlagOverride"
  | "listFlagOverrides"
  | "updateFlagOverride"
  | "deleteFlagOverride";

/** The handlers of FlagService for overrides. */
export function overrideRpc(deps: FlagRpcDeps): Pick<Handlers<typeof FlagService>, OverrideRpcs> {
  const written = (done: Written<Override>) => ({
    flagOverride: toOverride(done.value),
    revision: revisionOf(deps, done),
  });
  return {
    createFlagOverride: async ({ parent, flagOverrideId, flagOverride }, ctx) => {
      const id = {
        tenantId: parseId(parent, "tenants", "parent"),
        flagKey: checkKey(flagOverrideId, "flag_override_id"),
      };
      return written(await createOverride(deps, ctx, id, parseOverride(flagOverride)));
    },
    getFlagOverride: async ({ name }, ctx) => ({
      flagOverride: toOverride(await getOverride(deps, ctx, overrideIdOf(name))),
    }),
    listFlagOverrides: async ({ parent, flag, ...page }, ctx) => {
      const tenantId = parent === "" ? undefined : parseId(parent, "tenants", "parent");
      const flagKey = flag === "" ? undefined : keyOf(flag, "flags", "flag");
      const { items, token } = await listOverrides(deps, ctx, { ...page, tenantId, flagKey });
      return { flagOverrides: items.map(toOverride), nextPageToken: token };
    },
    updateFlagOverride: async ({ flagOverride, updateMask }, ctx) => {
      if (!flagOverride) throw invalidField("flag_override", "must be set");
      const id = overrideIdOf(flagOverride.name, "flag_override.name");
      const patch = patchOf(flagOverride, updateMask?.paths);
      return written(await updateOverride(deps, ctx, id, flagOverride.etag, patch));
    },
    deleteFlagOverride: async ({ name, etag, allowMissing }, ctx) => {
      await deleteOverride(deps, ctx, overrideIdOf(name), { etag, allowMissing });
      return {};
    },
  };
}

function parseOverride(override: ProtoOverride | undefined): OverrideInput {
  if (!override) throw invalidField("flag_override", "must be set");
  const { serve, reason, expireTime } = override;
  const problems = new Problems();
  checkText(problems, "flag_override.reason", reason, 0, 500);
  problems.throwIfAny();
  return { serve: serve ? fromServe(serve) : {}, reason, expiresAt: expireTime ? fromTimestamp(expireTime) : null };
}

function patchOf(override: ProtoOverride, mask: readonly string[] | undefined): Partial<OverrideInput> {
  const present = { serve: override.serve, reason: override.reason, expire_time: override.expireTime };
  const known = { serve: "writable", reason: "writable", expire_time: "writable", writer: "output" } as const;
  const fields = writtenFields(mask, present, known);
  const { serve, reason, expiresAt } = parseOverride(fields.has("reason") ? override : { ...override, reason: "" });
  return {
    ...(fields.has("serve") ? { serve } : {}),
    ...(fields.has("reason") ? { reason } : {}),
    ...(fields.has("expire_time") ? { expiresAt } : {}),
  };
}

function toOverride(override: Override): MessageInitShape<typeof FlagOverrideSchema> {
  return {
    name: overrideName(override.tenantId, override.flagKey),
    serve: toServe(override.serve),
    reason: override.reason,
    writer: override.writer,
    ...optionalTimestamp("expireTime", override.expiresAt),
    etag: etagOf(override.flagUid, override.revision),
    createTime: toTimestamp(override.createdAt),
    updateTime: toTimestamp(override.updatedAt),
  };
}
