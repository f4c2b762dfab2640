import type { FlagDefinition, SegmentDefinition } from "@tenantplane/sdk/evaluate";
import type { Ctx } from "../context.ts";
import { alreadyExists, invalidField, invalidFields } from "../errors.ts";
import { type Mutation, mutate, type Written } from "../mutation.ts";
import { viewSegment } from "./audit-view.ts";
import { FLAGS_ROOT, type FlagDeps } from "./base-service.ts";
import { checkDocuments } from "./check-service.ts";
import { type Flag, flagName, type Segment, segmentName } from "./flag.ts";
import { keep, writeFlag } from "./revision-service.ts";
import { insertSegment, selectSegmentsByKey, updateSegmentRow } from "./segment-store.ts";
import { FLAGS_MAX } from "./service.ts";
import { countFlags, insertFlag, selectFlagsByKey } from "./store.ts";

/** Flags and segments to bring in; of their definitions only the form is known. */
export interface ImportInput {
  readonly flags: readonly (Partial<FlagDefinition> & { readonly key: string })[];
  readonly segments: readonly SegmentDefinition[];
  /** What to do with those that are there already. */
  readonly existing: "REFUSE" | "OVERWRITE" | "KEEP";
  /** The owner of new flags. */
  readonly owner: string;
}

/** Names of what was brought in. */
export interface ImportResult {
  readonly created: string[];
  readonly updated: string[];
  readonly kept: string[];
}

/** Brings flags and segments in, all or none. Throws RESOURCE_EXISTS, INVALID_FIELDS and HAS_DEPENDENTS. */
export function importFlags(deps: FlagDeps, ctx: Ctx, input: ImportInput): Promise<Written<ImportResult>> {
  return mutate(deps, ctx, FLAGS_ROOT, async (mutation) => {
    const { tx } = mutation;
    const flags = byKey(
      await selectFlagsByKey(
        tx,
        input.flags.map(({ key }) => key),
      ),
    );
    const segments = byKey(
      await selectSegmentsByKey(
        tx,
        input.segments.map(({ key }) => key),
      ),
    );
    const result: ImportResult = { created: [], updated: [], kept: [] };
    const isWritten = (name: string, isThere: boolean) => {
      if (isThere && input.existing === "REFUSE") throw alreadyExists("Flag", name);
      const written = !isThere || input.existing === "OVERWRITE";
      (isThere ? (written ? result.updated : result.kept) : result.created).push(name);
      return written;
    };
    const newFlags = input.flags.filter(({ key }) => isWritten(flagName(key), flags.has(key)));
    const newSegments = input.segments.filter(({ key }) => isWritten(segmentName(key), segments.has(key)));
    const added = newFlags.filter(({ key }) => !flags.has(key)).length;
    if (added > 0 && (await countFlags(tx)) + added > FLAGS_MAX) {
      throw invalidField("flagd_json", `there may be at most ${FLAGS_MAX} flags`);
    }
    refuseOtherKinds(newFlags, flags);
    const checked = await checkDocuments(tx, deps.regex, {
      flags: newFlags.map((flag) => ({
        field: `flagd_json.flags["${flag.key}"]`,
        definition: onto(flags.get(flag.key), flag),
      })),
      segments: newSegments.map((segment) => ({
        field: `flagd_json.$evaluators["${segment.key}"]`,
        definition: segment,
      })),
    });
    // Segments first: in the log, nothing refers to what comes later.
    for (const definition of checked.segments)
      await writeSegment(deps, mutation, segments.get(definition.key), definition);
    for (const definition of checked.flags) {
      const before = flags.get(definition.key);
      if (before) await writeFlag(mutation, ctx, "import", before, { ...before, definition });
      else await addFlag(deps, mutation, ctx, definition, input.owner);
    }
    return result;
  });
}

function byKey<T extends { readonly definition: { readonly key: string } }>(items: readonly T[]): Map<string, T> {
  return new Map(items.map((item) => [item.definition.key, item]));
}

// What the imported form can't say stays as it is, and so does what never changes.
function onto(flag: Flag | undefined, imported: ImportInput["flags"][number]): object {
  if (!flag) return imported;
  const { salt, bucketing, killed, clientVisible } = flag.definition;
  const stays = { salt, bucketing, ...(killed ? { killed } : {}), ...(clientVisible ? { clientVisible } : {}) };
  return { ...imported, ...stays };
}

function refuseOtherKinds(imported: ImportInput["flags"], flags: ReadonlyMap<string, Flag>): void {
  const violations = imported.flatMap(({ key, kind }) => {
    const known = flags.get(key)?.definition.kind;
    if (known === undefined || known === kind) return [];
    return [{ field: `flagd_json.flags["${key}"].variants`, description: `the flag is of kind ${known}, for ever` }];
  });
  if (violations.length > 0) throw invalidFields(violations);
}

async function addFlag(deps: FlagDeps, mutation: Mutation, ctx: Ctx, definition: FlagDefinition, owner: string) {
  const { tx, now } = mutation;
  const notes = { description: "", owner, labels: {}, tenantOverridable: false, expiresAt: null };
  const flag: Flag = { uid: deps.ids.uuid(), definition, ...notes, revision: 1, createdAt: now, updatedAt: now };
  await insertFlag(tx, flag);
  await keep(mutation, ctx, "import", null, flag);
}

async function writeSegment(
  deps: FlagDeps,
  { tx, now, record }: Mutation,
  before: Segment | undefined,
  definition: SegmentDefinition,
): Promise<void> {
  const noun = {
    noun: "flagSegment" as const,
    resource: segmentName(definition.key),
    tenantUid: null,
    integratorUid: null,
  };
  if (before) {
    const after = { ...before, definition, revision: before.revision + 1, updatedAt: now };
    await updateSegmentRow(tx, after);
    await record({ ...noun, auditView: viewSegment, before, after });
    return;
  }
  const counts = { includedCount: 0, excludedCount: 0 };
  const times = { createdAt: now, updatedAt: now };
  const segment: Segment = { uid: deps.ids.uuid(), definition, description: "", ...counts, revision: 1, ...times };
  await insertSegment(tx, segment);
  await record({ ...noun, auditView: viewSegment, before: null, after: segment });
}
