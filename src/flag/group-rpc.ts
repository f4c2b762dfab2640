import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FlagGroupSchema, FlagGroup as ProtoGroup } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { etagOf } from "../aip/name.ts";
import { invalidField } from "../errors.ts";
import type { Written } from "../mutation.ts";
import { toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { type FlagRpcDeps, revisionOf } from "./base-rpc.ts";
import { type Group, groupName } from "./flag.ts";
import { createGroup, deleteGroup, type GroupInput, getGroup, listGroups, updateGroup } from "./group-service.ts";
import { checkDescription, checkKey, keyOf, writtenFields } from "./name-rpc.ts";

type GroupRpcs = "createFlagGroup" | "getFlagGroup" | "listFlagGroups" | "updateFlagGroup" | "deleteFlagGroup";

/** The handlers of FlagService for groups. */
export function groupRpc(deps: FlagRpcDeps): Pick<Handlers<typeof FlagService>, GroupRpcs> {
  const id = (name: string, field = "name") => keyOf(name, "flagGroups", field);
  const written = (done: Written<Group>) => ({ flagGroup: toGroup(done.value), revision: revisionOf(deps, done) });
  return {
    createFlagGroup: async ({ flagGroupId, flagGroup }, ctx) =>
      written(await createGroup(deps, ctx, checkKey(flagGroupId, "flag_group_id"), parseGroup(flagGroup))),
    getFlagGroup: async ({ name }, ctx) => ({ flagGroup: toGroup(await getGroup(deps, ctx, id(name))) }),
    listFlagGroups: async (request, ctx) => {
      const { items, token } = await listGroups(deps, ctx, request);
      return { flagGroups: items.map(toGroup), nextPageToken: token };
    },
    updateFlagGroup: async ({ flagGroup, updateMask }, ctx) => {
      if (!flagGroup) throw invalidField("flag_group", "must be set");
      const { name, etag, description } = flagGroup;
      writtenFields(updateMask?.paths, { description }, FIELDS);
      const key = id(name, "flag_group.name");
      return written(await updateGroup(deps, ctx, key, etag, checkDescription("flag_group", description)));
    },
    deleteFlagGroup: async ({ name, etag, allowMissing }, ctx) => {
      await deleteGroup(deps, ctx, { key: id(name), etag, allowMissing });
      return {};
    },
  };
}

const FIELDS = { description: "writable", salt: "immutable", bucketing: "immutable", bucket_by: "immutable" } as const;

function parseGroup(group: ProtoGroup | undefined): GroupInput {
  if (!group) throw invalidField("flag_group", "must be set");
  const { salt, bucketing, bucketBy } = group;
  const texts = { ...(salt === "" ? {} : { salt }), ...(bucketBy === "" ? {} : { bucketBy }) };
  const description = checkDescription("flag_group", group.description);
  return { description, definition: { ...texts, bucketing: bucketing || 1 } };
}

function toGroup({ uid, definition, description, ...group }: Group): MessageInitShape<typeof FlagGroupSchema> {
  const { key, salt, bucketing, bucketBy = "" } = definition;
  return {
    name: groupName(key),
    uid,
    description,
    salt,
    bucketing,
    bucketBy,
    etag: etagOf(uid, group.revision),
    createTime: toTimestamp(group.createdAt),
    updateTime: toTimestamp(group.updatedAt),
  };
}
