import type { FlagDefinition, JsonObject, SegmentDefinition } from "@tenantplane/sdk/evaluate";

/** A flag set of flagd, and the flags that it can't express, with why. */
export interface FlagdExport {
  readonly document: JsonObject;
  readonly omissions: readonly { readonly flag: string; readonly reason: string }[];
}

/** Flags and segments as flagd has them: those that an import could have brought. */
export function toFlagd(flags: readonly FlagDefinition[], segments: readonly SegmentDefinition[]): FlagdExport {
  const omissions: FlagdExport["omissions"][number][] = [];
  const told = flags.flatMap((flag): [string, JsonObject][] => {
    const reason = obstacleOf(flag);
    if (reason !== undefined) omissions.push({ flag: flag.key, reason });
    return reason === undefined ? [[flag.key, flagdFlag(flag)]] : [];
  });
  const evaluators = segments.flatMap(({ key, matches = [] }): [string, JsonObject][] => {
    const [only, ...others] = matches;
    return only && "logic" in only && others.length === 0 ? [[key, only.logic as JsonObject]] : [];
  });
  const shared = evaluators.length === 0 ? {} : { $evaluators: Object.fromEntries(evaluators) };
  return { document: { $schema: SCHEMA, ...shared, flags: Object.fromEntries(told) }, omissions };
}

const SCHEMA = "https://flagd.dev/schema/v0/flags.json";

function obstacleOf(flag: FlagDefinition): string | undefined {
  if (flag.killed) return "it is killed";
  if (flag.prerequisites) return "it has prerequisites";
  if (flag.entitlement) return "it needs an entitlement";
  if (flag.group) return "it is in a group";
  if (flag.defaultServe && !("variant" in flag.defaultServe)) return "its default is not one variant";
  const [rule, ...others] = flag.rules ?? [];
  if (others.length > 0) return "it has several rules";
  if (rule && (rule.match || !("logic" in rule.serve))) return "its rule is not logic alone";
  return undefined;
}

function flagdFlag({ state, variants, defaultServe, rules, metadata }: FlagDefinition): JsonObject {
  const serve = rules?.[0]?.serve;
  return {
    state,
    variants: variants as JsonObject,
    ...(defaultServe && "variant" in defaultServe ? { defaultVariant: defaultServe.variant } : {}),
    ...(serve && "logic" in serve ? { targeting: serve.logic } : {}),
    ...(metadata ? { metadata } : {}),
  };
}
