import type { FlagChanges } from "../evaluate/index.ts";
import { type Checksum, hashOf, hashOfMember, sameChecksum, toggle } from "./checksum.ts";
import type { DocumentId, DocumentKind, TransferPiece } from "./piece.ts";

/** A document with its hashes. */
interface Kept extends Checksum {
  readonly json: string;
}

/** Who is in and out of a segment by name. */
interface Lists {
  /** Whether each key is excluded. */
  readonly keys: Map<string, boolean>;
  readonly sum: Checksum;
}

/** What a replica holds. */
export interface Content {
  readonly documents: Readonly<Record<DocumentKind, Map<string, Kept>>>;
  readonly lists: Map<string, Lists>;
  platform: Checksum;
  tenant: Checksum;
}

/** What pieces have brought so far. */
export interface Staged {
  readonly full: boolean;
  /** By kind and key, the later one only; undefined is gone. */
  readonly documents: Map<string, DocumentId & { readonly json: string | undefined }>;
  /** Whether the lists start empty, and whether each key is excluded; undefined is in no list. */
  readonly lists: Map<string, { anew: boolean; readonly keys: Map<string, boolean | undefined> }>;
}

/** Takes in a piece. */
export function stage(staged: Staged, piece: TransferPiece): void {
  const { documents } = staged;
  for (const { kind, key, json } of piece.puts) documents.set(`${kind}/${key}`, { kind, key, json });
  for (const { kind, key } of piece.deletes) {
    documents.set(`${kind}/${key}`, { kind, key, json: undefined });
    // A segment takes its lists along, also when it comes back.
    if (kind === "segment") staged.lists.set(key, { anew: true, keys: new Map() });
  }
  for (const { segment, include = [], exclude = [], remove = [] } of piece.memberPatches) {
    let lists = staged.lists.get(segment);
    if (!lists) {
      lists = { anew: staged.full, keys: new Map() };
      staged.lists.set(segment, lists);
    }
    for (const key of include) lists.keys.set(key, false);
    for (const key of exclude) lists.keys.set(key, true);
    for (const key of remove) lists.keys.set(key, undefined);
  }
}

/** What a transfer changes, and the checksums after it. */
export interface Plan {
  readonly documents: readonly (DocumentId & { readonly kept: Kept | undefined })[];
  readonly lists: readonly PlannedLists[];
  readonly platform: Checksum;
  readonly tenant: Checksum;
}

interface PlannedLists {
  readonly segment: string;
  readonly anew: boolean;
  readonly keys: ReadonlyMap<string, boolean | undefined>;
  readonly sum: Checksum;
}

/** What a transfer would change. */
export function planOf(content: Content, staged: Staged): Plan {
  const platform = { ...content.platform };
  const tenant = { ...content.tenant };
  const changed = [...staged.documents.values(), ...(staged.full ? missingIn(content, staged) : [])];
  const documents = changed.flatMap(({ kind, key, json }) => {
    const known = content.documents[kind].get(key);
    if (known?.json === json) return [];
    const sum = kind === "override" || kind === "tenant" ? tenant : platform;
    if (known) toggle(sum, known);
    const kept = json === undefined ? undefined : { json, ...hashOf(kind, key, json) };
    if (kept) toggle(sum, kept);
    return [{ kind, key, kept }];
  });
  const anew = { anew: true, keys: new Map<string, boolean>() };
  const gone = staged.full ? [...content.lists.keys()].filter((segment) => !staged.lists.has(segment)) : [];
  const lists = [...staged.lists, ...gone.map((segment) => [segment, anew] as const)].map(([segment, planned]) => {
    const known = content.lists.get(segment);
    const sum = known && !planned.anew ? { ...known.sum } : { high: 0, low: 0 };
    for (const [key, excluded] of planned.keys) {
      const before = planned.anew ? undefined : known?.keys.get(key);
      if (before !== undefined) toggle(sum, hashOfMember(segment, key, before));
      if (excluded !== undefined) toggle(sum, hashOfMember(segment, key, excluded));
    }
    if (known) toggle(platform, known.sum);
    toggle(platform, sum);
    return { segment, ...planned, sum };
  });
  return { documents, lists, platform, tenant };
}

function missingIn(content: Content, staged: Staged) {
  return (Object.keys(content.documents) as DocumentKind[]).flatMap((kind) =>
    [...content.documents[kind].keys()]
      .filter((key) => !staged.documents.has(`${kind}/${key}`))
      .map((key) => ({ kind, key, json: undefined })),
  );
}

/** A plan as the evaluator takes it. */
export function changesOf(content: Content, plan: Plan): FlagChanges {
  const of = (wanted: DocumentKind) => {
    const documents = plan.documents.filter(({ kind }) => kind === wanted);
    return {
      put: documents.flatMap(({ key, kept }) => (kept ? [parse(key, kept.json)] : [])),
      delete: documents.filter(({ kept }) => !kept).map(({ key }) => key),
    };
  };
  const overrides = of("override");
  return {
    flags: of("flag"),
    segments: of("segment"),
    groups: of("group"),
    overrides: { put: overrides.put, delete: overrides.delete.map(overrideOf) },
    memberships: {
      put: plan.lists
        .filter(({ segment, anew, sum }) => anew && !sameChecksum(sum, content.lists.get(segment)?.sum))
        .map(({ segment, keys }) => ({ segment, included: keysOf(keys, false), excluded: keysOf(keys, true) })),
      patch: plan.lists
        .filter(({ anew }) => !anew)
        .map(({ segment, keys }) => ({
          segment,
          include: keysOf(keys, false),
          exclude: keysOf(keys, true),
          remove: keysOf(keys, undefined),
        })),
    },
  };
}

/** Writes down what a plan changes. */
export function carryOut(content: Content, plan: Plan): void {
  for (const { kind, key, kept } of plan.documents) {
    if (kept) content.documents[kind].set(key, kept);
    else content.documents[kind].delete(key);
  }
  for (const { segment, anew, keys, sum } of plan.lists) {
    const known = anew ? undefined : content.lists.get(segment)?.keys;
    const lists = known ?? new Map<string, boolean>();
    for (const [key, excluded] of keys) {
      if (excluded === undefined) lists.delete(key);
      else lists.set(key, excluded);
    }
    if (lists.size === 0) content.lists.delete(segment);
    else content.lists.set(segment, { keys: lists, sum });
  }
  content.platform = plan.platform;
  content.tenant = plan.tenant;
}

/** What is no JSON, though its checksum is right, is a document that no evaluator can read: it fails by itself. */
function parse(key: string, json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return { key };
  }
}

function overrideOf(key: string): { tenant: string; flag: string } {
  const slash = key.indexOf("/");
  return { tenant: key.slice(0, slash), flag: key.slice(slash + 1) };
}

function keysOf(keys: ReadonlyMap<string, boolean | undefined>, wanted: boolean | undefined): string[] {
  return [...keys].filter(([, excluded]) => excluded === wanted).map(([key]) => key);
}
