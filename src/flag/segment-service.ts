import type { MembershipPatch, SegmentDefinition } from "@tenantplane/sdk/evaluate";
import { parseFilter } from "../aip/filter.ts";
import { requireEtag } from "../aip/name.ts";
import type { Ctx } from "../context.ts";
import { alreadyExists, invalidField, notFound } from "../errors.ts";
import { type Mutation, mutate, type Written } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { viewMembership, viewSegment } from "./audit-view.ts";
import {
  type Deletion,
  FLAGS_ROOT,
  type FlagDeps,
  type PageInput,
  readFor,
  readPage,
  requireUnused,
} from "./base-service.ts";
import { checkDocuments, only } from "./check-service.ts";
import { type Segment, segmentName } from "./flag.ts";
import { SEGMENT_FILTER } from "./query.ts";
import {
  deleteMembers,
  deleteSegmentRow,
  insertSegment,
  selectMembers,
  selectMembersByKey,
  selectSegment,
  selectSegments,
  updateSegmentRow,
  upsertMembers,
} from "./segment-store.ts";

/** What a caller decides of a segment; of the definition only its form is known. */
export interface SegmentInput {
  readonly description: string;
  readonly definition: Readonly<Record<string, unknown>>;
}

/** Creates a segment without members. Throws RESOURCE_EXISTS, and INVALID_FIELDS for all that is wrong with it. */
export function createSegment(deps: FlagDeps, ctx: Ctx, key: string, input: SegmentInput): Promise<Written<Segment>> {
  return mutate(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    if (await selectSegment(tx, key)) throw alreadyExists("FlagSegment", segmentName(key));
    const definition = await checkSegment(deps, tx, { ...input.definition, key });
    const times = { createdAt: now, updatedAt: now };
    const counts = { includedCount: 0, excludedCount: 0 };
    const { description } = input;
    const segment: Segment = { uid: deps.ids.uuid(), definition, description, ...counts, revision: 1, ...times };
    await insertSegment(tx, segment);
    await record({ ...noun(key), before: null, after: segment });
    return segment;
  });
}

/** Reads a segment. Throws RESOURCE_NOT_FOUND. */
export function getSegment(deps: FlagDeps, ctx: Ctx, key: string): Promise<Segment> {
  return readFor(deps, ctx, (tx) => requireSegment(tx, key));
}

/** Lists segments by key. Throws INVALID_FIELDS and PAGE_TOKEN_INVALID. */
export function listSegments(deps: FlagDeps, ctx: Ctx, input: PageInput & { readonly filter: string }) {
  const filter = parseFilter(input.filter, SEGMENT_FILTER);
  return readPage<Segment>(deps, ctx, {
    ...input,
    query: [input.filter],
    select: (tx, after, limit) => selectSegments(tx, { filter, after, limit }),
    key: (last) => last.definition.key,
  });
}

/** Writes fields of a segment. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH, INVALID_FIELDS and HAS_DEPENDENTS. */
export function updateSegment(deps: FlagDeps, ctx: Ctx, key: string, etag: string, patch: Partial<SegmentInput>) {
  return mutate<Segment>(deps, ctx, FLAGS_ROOT, async ({ tx, now, record }) => {
    const before = await requireSegment(tx, key);
    requireEtag(etag, before.uid, before.revision, segmentName(key));
    const fields = Object.entries({ ...before.definition, ...patch.definition }).filter(([, value]) => value !== null);
    const definition = await checkSegment(deps, tx, Object.fromEntries(fields));
    const after = { ...before, ...patch, definition, revision: before.revision + 1, updatedAt: now };
    await updateSegmentRow(tx, after);
    await record({ ...noun(key), before, after });
    return after;
  });
}

/** Deletes a segment with its members. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and HAS_DEPENDENTS. */
export function deleteSegment(deps: FlagDeps, ctx: Ctx, deletion: Deletion): Promise<Written<object>> {
  const { key, etag, allowMissing } = deletion;
  return mutate(deps, ctx, FLAGS_ROOT, async ({ tx, record }) => {
    const before = await selectSegment(tx, key);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("FlagSegment", segmentName(key));
    requireEtag(etag, before.uid, before.revision, segmentName(key));
    await requireUnused(tx, "segment", key, segmentName(key));
    await deleteSegmentRow(tx, before.uid);
    await record({ ...noun(key), before, after: null });
    return {};
  });
}

/** Keys for the lists of a segment. */
export interface Members {
  readonly key: string;
  readonly etag: string;
  readonly keys: readonly string[];
}

/** Puts keys into one of a segment's lists, out of the other. Throws RESOURCE_NOT_FOUND and INVALID_FIELDS. */
export function addMembers(deps: FlagDeps, ctx: Ctx, which: Members, excluded: boolean) {
  const { key, keys } = which;
  return changeMembers(deps, ctx, which, async (segment, { tx }) => {
    const known = await selectMembersByKey(tx, segment.uid, keys);
    const settled = new Set(known.filter((member) => member.excluded === excluded).map((member) => member.key));
    const added = [...new Set(keys)].filter((member) => !settled.has(member));
    const moved = known.length - settled.size;
    const change = excluded
      ? { included: -moved, excluded: added.length }
      : { included: added.length, excluded: -moved };
    await upsertMembers(tx, segment.uid, added, excluded);
    return { change, patch: { segment: key, [excluded ? "exclude" : "include"]: added }, count: added.length };
  });
}

/** Takes keys out of both of a segment's lists. Throws RESOURCE_NOT_FOUND. */
export function removeMembers(deps: FlagDeps, ctx: Ctx, which: Members) {
  const { key, keys } = which;
  return changeMembers(deps, ctx, which, async (segment, { tx }) => {
    const known = await selectMembersByKey(tx, segment.uid, keys);
    const excluded = known.filter((member) => member.excluded).length;
    await deleteMembers(tx, segment.uid, keys);
    const patch = { segment: key, remove: known.map((member) => member.key).sort() };
    return { change: { included: excluded - known.length, excluded: -excluded }, patch, count: known.length };
  });
}

/** Lists the keys of one of a segment's lists. Throws RESOURCE_NOT_FOUND and PAGE_TOKEN_INVALID. */
export function listMembers(deps: FlagDeps, ctx: Ctx, key: string, excluded: boolean, page: PageInput) {
  return readPage<string>(deps, ctx, {
    ...page,
    query: [key, excluded],
    select: async (tx, after, limit) => {
      const { uid } = await requireSegment(tx, key);
      return selectMembers(tx, { segmentUid: uid, excluded, after, limit });
    },
    key: (last) => last,
  });
}

/** Keys of one of a segment's lists: larger ones are a table of an application. */
const LIST_MAX_KEYS = 100_000;

async function changeMembers(
  deps: FlagDeps,
  ctx: Ctx,
  { key, etag }: Members,
  apply: (
    segment: Segment,
    mutation: Mutation,
  ) => Promise<{ change: { included: number; excluded: number }; patch: MembershipPatch; count: number }>,
): Promise<Written<Segment>> {
  return mutate(deps, ctx, FLAGS_ROOT, async (mutation) => {
    const segment = await requireSegment(mutation.tx, key);
    requireEtag(etag, segment.uid, segment.revision, segmentName(key));
    const { change, patch, count } = await apply(segment, mutation);
    if (count === 0) return segment;
    const includedCount = segment.includedCount + change.included;
    const excludedCount = segment.excludedCount + change.excluded;
    if (Math.max(includedCount, excludedCount) > LIST_MAX_KEYS) {
      throw invalidField("keys", `a list may have at most ${LIST_MAX_KEYS} keys`);
    }
    const after = { ...segment, includedCount, excludedCount };
    await updateSegmentRow(mutation.tx, after);
    // The change and not the lists: nobody is told a hundred thousand keys because one came.
    const row = { ...noun(key), noun: "flagMembership" as const, auditView: viewMembership };
    await mutation.record<MembershipPatch>({ ...row, before: null, after: patch });
    return after;
  });
}

async function checkSegment(deps: FlagDeps, tx: Queryable, unchecked: unknown): Promise<SegmentDefinition> {
  const documents = { flags: [], segments: [{ field: "flag_segment", definition: unchecked }] };
  return only((await checkDocuments(tx, deps.regex, documents)).segments);
}

async function requireSegment(sql: Queryable, key: string): Promise<Segment> {
  const segment = await selectSegment(sql, key);
  if (!segment) throw notFound("FlagSegment", segmentName(key));
  return segment;
}

function noun(key: string) {
  const resource = segmentName(key);
  return { noun: "flagSegment" as const, resource, tenantUid: null, integratorUid: null, auditView: viewSegment };
}
