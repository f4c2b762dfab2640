/*
 * What is sent to those who follow the flags.
 *
 * Nothing is queued for anybody. A watcher is told what changed since its position, as things are when it is ready to
 * be told: a slow one gets one larger transfer in the place of many, and holds no memory but its position. All who are at the same
 * step get the same pieces, so they are made, and encoded, once; a piece without documents of tenants is the same for
 * all scopes.
 *
 * What is sent whole is cut into pieces once and kept. A later watcher gets the kept pieces and one more with what
 * changed since they were made; when that becomes much, they are made anew.
 */
import type { MembershipPatch } from "@tenantplane/sdk/evaluate";
import type { Document, DocumentId, TransferPiece } from "@tenantplane/sdk/replica";
import type { Position } from "../change/store.ts";
import { membershipPatches } from "./documents.ts";
import type { Step } from "./journal.ts";
import type { FlagTable } from "./table.ts";
import { tenantChecksum, tenantIds } from "./viewer.ts";

/** Whose overrides and facts belong to a stream: one tenant's, or all. */
export type FlagScope = { readonly tenantId: string } | "all";

export interface Transfers {
  /** Everything. */
  full(scope: FlagScope): readonly TransferPiece[];
  /** What changed since a position; none when nothing did, and undefined when only everything will do. */
  since(position: Position, scope: FlagScope): readonly TransferPiece[] | undefined;
  /** Says that nothing changed up to now. */
  heartbeat(): TransferPiece;
}

/** Makes the transfers of a table. `token` writes positions down. */
export function createTransfers(table: FlagTable, token: (position: Position) => string): Transfers {
  let made: { readonly at: Position; readonly pieces: Map<string, readonly TransferPiece[]> } | undefined;
  const kept = { platform: keptPieces(table, PLATFORM_KINDS), tenants: keptPieces(table, TENANT_KINDS) };
  // Pieces that end at the newest position, each made once.
  const once = (name: string, make: () => readonly TransferPiece[]) => {
    if (made?.at !== table.position()) made = { at: table.position(), pieces: new Map() };
    const known = made.pieces.get(name);
    if (known) return known;
    const pieces = make();
    made.pieces.set(name, pieces);
    return pieces;
  };
  const commit = (ofTenants: boolean, scope: FlagScope) => ({
    platformChecksum: table.replica.checksums().platformChecksum,
    tenantChecksum: ofTenants ? checksumOf(table, scope) : "",
  });
  const ending = (full: boolean, parts: Parts, ofTenants: boolean, scope: FlagScope) =>
    cut(parts).map((piece, index, { length }) => ({
      ...EMPTY,
      ...piece,
      ...(index === 0 && !full ? { begin: { full } } : {}),
      ...(index === length - 1 ? { commit: commit(ofTenants, scope), resumeToken: token(table.position()) } : {}),
    }));
  return {
    full(scope) {
      return once(`full of ${nameOf(scope)}`, () => {
        const platform = kept.platform();
        const tenants = scope === "all" ? kept.tenants() : { pieces: [], later: [] };
        const own = scope === "all" ? [] : tenantIds(table, scope.tenantId);
        const parts = partsOf(table, [...platform.later, ...tenants.later, { ids: own, patches: [] }]);
        return [
          { ...EMPTY, begin: { full: true } },
          ...platform.pieces,
          ...tenants.pieces,
          ...ending(true, parts, true, scope),
        ];
      });
    },
    since(position, scope) {
      const steps = table.journal().after(position);
      if (!steps) return undefined;
      const relevant = steps
        .map((step) => within(step, scope))
        .filter(({ ids, patches }) => ids.length + patches.length > 0);
      const [first] = relevant;
      if (!first) return [];
      if (comesBack(table, relevant)) return undefined;
      const ofTenants = relevant.some(({ ids }) => ids.some(({ kind }) => TENANT_KINDS.includes(kind)));
      const name = `since ${first.position.xid}.${first.position.seq} of ${ofTenants ? nameOf(scope) : "the platform"}`;
      return once(name, () => ending(false, partsOf(table, relevant), ofTenants, scope));
    },
    heartbeat() {
      const make = () => [{ ...EMPTY, commit: commit(false, "all"), resumeToken: token(table.position()) }];
      return once("heartbeat", make)[0] ?? EMPTY;
    },
  };
}

type Kind = DocumentId["kind"];
const PLATFORM_KINDS: readonly Kind[] = ["flag", "segment", "group"];
const TENANT_KINDS: readonly Kind[] = ["override", "tenant"];
const EMPTY: TransferPiece = { puts: [], deletes: [], memberPatches: [], resumeToken: "" };
/** Small enough to be sent between others, large enough that ten thousand flags are a dozen messages. */
const PIECE_CHARACTERS = 256_000;
/** A change of every tenth flag: about as much as making the pieces anew costs. */
const LATER_MAX_STEPS = 1_000;

/** Contents of a transfer that is not cut into pieces yet. */
type Parts = Pick<TransferPiece, "puts" | "deletes" | "memberPatches">;
interface Change {
  readonly ids: readonly DocumentId[];
  readonly patches: readonly MembershipPatch[];
}

// Everything of some kinds in pieces, and what changed since they were made.
function keptPieces(table: FlagTable, kinds: readonly Kind[]) {
  let kept: { readonly at: Position; readonly pieces: readonly TransferPiece[] } | undefined;
  const laterThan = (at: Position) =>
    table
      .journal()
      .after(at)
      ?.map(({ ids, patches }) => ({
        ids: ids.filter(({ kind }) => kinds.includes(kind)),
        patches: kinds.includes("segment") ? patches : [],
      }));
  return (): { pieces: readonly TransferPiece[]; later: readonly Pick<Step, "ids" | "patches">[] } => {
    const later = kept && laterThan(kept.at);
    if (kept && later && later.length <= LATER_MAX_STEPS && !comesBack(table, later))
      return { pieces: kept.pieces, later };
    const ids = kinds.flatMap((kind) => [...table.replica.keys(kind)].map((key) => ({ kind, key })));
    const patches = kinds.includes("segment") ? membershipPatches(membersOf(table)) : [];
    kept = {
      at: table.position(),
      pieces: cut(partsOf(table, [{ ids, patches }])).map((piece) => ({ ...EMPTY, ...piece })),
    };
    return { pieces: kept.pieces, later: [] };
  };
}

function* membersOf(table: FlagTable) {
  for (const [segment, { keys }] of table.replica.lists()) {
    for (const [key, excluded] of keys) yield { segment, key, excluded };
  }
}

// A segment that went and came back has lost its lists in between, which the order within a piece can't say.
function comesBack(table: FlagTable, changes: readonly Pick<Step, "ids">[]): boolean {
  return changes.some(({ ids }) =>
    ids.some((id) => id.kind === "segment" && id.gone && table.replica.document(id) !== undefined),
  );
}

function within(step: Step, scope: FlagScope): Step {
  if (scope === "all") return step;
  const { tenantId } = scope;
  const isOwn = ({ kind, key }: DocumentId) =>
    (kind !== "tenant" && kind !== "override") ||
    key === tenantId ||
    (kind === "override" && key.startsWith(`${tenantId}/`));
  return step.ids.every(isOwn) ? step : { ...step, ids: step.ids.filter(isOwn) };
}

// The changed documents as they are now, each once.
function partsOf(table: FlagTable, changes: readonly Change[]): Parts {
  const ids = new Map(changes.flatMap((change) => change.ids.map((id) => [`${id.kind}/${id.key}`, id] as const)));
  const puts: Document[] = [];
  const deletes: DocumentId[] = [];
  for (const { kind, key } of ids.values()) {
    const json = table.replica.document({ kind, key });
    if (json === undefined) deletes.push({ kind, key });
    else puts.push({ kind, key, json });
  }
  const isThere = ({ segment }: MembershipPatch) =>
    table.replica.document({ kind: "segment", key: segment }) !== undefined;
  return { puts, deletes, memberPatches: changes.flatMap(({ patches }) => patches.filter(isThere)) };
}

// In the order of the fields: puts, deletes, then what changes in lists.
function cut({ puts, deletes, memberPatches }: Parts): Parts[] {
  const pieces: { puts: Document[]; deletes: DocumentId[]; memberPatches: MembershipPatch[] }[] = [];
  let characters = Number.POSITIVE_INFINITY;
  const next = (size: number) => {
    characters += size;
    if (characters > PIECE_CHARACTERS || pieces.length === 0) {
      pieces.push({ puts: [], deletes: [], memberPatches: [] });
      characters = size;
    }
    return pieces.at(-1);
  };
  for (const document of puts) next(document.json.length + document.key.length)?.puts.push(document);
  for (const id of deletes) next(id.key.length)?.deletes.push(id);
  for (const patch of memberPatches) next(sizeOf(patch))?.memberPatches.push(patch);
  return pieces.length > 0 ? pieces : [{ puts, deletes, memberPatches }];
}

function sizeOf({ include = [], exclude = [], remove = [] }: MembershipPatch): number {
  let characters = 0;
  for (const key of [...include, ...exclude, ...remove]) characters += key.length;
  return characters;
}

function checksumOf(table: FlagTable, scope: FlagScope): string {
  return scope === "all" ? table.replica.checksums().tenantChecksum : tenantChecksum(table, scope.tenantId);
}

function nameOf(scope: FlagScope): string {
  return scope === "all" ? "all" : `tenant ${scope.tenantId}`;
}
