import type { FlagDefinition, FlagValue, JsonObject } from "@tenantplane/sdk/evaluate";

/**
 * The manifest of flags, which the OpenFeature CLI turns into typed accessors. What accessors give while flags can't be
 * asked is the off variant, or else what a flag serves by default, or else the nothing of its kind.
 */
export function manifestOf(flags: Iterable<{ definition: FlagDefinition; description: string }>): JsonObject {
  const entries = [...flags].map(({ definition, description }): [string, JsonObject] => [
    definition.key,
    {
      flagType: typeOf(definition),
      defaultValue: defaultOf(definition),
      ...(description === "" ? {} : { description }),
    },
  ]);
  return { $schema: SCHEMA, flags: Object.fromEntries(entries) };
}

const SCHEMA = "https://raw.githubusercontent.com/open-feature/cli/refs/heads/main/schema/v0/flag-manifest.json";

function typeOf({ kind, variants }: FlagDefinition): string {
  if (kind !== "number") return kind;
  return Object.values(variants).every(Number.isInteger) ? "integer" : "float";
}

function defaultOf({ kind, variants, offVariant, defaultServe }: FlagDefinition): FlagValue {
  const name = offVariant ?? (defaultServe && "variant" in defaultServe ? defaultServe.variant : undefined);
  return (name === undefined ? undefined : variants[name]) ?? NOTHING[kind];
}

const NOTHING: Readonly<Record<FlagDefinition["kind"], FlagValue>> = {
  boolean: false,
  string: "",
  number: 0,
  object: {},
};
