import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { etagOf } from "../aip/name.ts";
import { allows } from "../auth/permission.ts";
import type { Ctx } from "../context.ts";
import { invalidField } from "../errors.ts";
import type { Written } from "../mutation.ts";
import { optionalTimestamp, toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { type FlagRpcDeps, revisionOf } from "./base-rpc.ts";
import { type FlagInit, toDefinition } from "./definition-rpc.ts";
import { type Flag, flagName, type Revision } from "./flag.ts";
import { checkKey, keyOf } from "./name-rpc.ts";
import { flagPatchOf, parseFlagInput } from "./parse-rpc.ts";
import { diffRevisions, listRevisions } from "./revision-service.ts";
import { createFlag, deleteFlag, getFlag, listFlags, rollbackFlag, setKilled, updateFlag } from "./service.ts";

type FlagRpcs =
  | "createFlag"
  | "getFlag"
  | "listFlags"
  | "updateFlag"
  | "deleteFlag"
  | "killFlag"
  | "reviveFlag"
  | "rollbackFlag"
  | "listFlagRevisions"
  | "diffFlagRevisions";

/** The handlers of FlagService for flags and their revisions. */
export function flagsRpc(deps: FlagRpcDeps): Pick<Handlers<typeof FlagService>, FlagRpcs> {
  const id = (name: string, field = "name") => keyOf(name, "flags", field);
  const written = (done: Written<Flag>) => ({ flag: toFlag(done.value), revision: revisionOf(deps, done) });
  return {
    createFlag: async ({ flagId, flag }, ctx) =>
      written(await createFlag(deps, ctx, checkKey(flagId, "flag_id"), parseFlagInput(flag))),
    getFlag: async ({ name }, ctx) => ({ flag: shown(ctx, await getFlag(deps, ctx, id(name))) }),
    listFlags: async (request, ctx) => {
      const { items, token } = await listFlags(deps, ctx, request);
      return { flags: items.map((flag) => shown(ctx, flag)), nextPageToken: token };
    },
    updateFlag: async ({ flag, updateMask }, ctx) => {
      if (!flag) throw invalidField("flag", "must be set");
      const key = id(flag.name, "flag.name");
      return written(await updateFlag(deps, ctx, key, flag.etag, flagPatchOf(flag, updateMask?.paths)));
    },
    deleteFlag: async ({ name, etag, allowMissing }, ctx) => {
      await deleteFlag(deps, ctx, { key: id(name), etag, allowMissing });
      return {};
    },
    killFlag: async ({ name, etag }, ctx) => written(await setKilled(deps, ctx, id(name), etag, true)),
    reviveFlag: async ({ name, etag }, ctx) => written(await setKilled(deps, ctx, id(name), etag, false)),
    rollbackFlag: async ({ name, etag, toRevision }, ctx) => {
      if (toRevision < 1n) throw invalidField("to_revision", "must be at least 1");
      return written(await rollbackFlag(deps, ctx, id(name), etag, Number(toRevision)));
    },
    listFlagRevisions: async ({ name, ...page }, ctx) => {
      const { items, token } = await listRevisions(deps, ctx, id(name), page);
      return { flagRevisions: items.map(toRevisionMessage), nextPageToken: token };
    },
    diffFlagRevisions: async ({ name, fromRevision, toRevision }, ctx) => {
      if (fromRevision < 0n) throw invalidField("from_revision", "must not be negative");
      if (toRevision < 0n) throw invalidField("to_revision", "must not be negative");
      const diff = await diffRevisions(deps, ctx, id(name), Number(fromRevision), Number(toRevision));
      const text = (value: unknown) => (value === null ? "" : JSON.stringify(value));
      return {
        differences: diff.differences.map(({ field, before, after }) => ({
          field,
          before: text(before),
          after: text(after),
        })),
        fromRevision: BigInt(diff.from),
        toRevision: BigInt(diff.to),
      };
    },
  };
}

/** A flag as proto has it. */
export function toFlag(flag: Flag): FlagInit {
  const { uid, definition, description, owner, labels, tenantOverridable, revision } = flag;
  return {
    ...toDefinition(definition),
    name: flagName(definition.key),
    ...{ uid, description, tenantOverridable, owner },
    labels: { ...labels },
    ...optionalTimestamp("expireTime", flag.expiresAt),
    revision: BigInt(revision),
    etag: etagOf(uid, revision),
    createTime: toTimestamp(flag.createdAt),
    updateTime: toTimestamp(flag.updatedAt),
  };
}

// Rules name other tenants, and notes are the platform's own: who may only override a flag sees what it can be set to.
function shown(ctx: Ctx, flag: Flag): FlagInit {
  if (allows(ctx.principal, "flags.get", { kind: "platform" })) return toFlag(flag);
  const { key, kind, state, variants } = flag.definition;
  return {
    ...toDefinition({ key, kind, state, variants }),
    name: flagName(key),
    description: flag.description,
    tenantOverridable: flag.tenantOverridable,
    createTime: toTimestamp(flag.createdAt),
    updateTime: toTimestamp(flag.updatedAt),
  };
}

function toRevisionMessage({ flag, verb, actor, reason, at }: Revision) {
  return { flag: toFlag(flag), verb, actor, reason, createTime: toTimestamp(at) };
}
