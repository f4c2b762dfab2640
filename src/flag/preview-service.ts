import { createEvaluator, type Evaluator } from "@tenantplane/sdk/evaluate";
import type { Ctx } from "../context.ts";
import { type FlagDeps, readFor } from "./base-service.ts";
import { checkDocuments } from "./check-service.ts";
import { type Flag, type FlagPatch, patched } from "./flag.ts";
import { selectFlag } from "./store.ts";
import type { FlagTable } from "./table.ts";

/**
 * Makes an evaluator in which a flag is as a draft has it, for some tenants; all that the flag depends on is as it is.
 * Throws INVALID_FIELDS for all that is wrong with the draft, and HAS_DEPENDENTS with what it would break.
 */
export async function draftEvaluator(
  deps: FlagDeps & { readonly flags: FlagTable },
  ctx: Ctx,
  draft: { readonly key: string; readonly patch: FlagPatch; readonly kind: unknown },
  tenantIds: Iterable<string>,
): Promise<Evaluator> {
  const { replica } = deps.flags;
  const checked = await readFor(deps, ctx, async (tx) => {
    const flag = await selectFlag(tx, draft.key);
    const definition = patched(flag ?? newFlag(draft), draft.patch).definition;
    const documents = { flags: [{ field: "draft.flag", definition }], segments: [] };
    return checkDocuments(tx, deps.regex, documents);
  });
  const { neighbours } = checked;
  const segments = neighbours.segments.map(({ key }) => key);
  const flags = new Map([...neighbours.flags, ...checked.flags].map((flag) => [flag.key, flag]));
  const overrides = [...tenantIds].flatMap((tenantId) =>
    [...deps.flags.overriddenBy(tenantId)]
      .filter((key) => flags.has(key))
      .flatMap((key) => replica.document({ kind: "override", key: `${tenantId}/${key}` }) ?? [])
      .map((json): unknown => JSON.parse(json)),
  );
  const memberships = segments.flatMap((segment) => {
    const keys = [...(replica.lists().get(segment)?.keys ?? [])];
    const of = (wanted: boolean) => keys.filter(([, excluded]) => excluded === wanted).map(([key]) => key);
    return keys.length === 0 ? [] : [{ segment, included: of(false), excluded: of(true) }];
  });
  const evaluator = createEvaluator({ regex: deps.regex });
  evaluator.apply(
    {
      flags: { put: [...flags.values()] },
      segments: { put: neighbours.segments },
      groups: { put: neighbours.groups },
      overrides: { put: overrides },
      memberships: { put: memberships },
    },
    "lenient",
  );
  return evaluator;
}

// What a flag that is not there yet starts from.
function newFlag({ key, kind }: { readonly key: string; readonly kind: unknown }): Flag {
  const definition = { key, kind, state: "ENABLED", variants: {}, salt: key, bucketing: 1 } as Flag["definition"];
  return {
    uid: "",
    definition,
    description: "",
    owner: "",
    labels: {},
    tenantOverridable: false,
    expiresAt: null,
    revision: 0,
    createdAt: 0,
    updatedAt: 0,
  };
}
