import { fromJson, type JsonObject, type JsonValue, type MessageInitShape } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Clause, FlagDefinition, Match, Serve } from "@tenantplane/sdk/evaluate";
import {
  type FlagClause,
  type FlagMatch,
  type FlagMatchSchema,
  type FlagRule,
  type FlagSchema,
  type FlagServe,
  type FlagServeSchema,
  Flag_Kind as Kind,
  FlagClause_Operator as Operator,
  type Flag as ProtoFlag,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { fromTimestamp, toTimestamp } from "../server/convert.ts";
import { flagName, groupName } from "./flag.ts";

/*
 * Definitions between proto and plain data. What comes from a caller is only put into the definition's shape here, unknown as
 * it is: the evaluator's own parsers then check it.
 */

/** A flag of proto in the making. */
export type FlagInit = Extract<MessageInitShape<typeof FlagSchema>, { $typeName?: never }>;

/** The part of a flag that evaluators need, or some fields of it, as proto has it. */
export function toDefinition(flag: Partial<FlagDefinition>): FlagInit {
  const { kind, offVariant = "", defaultServe, entitlement, group, bucketBy = "" } = flag;
  return {
    ...(kind ? { kind: Kind[kind.toUpperCase() as Uppercase<typeof kind>] } : {}),
    disabled: flag.state === "DISABLED",
    killed: flag.killed ?? false,
    ...(flag.variants ? { variants: flag.variants as JsonObject } : {}),
    offVariant,
    ...(defaultServe ? { defaultServe: toServe(defaultServe) } : {}),
    prerequisites: (flag.prerequisites ?? []).map((p) => ({ flag: flagName(p.flag), variants: [...p.variants] })),
    ...(entitlement ? { entitlement: { feature: entitlement.feature, otherwise: entitlement.otherwise ?? "" } } : {}),
    ...(group ? { group: { group: groupName(group.group), from: group.from, to: group.to } } : {}),
    rules: (flag.rules ?? []).map(({ id, description = "", match, serve }) => ({
      id,
      description,
      ...(match ? { match: toMatch(match) } : {}),
      serve: toServe(serve),
    })),
    salt: flag.salt ?? "",
    bucketing: flag.bucketing ?? 0,
    bucketBy,
    clientVisible: flag.clientVisible ?? false,
    ...(flag.metadata ? { metadata: { ...flag.metadata } } : {}),
  };
}

/** What is served, as proto has it. */
export function toServe(serve: Serve): MessageInitShape<typeof FlagServeSchema> {
  if ("variant" in serve) return { serve: { case: "variant", value: serve.variant } };
  if ("split" in serve) return { serve: { case: "split", value: { parts: serve.split.map((part) => ({ ...part })) } } };
  if ("logic" in serve) return { serve: { case: "logic", value: JSON.stringify(serve.logic) } };
  const { variant, otherwise = "", steps } = serve.ramp;
  const value = { variant, otherwise, steps: steps.map(({ at, share }) => ({ time: toTimestamp(at), share })) };
  return { serve: { case: "ramp", value } };
}

/** Which contexts, as proto has it. */
export function toMatch(match: Match): MessageInitShape<typeof FlagMatchSchema> {
  if ("logic" in match) return { match: { case: "logic", value: JSON.stringify(match.logic) } };
  const clauses = match.clauses.map(
    ({ attribute = "", operator, values = [], ignoreCase = false, negate = false }) => ({
      attribute,
      operator: Operator[operator],
      values: values.map(toValue),
      ignoreCase,
      negate,
    }),
  );
  return { match: { case: "clauses", value: { clauses } } };
}

/** Anything JSON can say, as proto has it. */
export function toValue(json: JsonValue): Value {
  return fromJson(ValueSchema, json);
}

/** The definition that a flag of proto states, unchecked; without its key, and with its salt only if it states one. */
export function fromDefinition(flag: ProtoFlag): Record<string, unknown> {
  const { defaultServe, entitlement, group, metadata } = flag;
  return {
    kind: KINDS[flag.kind],
    state: flag.disabled ? "DISABLED" : "ENABLED",
    variants: flag.variants ?? {},
    ...text("offVariant", flag.offVariant),
    ...(defaultServe ? { defaultServe: fromServe(defaultServe) } : {}),
    ...(flag.prerequisites.length > 0
      ? { prerequisites: flag.prerequisites.map((p) => ({ flag: keyOf(p.flag, "flags"), variants: p.variants })) }
      : {}),
    ...(entitlement
      ? { entitlement: { feature: entitlement.feature, ...text("otherwise", entitlement.otherwise) } }
      : {}),
    ...(group ? { group: { group: keyOf(group.group, "flagGroups"), from: group.from, to: group.to } } : {}),
    ...(flag.rules.length > 0 ? { rules: flag.rules.map(fromRule) } : {}),
    ...text("salt", flag.salt),
    bucketing: flag.bucketing || 1,
    ...text("bucketBy", flag.bucketBy),
    ...(flag.clientVisible ? { clientVisible: true } : {}),
    ...(metadata && Object.keys(metadata).length > 0 ? { metadata } : {}),
  };
}

/** What a message says is served, unchecked. */
export function fromServe({ serve }: FlagServe): unknown {
  switch (serve.case) {
    case "variant":
      return { variant: serve.value };
    case "split":
      return { split: serve.value.parts.map(({ variant, weight }) => ({ variant, weight })) };
    case "logic":
      return { logic: fromText(serve.value) };
    case "ramp": {
      const { variant, otherwise, steps } = serve.value;
      const plain = steps.map(({ time, share }) => ({ at: time ? instantOf(time) : undefined, share }));
      return { ramp: { variant, ...text("otherwise", otherwise), steps: plain } };
    }
    case undefined:
      return {};
    default:
      return serve satisfies never;
  }
}

/** Which contexts a message says match, unchecked. */
export function fromMatch({ match }: FlagMatch): unknown {
  if (match.case === "logic") return { logic: fromText(match.value) };
  return match.case === "clauses" ? { clauses: match.value.clauses.map(fromClause) } : {};
}

/** The key in the name of a flag or of its like; the whole text when it is no such name, for a parser to refuse. */
function keyOf(name: string, collection: string): string | undefined {
  return name.startsWith(`${collection}/`) ? name.slice(collection.length + 1) : undefined;
}

const KINDS: Readonly<Record<number, FlagDefinition["kind"]>> = { 1: "boolean", 2: "string", 3: "number", 4: "object" };

function fromRule({ id, description, match, serve }: FlagRule): unknown {
  return {
    id,
    ...text("description", description),
    ...(match ? { match: fromMatch(match) } : {}),
    serve: serve ? fromServe(serve) : {},
  };
}

function fromClause(clause: FlagClause): unknown {
  return {
    ...text("attribute", clause.attribute),
    operator: OPERATORS[clause.operator],
    ...(clause.values.length > 0
      ? { values: clause.values.map(({ kind }) => (kind.case === "nullValue" ? null : kind.value)) }
      : {}),
    ...(clause.ignoreCase ? { ignoreCase: true } : {}),
    ...(clause.negate ? { negate: true } : {}),
  };
}

const OPERATORS: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(Operator).map(([name, number]) => [number, name]),
) as Record<number, Clause["operator"]>;

/** A text is not there when it is empty, as proto has no other way to say so. */
function text(name: string, value: string): Record<string, string> {
  return value === "" ? {} : { [name]: value };
}

// JSON out of a text; what is none becomes nothing, which the parsers refuse.
function fromText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// A step is at a whole second: what a finer time would be cut to is not what was asked for.
function instantOf(time: Parameters<typeof fromTimestamp>[0]): number {
  return fromTimestamp(time) + (time.nanos % 1_000_000) / 1_000_000;
}
