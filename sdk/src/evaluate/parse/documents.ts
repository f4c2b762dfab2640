import type {
  GroupDefinition,
  MembershipPatch,
  SegmentDefinition,
  SegmentMembership,
  TenantOverride,
} from "../definition.ts";
import { MEMBERS_MAX, NAME_MAX_CHARS, SEGMENT_MATCHES_MAX } from "./bounds.ts";
import { defined, ifGiven } from "./flag.ts";
import { parseMatch, parsePath } from "./match.ts";
import { addProblem, at, type Parsing, parseFields, parseList, parseText } from "./parsing.ts";
import { parseServe } from "./serve.ts";

/** Takes a value for a segment. */
export function parseSegment(parsing: Parsing, path: string, value: unknown): SegmentDefinition | undefined {
  const before = parsing.problems.length;
  const fields = parseFields(parsing, path, value, ["key", "matches", "memberBy"]);
  if (fields === undefined) return undefined;
  const key = parseText(parsing, at(path, "key"), fields.key);
  const matches = parseList(parsing, at(path, "matches"), fields.matches, {
    max: SEGMENT_MATCHES_MAX,
    parse: (where, match) => parseMatch(parsing, where, match),
  });
  const memberBy = ifGiven(fields.memberBy, (given) => parsePath(parsing, at(path, "memberBy"), given));
  if (key === undefined || parsing.problems.length > before) return undefined;
  return { key, ...defined({ matches, memberBy }) };
}

/** Takes a value for a group of flags. */
export function parseGroup(parsing: Parsing, path: string, value: unknown): GroupDefinition | undefined {
  const before = parsing.problems.length;
  const fields = parseFields(parsing, path, value, ["key", "salt", "bucketing", "bucketBy"]);
  if (fields === undefined) return undefined;
  const key = parseText(parsing, at(path, "key"), fields.key);
  const salt = parseText(parsing, at(path, "salt"), fields.salt);
  if (fields.bucketing !== 1) addProblem(parsing, at(path, "bucketing"), "must be 1, the only version there is");
  const bucketBy = ifGiven(fields.bucketBy, (given) => parsePath(parsing, at(path, "bucketBy"), given));
  if (key === undefined || salt === undefined || parsing.problems.length > before) return undefined;
  return { key, salt, bucketing: 1, ...defined({ bucketBy }) };
}

/** Takes a value for a tenant's override. Whether the flag has what it serves is not looked at. */
export function parseOverride(parsing: Parsing, path: string, value: unknown): TenantOverride | undefined {
  const before = parsing.problems.length;
  const fields = parseFields(parsing, path, value, ["tenant", "flag", "serve"]);
  if (fields === undefined) return undefined;
  const tenant = parseText(parsing, at(path, "tenant"), fields.tenant);
  const flag = parseText(parsing, at(path, "flag"), fields.flag);
  const serve = parseServe(parsing, at(path, "serve"), fields.serve, undefined);
  if (tenant === undefined || flag === undefined || serve === undefined || parsing.problems.length > before)
    return undefined;
  return { tenant, flag, serve };
}

/** Takes a value for a segment's whole membership. */
export function parseMembership(parsing: Parsing, path: string, value: unknown): SegmentMembership | undefined {
  const before = parsing.problems.length;
  const fields = parseFields(parsing, path, value, ["segment", "included", "excluded"]);
  if (fields === undefined) return undefined;
  const segment = parseText(parsing, at(path, "segment"), fields.segment);
  const included = parseMembers(parsing, at(path, "included"), fields.included);
  const excluded = parseMembers(parsing, at(path, "excluded"), fields.excluded);
  if (segment === undefined || parsing.problems.length > before) return undefined;
  return { segment, ...defined({ included, excluded }) };
}

/** Takes a value for a change to a segment's membership. */
export function parsePatch(parsing: Parsing, path: string, value: unknown): MembershipPatch | undefined {
  const before = parsing.problems.length;
  const fields = parseFields(parsing, path, value, ["segment", "include", "exclude", "remove"]);
  if (fields === undefined) return undefined;
  const segment = parseText(parsing, at(path, "segment"), fields.segment);
  const include = parseMembers(parsing, at(path, "include"), fields.include);
  const exclude = parseMembers(parsing, at(path, "exclude"), fields.exclude);
  const remove = parseMembers(parsing, at(path, "remove"), fields.remove);
  if (segment === undefined || parsing.problems.length > before) return undefined;
  return { segment, ...defined({ include, exclude, remove }) };
}

/** Lists of members have a bound of their own and are no part of the document's text. */
function parseMembers(parsing: Parsing, path: string, value: unknown): readonly string[] | undefined {
  return parseList(parsing, path, value, {
    max: MEMBERS_MAX,
    parse: (where, member) => {
      if (typeof member === "string" && member !== "" && member.length <= NAME_MAX_CHARS) return member;
      return addProblem(parsing, where, `must be a string of 1 to ${NAME_MAX_CHARS} characters`);
    },
  });
}
