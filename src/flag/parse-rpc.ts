import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FlagDefinition } from "@tenantplane/sdk/evaluate";
import type { FlagUpdateSchema, Flag as ProtoFlag } from "@tenantplane/sdk/gen/tenantplane/v1/flag_definition_pb";
import { checkLabels, checkText } from "../aip/name.ts";
import { invalidField, invalidFields, Problems } from "../errors.ts";
import { fromTimestamp, optionalTimestamp } from "../server/convert.ts";
import { fromDefinition, toDefinition } from "./definition-rpc.ts";
import { type FlagInput, type FlagPatch, flagName } from "./flag.ts";
import { DESCRIPTION_MAX_CHARACTERS, writtenFields } from "./name-rpc.ts";

/** What a creation asks for. Throws INVALID_FIELDS with what is wrong beside the definition. */
export function parseFlagInput(flag: ProtoFlag | undefined): FlagInput {
  if (!flag) throw invalidField("flag", "must be set");
  const problems = new Problems();
  checkTexts(problems, "flag", flag);
  problems.throwIfAny();
  return { ...restOf(flag), definition: fromDefinition(flag) };
}

/** What an update writes. Throws INVALID_FIELDS. */
export function flagPatchOf(flag: ProtoFlag, mask: readonly string[] | undefined, prefix = "flag"): FlagPatch {
  const problems = new Problems();
  checkTexts(problems, prefix, flag);
  const fields = writtenFields(mask, presentIn(flag), FIELDS);
  const relevant = problems.violations.filter(({ field }) =>
    fields.has(field.slice(prefix.length + 1).split(".")[0] ?? ""),
  );
  if (relevant.length > 0) throw invalidFields(relevant);
  const all = fromDefinition(flag);
  const rest = restOf(flag);
  const written = (names: Readonly<Record<string, string>>) =>
    Object.entries(names).flatMap(([path, name]) => (fields.has(path) ? [name] : []));
  return {
    ...Object.fromEntries(written(OTHER_FIELDS).map((name) => [name, rest[name as keyof typeof rest]])),
    definition: Object.fromEntries(written(DEFINITION_FIELDS).map((name) => [name, all[name] ?? null])),
  };
}

/** An update as proto has it. */
export function toPatch(key: string, patch: FlagPatch): MessageInitShape<typeof FlagUpdateSchema> {
  const { definition, labels, expiresAt = null, ...rest } = patch;
  const given = Object.entries(definition).filter(([, value]) => value !== null);
  const paths = [
    ...Object.entries(DEFINITION_FIELDS).flatMap(([path, name]) => (name in definition ? [path] : [])),
    ...Object.entries(OTHER_FIELDS).flatMap(([path, name]) => (name in patch ? [path] : [])),
  ];
  const flag = {
    ...toDefinition(Object.fromEntries(given) as Partial<FlagDefinition>),
    ...rest,
    name: flagName(key),
    ...(labels ? { labels: { ...labels } } : {}),
    ...optionalTimestamp("expireTime", expiresAt),
  };
  return { flag, updateMask: { paths } };
}

/** Fields of the definition, by their paths. */
const DEFINITION_FIELDS = {
  disabled: "state",
  variants: "variants",
  off_variant: "offVariant",
  default_serve: "defaultServe",
  prerequisites: "prerequisites",
  entitlement: "entitlement",
  group: "group",
  rules: "rules",
  bucket_by: "bucketBy",
  client_visible: "clientVisible",
  metadata: "metadata",
} as const;

/** Fields beside it, by their paths. */
const OTHER_FIELDS = {
  description: "description",
  owner: "owner",
  labels: "labels",
  tenant_overridable: "tenantOverridable",
  expire_time: "expiresAt",
} as const;

const FIELDS: Parameters<typeof writtenFields>[2] = {
  ...Object.fromEntries(Object.keys({ ...DEFINITION_FIELDS, ...OTHER_FIELDS }).map((path) => [path, "writable"])),
  kind: "immutable",
  salt: "immutable",
  bucketing: "immutable",
  killed: "output",
  revision: "output",
};

// The fields that a message has, by their paths.
function presentIn(flag: ProtoFlag): Record<string, unknown> {
  return {
    description: flag.description,
    owner: flag.owner,
    labels: Object.keys(flag.labels).length,
    tenant_overridable: flag.tenantOverridable,
    expire_time: flag.expireTime,
    disabled: flag.disabled,
    variants: flag.variants,
    off_variant: flag.offVariant,
    default_serve: flag.defaultServe,
    prerequisites: flag.prerequisites.length,
    entitlement: flag.entitlement,
    group: flag.group,
    rules: flag.rules.length,
    bucket_by: flag.bucketBy,
    client_visible: flag.clientVisible,
    metadata: flag.metadata,
  };
}

function checkTexts(problems: Problems, prefix: string, flag: ProtoFlag): void {
  checkText(problems, `${prefix}.description`, flag.description, 0, DESCRIPTION_MAX_CHARACTERS);
  checkText(problems, `${prefix}.owner`, flag.owner, 0, 254);
  checkLabels(problems, `${prefix}.labels`, flag.labels);
}

function restOf(flag: ProtoFlag): Omit<FlagInput, "definition"> {
  const { description, owner, labels, tenantOverridable, expireTime } = flag;
  return { description, owner, labels, tenantOverridable, expiresAt: expireTime ? fromTimestamp(expireTime) : null };
}
