import { diffFields } from "../aip/field-mask.ts";
import type { Ctx } from "../context.ts";
import { notFound } from "../errors.ts";
import type { Mutation } from "../mutation.ts";
import type { Queryable } from "../platform/postgres.ts";
import { viewFlag } from "./audit-view.ts";
import { type FlagDeps, type PageInput, readFor, readPage, requireFlag } from "./base-service.ts";
import { type Flag, flagName, type Revision, type RevisionVerb } from "./flag.ts";
import { insertRevision, selectRevision, selectRevisions, updateFlagRow } from "./store.ts";

/** Writes a flag as it shall be, checked before, with its revision, audit row and change row. */
export async function writeFlag(
  mutation: Mutation,
  ctx: Ctx,
  verb: RevisionVerb,
  before: Flag,
  next: Flag,
): Promise<Flag> {
  const after = { ...next, revision: before.revision + 1, updatedAt: mutation.now };
  await updateFlagRow(mutation.tx, after);
  await keep(mutation, ctx, verb, before, after);
  return after;
}

/** Writes the revision, the audit row and the change row of a flag that was written. */
export async function keep(mutation: Mutation, ctx: Ctx, verb: RevisionVerb, before: Flag | null, after: Flag) {
  const revision = { flag: after, verb, actor: ctx.principal.actor, reason: ctx.reason, at: mutation.now };
  await insertRevision(mutation.tx, revision, REVISIONS_KEPT);
  await mutation.record({ ...flagNoun(after.definition.key), before, after });
}

/** One revision of a flag. Throws RESOURCE_NOT_FOUND. */
export async function requireRevision(sql: Queryable, flag: Flag, revision: number): Promise<Revision> {
  const found = await selectRevision(sql, flag.uid, revision);
  if (!found) throw notFound("FlagRevision", `${flagName(flag.definition.key)} revision ${revision}`);
  return found;
}

/** Lists a flag's revisions, newest first. Throws RESOURCE_NOT_FOUND and PAGE_TOKEN_INVALID. */
export function listRevisions(deps: FlagDeps, ctx: Ctx, key: string, page: PageInput) {
  return readPage<Revision>(deps, ctx, {
    ...page,
    query: [key],
    select: async (tx, below, limit) => {
      const { uid } = await requireFlag(tx, key);
      return selectRevisions(tx, uid, Number(below || Number.MAX_SAFE_INTEGER), limit);
    },
    key: (last) => String(last.flag.revision),
  });
}

/** Tells what changed from one revision to another, 0 for the one before and the newest. Throws RESOURCE_NOT_FOUND. */
export async function diffRevisions(deps: FlagDeps, ctx: Ctx, key: string, from: number, to: number) {
  const [before, after] = await readFor(deps, ctx, async (tx) => {
    const flag = await requireFlag(tx, key);
    const newer = await requireRevision(tx, flag, to || flag.revision);
    const older = from || newer.flag.revision - 1;
    return [older === 0 ? undefined : await requireRevision(tx, flag, older), newer];
  });
  const differences = diffFields(before ? viewFlag(before.flag) : {}, after ? viewFlag(after.flag) : {});
  return { differences, from: before?.flag.revision ?? 0, to: after?.flag.revision ?? 0 };
}

/** Years of a flag that is written every day. */
const REVISIONS_KEPT = 1_000;

/** What a flag is in the logs. */
export function flagNoun(key: string) {
  const resource = flagName(key);
  return { noun: "flag" as const, resource, tenantUid: null, integratorUid: null, auditView: viewFlag };
}
