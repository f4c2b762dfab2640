import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkText, parseId } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import type { OverrideId } from "./override-service.ts";

/** The key in a name of one collection. Throws INVALID_FIELDS. */
export function keyOf(name: string, collection: "flags" | "flagSegments" | "flagGroups", field = "name"): string {
  const form = `${collection}/{${collection === "flags" ? "flag" : collection.slice(4, -1).toLowerCase()}}`;
  if (!name.startsWith(`${collection}/`)) throw invalidField(field, `must be a name of the form ${form}`);
  return checkKey(name.slice(collection.length + 1), field);
}

/** A key by itself. Throws INVALID_FIELDS. */
export function checkKey(key: string, field: string): string {
  if (key === "" || key.length > KEY_MAX_CHARACTERS || /[\p{Cc}\p{Cs}]/u.test(key)) {
    throw invalidField(field, `must have a key of 1 to ${KEY_MAX_CHARACTERS} characters, and no control characters`);
  }
  return key;
}

/** As the evaluator bounds all names. */
const KEY_MAX_CHARACTERS = 256;

/** Whose override of what a name names. Throws INVALID_FIELDS. */
export function overrideIdOf(name: string, field = "name"): OverrideId {
  const [collection, tenantId = "", overrides, ...key] = name.split("/");
  if (collection !== "tenants" || overrides !== "flagOverrides") {
    throw invalidField(field, "must be a name of the form tenants/{tenant}/flagOverrides/{flag}");
  }
  return { tenantId: parseId(`tenants/${tenantId}`, "tenants", field), flagKey: checkKey(key.join("/"), field) };
}

/**
 * The fields that an update writes: those of the mask, or those that the message has. `known` says what is what of the
 * resource; what all resources have needs not be said. Throws INVALID_FIELDS.
 */
export function writtenFields(
  mask: readonly string[] | undefined,
  present: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, "writable" | "output" | "immutable">>,
): ReadonlySet<string> {
  const populated = Object.keys(present).filter((path) => present[path]);
  return checkedFields(maskedFields(mask, populated, { ...known, ...OUTPUTS }), new Problems());
}

/** Checks what people are told of a resource. Throws INVALID_FIELDS. */
export function checkDescription(resource: string, description: string): string {
  const problems = new Problems();
  checkText(problems, `${resource}.description`, description, 0, DESCRIPTION_MAX_CHARACTERS);
  problems.throwIfAny();
  return description;
}

/** As the evaluator bounds the descriptions of rules. */
export const DESCRIPTION_MAX_CHARACTERS = 1_000;

const OUTPUTS = {
  name: "output",
  uid: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;
