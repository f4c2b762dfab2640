import { etagMismatch, invalidField, type Problems } from "../errors.ts";

/** Ids of tenants: 4 to 63 characters, as AIP-122 has resource ids. */
export const TENANT_ID = /^[a-z][a-z0-9-]{2,61}[a-z0-9]$/;
/** Ids of meters: words of code, with dots between levels. */
export const METER_ID = /^[a-z][a-z0-9_.]{0,62}$/;
/** Ids of limits, which may be their meters'. */
export const LIMIT_ID = /^[a-z][a-z0-9_.-]{0,62}$/;
/** Ids of everything else that people name. */
export const RESOURCE_ID = /^[a-z][a-z0-9-]{0,61}[a-z0-9]$/;

const COLLECTIONS: Readonly<Record<string, RegExp>> = {
  tenants: TENANT_ID,
  integrators: RESOURCE_ID,
  plans: RESOURCE_ID,
  users: /^[a-z0-9-]{1,63}$/,
  apiKeys: /^[a-z0-9]{1,63}$/,
  meters: METER_ID,
  quotaOverrides: /^[a-z0-9-]{1,63}$/,
  quotaGrants: /^[a-z0-9-]{1,63}$/,
  reservations: /^[a-z0-9-]{1,63}$/,
  leases: /^[a-z0-9-]{1,63}$/,
  webhookEndpoints: /^[a-z0-9-]{1,63}$/,
  deliveries: /^[a-z0-9_-]{1,80}$/,
};

/**
 * Takes "tenants/acme/users/u1" apart by its collections ("tenants", "users") into its ids.
 * Throws INVALID_FIELDS on `field` for any other form.
 */
export function parseName(name: string, collections: readonly string[], field: string): string[] {
  const parts = name.split("/");
  const ids = collections.map((collection, index) => {
    const id = parts[2 * index + 1] ?? "";
    return parts[2 * index] === collection && COLLECTIONS[collection]?.test(id) ? id : undefined;
  });
  if (parts.length !== 2 * collections.length || ids.includes(undefined)) {
    const form = collections.map((collection) => `${collection}/{${collection.slice(0, -1)}}`).join("/");
    throw invalidField(field, `must be a name of the form ${form}`);
  }
  return ids.map((id) => id ?? "");
}

/** The only id of a name with one collection. */
export function parseId(name: string, collection: string, field: string): string {
  return parseName(name, [collection], field)[0] ?? "";
}

/** Checks a text for people: its length in characters and that it holds no control characters. */
export function checkText(problems: Problems, field: string, value: string, min: number, max: number): void {
  // No character takes more than two units: what is longer than that need not be counted.
  const length = value.length > 2 * max ? value.length : [...value].length;
  if (length < min || length > max) problems.add(field, `must have ${min} to ${max} characters`);
  else if (/[\p{Cc}\p{Cs}]/u.test(value)) problems.add(field, "must not have control characters");
}

/** Checks labels: at most 64, keys of [a-z0-9_.-/] that start with a letter, keys and values of at most 63 characters. */
export function checkLabels(problems: Problems, field: string, labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) problems.add(field, `must have at most ${MAX_LABELS} entries`);
  const end = problems.violations.length + MAX_BAD_LABELS;
  for (const [key, value] of entries.slice(0, MAX_LABELS)) {
    if (problems.violations.length >= end) return;
    if (!/^[a-z][a-z0-9_./-]{0,62}$/.test(key)) {
      const path = `${field}.${key.slice(0, 63).toWellFormed()}`;
      problems.add(path, "the key must be 1 to 63 of [a-z0-9_./-], first a letter");
    } else checkText(problems, `${field}.${key}`, value, 0, 63);
  }
}

/** As many as Google's resources take. */
const MAX_LABELS = 64;
/** As many bad ones are named: an error must fit into the headers that carry it. */
const MAX_BAD_LABELS = 8;

/** Checks an email address for form only: something, one @, a domain with a dot; whether it works, mail must show. */
export function checkEmail(problems: Problems, field: string, value: string): void {
  if (value.length > 254 || !/^[^\s@\p{Cc}\p{Cs}]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/u.test(value)) {
    problems.add(field, "must be an email address");
  }
}

/** The tag of a resource's revision, quoted as in RFC 7232. */
export function etagOf(uid: string, revision: number): string {
  return `"${uid.slice(0, 8)}-${revision.toString(36)}"`;
}

/** Throws ETAG_MISMATCH when a tag is given and is not the resource's. */
export function requireEtag(given: string, uid: string, revision: number, name: string): void {
  if (given !== "" && given.replace(/^W\//, "") !== etagOf(uid, revision)) throw etagMismatch(name);
}
