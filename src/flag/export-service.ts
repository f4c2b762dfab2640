import type { Ctx } from "../context.ts";
import { notFound } from "../errors.ts";
import { type FlagDeps, readFor } from "./base-service.ts";
import type { Definitions } from "./check-service.ts";
import { flagName } from "./flag.ts";
import { selectNeighbours } from "./reference-store.ts";
import { selectAllGroups, selectAllSegments } from "./segment-store.ts";
import { scanFlags } from "./store.ts";

/** Flags with all they refer to, by key; all flags, segments and groups when none is named. Throws RESOURCE_NOT_FOUND. */
export function readDefinitions(deps: FlagDeps, ctx: Ctx, keys: readonly string[]): Promise<Definitions> {
  return readFor(deps, ctx, async (tx) => {
    if (keys.length === 0) {
      const flags = [];
      for await (const rows of scanFlags(tx, BATCH)) flags.push(...rows);
      return definitionsOf({ flags, segments: await selectAllSegments(tx), groups: await selectAllGroups(tx) });
    }
    const none = { flags: [], segments: [], groups: [] };
    const found = await selectNeighbours(tx, none, { ...none, flags: keys });
    for (const key of keys) {
      if (!found.flags.some(({ definition }) => definition.key === key)) throw notFound("Flag", flagName(key));
    }
    return definitionsOf(found);
  });
}

/** Rows of one step. */
const BATCH = 2_000;

type Defined<T> = readonly { readonly definition: T & { readonly key: string } }[];

function definitionsOf(found: {
  readonly flags: Defined<Definitions["flags"][number]>;
  readonly segments: Defined<Definitions["segments"][number]>;
  readonly groups: Defined<Definitions["groups"][number]>;
}): Definitions {
  return { flags: byKey(found.flags), segments: byKey(found.segments), groups: byKey(found.groups) };
}

function byKey<T>(items: Defined<T>): T[] {
  return items.map(({ definition }) => definition).sort((a, b) => (a.key < b.key ? -1 : 1));
}
