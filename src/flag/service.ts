import type { FlagDefinition, RegexCompiler } from "@tenantplane/sdk/evaluate";
import { parseFilter } from "../aip/filter.ts";
import { requireEtag } from "../aip/name.ts";
import { parseOrderBy } from "../aip/order-by.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize } from "../aip/page.ts";
import { type Ctx, rowScope } from "../context.ts";
import { alreadyExists, invalidField, notFound } from "../errors.ts";
import { type Mutation, mutate, type Written } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import {
  type Deletion,
  FLAGS_ROOT,
  type FlagDeps,
  type PageInput,
  readFor,
  requireFlag,
  requireUnused,
} from "./base-service.ts";
import { checkDocuments, only } from "./check-service.ts";
import {
  type Flag,
  type FlagInput,
  type FlagPatch,
  flagName,
  patched,
  type RevisionVerb,
  withKilled,
  withoutFalse,
} from "./flag.ts";
import { FLAG_FILTER, FLAG_ORDER, OVERRIDABLE_FLAG_FILTER } from "./query.ts";
import { flagNoun, keep, requireRevision, writeFlag } from "./revision-service.ts";
import { countFlags, deleteFlagRow, insertFlag, selectFlag, selectFlags } from "./store.ts";

/** Creates a flag. Throws RESOURCE_EXISTS, and INVALID_FIELDS for all that is wrong with it. */
export function createFlag(deps: FlagDeps, ctx: Ctx, key: string, input: FlagInput): Promise<Written<Flag>> {
  return mutate(deps, ctx, FLAGS_ROOT, async (mutation) => {
    const { tx, now } = mutation;
    if (await selectFlag(tx, key)) throw alreadyExists("Flag", flagName(key));
    if ((await countFlags(tx)) >= FLAGS_MAX) throw invalidField("flag", `there may be at most ${FLAGS_MAX} flags`);
    const { definition: unchecked, ...rest } = input;
    const definition = await checkFlag(tx, deps.regex, { salt: key, ...unchecked, key });
    const flag: Flag = { ...rest, definition, uid: deps.ids.uuid(), revision: 1, createdAt: now, updatedAt: now };
    await insertFlag(tx, flag);
    await keep(mutation, ctx, "create", null, flag);
    return flag;
  });
}

/** Reads a flag. Throws RESOURCE_NOT_FOUND. */
export function getFlag(deps: FlagDeps, ctx: Ctx, key: string): Promise<Flag> {
  return readFor(deps, ctx, (tx) => requireFlag(tx, key));
}

export interface ListFlagsInput extends PageInput {
  readonly filter: string;
  readonly orderBy: string;
}

/** Lists the flags that the caller may see. Throws INVALID_FIELDS and PAGE_TOKEN_INVALID. */
export async function listFlags(deps: FlagDeps, ctx: Ctx, input: ListFlagsInput) {
  const size = pageSize(input.pageSize);
  const query = [ctx.method, ctx.principal.actor, input.filter, input.orderBy];
  const position = decodePageToken(deps.seal, query, input.pageToken, deps.clock.now());
  const scope = rowScope(ctx.principal);
  const filter = parseFilter(input.filter, scope.platform ? FLAG_FILTER : OVERRIDABLE_FLAG_FILTER);
  const order = parseOrderBy(input.orderBy, FLAG_ORDER, "name");
  const rows = await readFor(deps, ctx, (tx) => selectFlags(tx, { filter, order, position, limit: size + 1 }));
  return cutPage(rows, size, (last) => {
    const values: Record<string, string> = {
      name: last.definition.key,
      create_time: new Date(last.createdAt).toISOString(),
      update_time: new Date(last.updatedAt).toISOString(),
    };
    const next = order.map((term) => values[term.path] ?? "");
    return encodePageToken(deps.seal, query, next, deps.clock.now());
  });
}

/** All flags that match a filter, by key. Throws INVALID_FIELDS. */
export function readAllFlags(deps: FlagDeps, ctx: Ctx, filterText: string): Promise<Flag[]> {
  const filter = parseFilter(filterText, FLAG_FILTER);
  const order = parseOrderBy("name", FLAG_ORDER, "name");
  return readFor(deps, ctx, (tx) => selectFlags(tx, { filter, order, position: undefined, limit: FLAGS_MAX }));
}

/** Writes fields of a flag. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH, INVALID_FIELDS and HAS_DEPENDENTS. */
export function updateFlag(deps: FlagDeps, ctx: Ctx, key: string, etag: string, patch: FlagPatch) {
  return change(deps, ctx, key, etag, "update", (flag) => patched(flag, patch));
}

/** Kills or revives a flag. Throws RESOURCE_NOT_FOUND and ETAG_MISMATCH. */
export function setKilled(deps: FlagDeps, ctx: Ctx, key: string, etag: string, killed: boolean) {
  return mutate(deps, ctx, FLAGS_ROOT, async (mutation) => {
    const before = await requireFlag(mutation.tx, key);
    requireEtag(etag, before.uid, before.revision, flagName(key));
    // Unchecked: a switch that is reached for in an emergency works whatever else is wrong.
    return writeFlag(mutation, ctx, killed ? "kill" : "revive", before, withKilled(before, killed));
  });
}

/** Makes a flag what it was in a revision. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH, INVALID_FIELDS and HAS_DEPENDENTS. */
export function rollbackFlag(deps: FlagDeps, ctx: Ctx, key: string, etag: string, toRevision: number) {
  return change(deps, ctx, key, etag, "rollback", async (flag, { tx }) => {
    const { flag: old } = await requireRevision(tx, flag, toRevision);
    const { uid, revision, createdAt, definition } = flag;
    const { killed: _, ...rest } = old.definition;
    return { ...old, uid, revision, createdAt, definition: withoutFalse({ ...rest, killed: definition.killed }) };
  });
}

/** Deletes a flag. Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and HAS_DEPENDENTS. */
export function deleteFlag(deps: FlagDeps, ctx: Ctx, { key, etag, allowMissing }: Deletion): Promise<Written<object>> {
  return mutate(deps, ctx, FLAGS_ROOT, async ({ tx, record }) => {
    const before = await selectFlag(tx, key);
    if (!before && allowMissing) return {};
    if (!before) throw notFound("Flag", flagName(key));
    requireEtag(etag, before.uid, before.revision, flagName(key));
    await requireUnused(tx, "flag", key, flagName(key));
    await deleteFlagRow(tx, before.uid);
    await record({ ...flagNoun(key), before, after: null });
    return {};
  });
}

/** Ten times what the largest platforms report: all of them live in every node's memory. */
export const FLAGS_MAX = 20_000;
function change(
  deps: FlagDeps,
  ctx: Ctx,
  key: string,
  etag: string,
  verb: RevisionVerb,
  next: (flag: Flag, mutation: Mutation) => Flag | Promise<Flag>,
): Promise<Written<Flag>> {
  return mutate(deps, ctx, FLAGS_ROOT, async (mutation) => {
    const before = await requireFlag(mutation.tx, key);
    requireEtag(etag, before.uid, before.revision, flagName(key));
    const draft = await next(before, mutation);
    const definition = await checkFlag(mutation.tx, deps.regex, draft.definition);
    return writeFlag(mutation, ctx, verb, before, { ...draft, definition });
  });
}

async function checkFlag(tx: Queryable, regex: RegexCompiler, unchecked: unknown): Promise<FlagDefinition> {
  const documents = { flags: [{ field: "flag", definition: unchecked }], segments: [] };
  return only((await checkDocuments(tx, regex, documents)).flags);
}
