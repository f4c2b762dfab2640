import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type FlagSegmentSchema,
  FlagSegment_List as List,
  type FlagSegment as ProtoSegment,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { etagOf } from "../aip/name.ts";
import { invalidField } from "../errors.ts";
import type { Written } from "../mutation.ts";
import { toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { type FlagRpcDeps, revisionOf } from "./base-rpc.ts";
import { fromMatch, toMatch } from "./definition-rpc.ts";
import { type Segment, segmentName } from "./flag.ts";
import { checkDescription, checkKey, keyOf, writtenFields } from "./name-rpc.ts";
import {
  addMembers,
  createSegment,
  deleteSegment,
  getSegment,
  listMembers,
  listSegments,
  removeMembers,
  type SegmentInput,
  updateSegment,
} from "./segment-service.ts";

type SegmentRpcs =
  | "createFlagSegment"
  | "getFlagSegment"
  | "listFlagSegments"
  | "updateFlagSegment"
  | "deleteFlagSegment"
  | "addFlagSegmentMembers"
  | "removeFlagSegmentMembers"
  | "listFlagSegmentMembers";

/** The handlers of FlagService for segments. */
export function segmentRpc(deps: FlagRpcDeps): Pick<Handlers<typeof FlagService>, SegmentRpcs> {
  const id = (name: string, field = "name") => keyOf(name, "flagSegments", field);
  const written = (done: Written<Segment>) => ({
    flagSegment: toSegment(done.value),
    revision: revisionOf(deps, done),
  });
  return {
    createFlagSegment: async ({ flagSegmentId, flagSegment }, ctx) => {
      const key = checkKey(flagSegmentId, "flag_segment_id");
      return written(await createSegment(deps, ctx, key, parseSegment(flagSegment)));
    },
    getFlagSegment: async ({ name }, ctx) => ({ flagSegment: toSegment(await getSegment(deps, ctx, id(name))) }),
    listFlagSegments: async (request, ctx) => {
      const { items, token } = await listSegments(deps, ctx, request);
      return { flagSegments: items.map(toSegment), nextPageToken: token };
    },
    updateFlagSegment: async ({ flagSegment, updateMask }, ctx) => {
      if (!flagSegment) throw invalidField("flag_segment", "must be set");
      const key = id(flagSegment.name, "flag_segment.name");
      const patch = patchOf(flagSegment, updateMask?.paths);
      return written(await updateSegment(deps, ctx, key, flagSegment.etag, patch));
    },
    deleteFlagSegment: async ({ name, etag, allowMissing }, ctx) => {
      await deleteSegment(deps, ctx, { key: id(name), etag, allowMissing });
      return {};
    },
    addFlagSegmentMembers: async ({ name, etag, keys, list }, ctx) =>
      written(await addMembers(deps, ctx, { key: id(name), etag, keys: memberKeys(keys) }, isExcluded(list))),
    removeFlagSegmentMembers: async ({ name, etag, keys }, ctx) =>
      written(await removeMembers(deps, ctx, { key: id(name), etag, keys: memberKeys(keys) })),
    listFlagSegmentMembers: async ({ name, list, ...page }, ctx) => {
      const { items, token } = await listMembers(deps, ctx, id(name), isExcluded(list), page);
      return { flagSegmentMembers: items.map((key) => ({ key })), nextPageToken: token };
    },
  };
}

/** As AIP-231 has it. */
const MEMBERS_MAX = 1_000;

function memberKeys(keys: readonly string[]): readonly string[] {
  if (keys.length === 0 || keys.length > MEMBERS_MAX) throw invalidField("keys", `must be 1 to ${MEMBERS_MAX}`);
  return keys.map((key, index) => checkKey(key, `keys[${index}]`));
}

function isExcluded(list: List): boolean {
  if (list === List.EXCLUDED) return true;
  if (list === List.UNSPECIFIED || list === List.INCLUDED) return false;
  throw invalidField("list", "must be INCLUDED or EXCLUDED");
}

function parseSegment(segment: ProtoSegment | undefined): SegmentInput {
  if (!segment) throw invalidField("flag_segment", "must be set");
  const { matches, memberBy } = segment;
  const definition = {
    ...(matches.length > 0 ? { matches: matches.map(fromMatch) } : {}),
    ...(memberBy === "" ? {} : { memberBy }),
  };
  return { description: checkDescription("flag_segment", segment.description), definition };
}

function patchOf(segment: ProtoSegment, mask: readonly string[] | undefined): Partial<SegmentInput> {
  const { description, matches, memberBy } = segment;
  const present = { description, matches: matches.length, member_by: memberBy };
  const counts = { included_count: "output", excluded_count: "output" } as const;
  const known = { description: "writable", matches: "writable", member_by: "writable", ...counts } as const;
  const fields = writtenFields(mask, present, known);
  const input = parseSegment(fields.has("description") ? segment : { ...segment, description: "" });
  return {
    ...(fields.has("description") ? { description } : {}),
    definition: {
      ...(fields.has("matches") ? { matches: input.definition.matches ?? null } : {}),
      ...(fields.has("member_by") ? { memberBy: input.definition.memberBy ?? null } : {}),
    },
  };
}

function toSegment(segment: Segment): MessageInitShape<typeof FlagSegmentSchema> {
  const { uid, definition, description, includedCount, excludedCount, revision } = segment;
  return {
    name: segmentName(definition.key),
    uid,
    description,
    matches: (definition.matches ?? []).map(toMatch),
    memberBy: definition.memberBy ?? "",
    includedCount,
    excludedCount,
    etag: etagOf(uid, revision),
    createTime: toTimestamp(segment.createdAt),
    updateTime: toTimestamp(segment.updatedAt),
  };
}
