import { parseFilter } from "../aip/filter.ts";
import { requireEtag } from "../aip/name.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, notFound } from "../errors.ts";
import { mutate, type Written } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { viewGroup } from "./audit-view.ts";
import {
  type Deletion,
  FLAGS_ROOT,
  type FlagDeps,
  type PageInput,
  readFor,
  readPage,
  requireUnused,
} from "./base-service.ts";
import { checkGroup } from "./check-service.ts";
import { type Group, groupName } from "./flag.ts";
import { GROUP_FILTER } from "./query.ts";
import { deleteGroupRow, insertGroup, selectGroup, selectGroups, updateGroupRow } from "./segment-store.ts";

/** What a caller decides of a group; of the definition only its form is known. */
export interface GroupInput {
  readonly description: string;
  readonly definition: Readonly<Record<string, unknown>>;
}

/** Creates a group. Throws RESOURCE_EXISTS and INVALID_FIELDS. */
export function createGroup(deps: FlagDeps, ctx: Ctx, key: string, input: GroupInput): Promise<Written<Group>> {
  return mutate(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    if (await selectGroup(tx, key)) throw alreadyExists("FlagGroup", groupName(key));
    const definition = checkGroup(deps.regex, {
      field: "flag_group",
      definition: { salt: key, ...input.definition, key },
    });
    const { description } = input;
    const group: Group = { uid: deps.ids.uuid(), definition, description, revision: 1, createdAt: now, updatedAt: now };
    await insertGroup(tx, group);
    await record({ ...noun(key), before: null, after: group });
    return group;
  });
}

/** Reads a group. Throws RESOURCE_NOT_FOUND. */
export function getGroup(deps: FlagDeps, ctx: Ctx, key: string): Promise<Group> {
  return readFor(deps, ctx, (tx) => requireGroup(tx, key));
}

/** Lists groups by key. Throws INVALID_FIELDS and PAGE_TOKEN_INVALID. */
export function listGroups(deps: FlagDeps, ctx: Ctx, input: PageInput & { readonly filter: string }) {
  const filter = parseFilter(input.filter, GROUP_FILTER);
  return readPage<Group>(deps, ctx, {
    ...input,
    query: [input.filter],
    select: (tx, after, limit) => selectGroups(tx, { filter, after, limit }),
    key: (last) => last.definition.key,
  });
}

/** Writes a group's description. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export function updateGroup(deps: FlagDeps, ctx: Ctx, key: string, etag: string, description: string) {
  return mutate<Group>(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    const before = await requireGroup(tx, key);
    requireEtag(etag, before.uid, before.revision, groupName(key));
    const after = { ...before, description, revision: before.revision + 1, updatedAt: now };
    await updateGroupRow(tx, after);
    await record({ ...noun(key), before, after });
    return after;
  });
}

/** Deletes a group. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and HAS_DEPENDENTS. */
export function deleteGroup(deps: FlagDeps, ctx: Ctx, deletion: Deletion): Promise<Written<object>> {
  const { key, etag, allowMissing } = deletion;
  return mutate(deps, ctx, FLAGS_ROOT, async ({ tx, record }) => {
    const before = await selectGroup(tx, key);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("FlagGroup", groupName(key));
    requireEtag(etag, before.uid, before.revision, groupName(key));
    await requireUnused(tx, "group", key, groupName(key));
    await deleteGroupRow(tx, before.uid);
    await record({ ...noun(key), before, after: null });
    return {};
  });
}

async function requireGroup(sql: Queryable, key: string): Promise<Group> {
  const group = await selectGroup(sql, key);
  if (!group) throw notFound("FlagGroup", groupName(key));
  return group;
}

function noun(key: string) {
  const resource = groupName(key);
  return { noun: "flagGroup" as const, resource, tenantUid: null, integratorUid: null, auditView: viewGroup };
}
