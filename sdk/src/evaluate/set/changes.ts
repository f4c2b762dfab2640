import type {
  FlagDefinition,
  GroupDefinition,
  MembershipPatch,
  Metadata,
  SegmentDefinition,
  SegmentMembership,
  TenantOverride,
} from "../definition.ts";
import { parseGroup, parseMembership, parseOverride, parsePatch, parseSegment } from "../parse/documents.ts";
import { parseFlag, parseMetadata } from "../parse/flag.ts";
import { addProblem, isObject, type ParseOptions, type Parsing, type Problem, startParsing } from "../parse/parsing.ts";
import { pathOf } from "./check.ts";

/** What changes in a set of flags: all of it at once or, when something is wrong, nothing. Documents are unknown data until parsed. */
export interface FlagChanges {
  /** Whether everything that isn't put here goes: a snapshot. */
  readonly reset?: boolean;
  readonly metadata?: unknown;
  readonly flags?: DocumentChanges;
  readonly segments?: DocumentChanges;
  readonly groups?: DocumentChanges;
  readonly overrides?: {
    readonly put?: readonly unknown[];
    readonly delete?: readonly { readonly tenant: string; readonly flag: string }[];
  };
  /** Whole memberships, and changes to ones. A segment that goes takes its membership along, and a flag its overrides. */
  readonly memberships?: { readonly put?: readonly unknown[]; readonly patch?: readonly unknown[] };
}

/** Documents of one kind that come, replacing those of the same key, and keys of such that go. */
export interface DocumentChanges {
  readonly put?: readonly unknown[];
  readonly delete?: readonly string[];
}

/** Changes as parsed. What can't be read is in `broken`, by its key as far as it has one. */
export interface ParsedChanges {
  readonly metadata: Metadata | undefined;
  readonly flags: ReadonlyMap<string, FlagDefinition>;
  readonly segments: ReadonlyMap<string, SegmentDefinition>;
  readonly groups: readonly GroupDefinition[];
  readonly overrides: readonly TenantOverride[];
  readonly memberships: readonly SegmentMembership[];
  readonly patches: readonly MembershipPatch[];
  readonly brokenFlags: ReadonlyMap<string, string>;
  readonly brokenSegments: ReadonlySet<string>;
  readonly problems: readonly Problem[];
}

/** Parses all documents of a change; each has its own bounds. */
export function parseChanges(changes: FlagChanges, options: ParseOptions): ParsedChanges {
  const problems: Problem[] = [];
  const parseEach = <T>(kind: Parameters<typeof pathOf>[0], items: readonly unknown[] | undefined, parse: Parser<T>) =>
    (items ?? []).map((item, index) => {
      const key = keyOf(kind, item);
      const parsing = startParsing(options);
      const parsed = parse(parsing, key === undefined ? `${kind}[${index}]` : pathOf(kind, key), item);
      problems.push(...parsing.problems);
      return { key, parsed, problem: parsing.problems[0] };
    });
  const flags = parseEach("flags", changes.flags?.put, parseFlag);
  const segments = parseEach("segments", changes.segments?.put, parseSegment);
  const groups = parseEach("groups", changes.groups?.put, parseGroup);
  const overrides = parseEach("overrides", changes.overrides?.put, parseOverride);
  const memberships = parseEach("memberships", changes.memberships?.put, parseMembership);
  const patches = parseEach("memberships", changes.memberships?.patch, parsePatch);
  const parsing = startParsing(options);
  const metadata = parseMetadata(parsing, "metadata", changes.metadata);
  problems.push(...parsing.problems, ...duplicates("flags", flags), ...duplicates("segments", segments));
  return {
    metadata,
    flags: new Map(flags.flatMap(({ parsed }) => (parsed === undefined ? [] : [[parsed.key, parsed] as const]))),
    segments: new Map(segments.flatMap(({ parsed }) => (parsed === undefined ? [] : [[parsed.key, parsed] as const]))),
    groups: read(groups),
    overrides: read(overrides),
    memberships: read(memberships),
    patches: read(patches),
    brokenFlags: new Map(
      flags.flatMap(({ key, problem }) =>
        key === undefined || problem === undefined ? [] : [[key, `${problem.field} ${problem.description}`] as const],
      ),
    ),
    brokenSegments: new Set(
      segments.flatMap(({ key, parsed }) => (key === undefined || parsed !== undefined ? [] : [key])),
    ),
    problems,
  };
}

type Parser<T> = (parsing: Parsing, path: string, value: unknown) => T | undefined;

interface Item<T> {
  readonly key: string | undefined;
  readonly parsed: T | undefined;
}

function read<T>(items: readonly Item<T>[]): T[] {
  return items.map(({ parsed }) => parsed).filter((parsed) => parsed !== undefined);
}

/** The key of a document that may turn out to be none. */
function keyOf(kind: string, item: unknown): string | undefined {
  if (!isObject(item)) return undefined;
  if (kind === "overrides") return `${item.tenant}/${item.flag}`;
  const key = kind === "memberships" ? item.segment : item.key;
  return typeof key === "string" ? key : undefined;
}

function duplicates(kind: "flags" | "segments", items: readonly Item<unknown>[]): Problem[] {
  const parsing = startParsing({});
  const seen = new Set<string>();
  for (const { key } of items) {
    if (key !== undefined && seen.has(key)) addProblem(parsing, pathOf(kind, key), "is put twice");
    if (key !== undefined) seen.add(key);
  }
  return parsing.problems;
}
