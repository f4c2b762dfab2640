/*
 * A replica of the flags: what WatchFlags sends, put together again.
 *
 * The stream is a row of transfers. One begins, brings documents, ids of documents that are gone and changes to the lists
 * of segments, and is committed: until then nothing of it is seen, and then all of it at once. A full transfer says how everything
 * is, so that what it does not bring is gone; any other one says what has changed.
 *
 * Commits, and heartbeats too, have a checksum of all that belongs to the platform, which is the same for all who watch; those
 * that change it, one of what belongs to tenants. They are compared before the transfer is applied. When one differs, something was
 * missed or spoiled, and the replica is "broken": it stays as it was and wants a full transfer. A checksum is the exclusive or of
 * two hashes of each part (`hashOf`), so a change costs what it changes.
 *
 * Pure: the server keeps its own memory of flags this way, and the SDK the one of a process; neither the time nor the
 * network is known here.
 */
import type { Evaluator, TenantFacts } from "./evaluate/index.ts";
import { formatChecksum } from "./replica/checksum.ts";
import type { DocumentId, DocumentKind, TransferPiece } from "./replica/piece.ts";
import { type Content, carryOut, changesOf, type Plan, planOf, type Staged, stage } from "./replica/plan.ts";

export * from "./replica/checksum.ts";
export * from "./replica/piece.ts";

/** What became of a piece. */
export type ReplicaOutcome =
  /** It waits for its commit. */
  | { readonly kind: "pending" }
  /** Nothing changed up to its version. */
  | { readonly kind: "heartbeat" }
  /** The transfer is applied. These flags, and all flags of these tenants, may evaluate to something else now. */
  | { readonly kind: "committed"; readonly flags: readonly string[]; readonly tenants: readonly string[] }
  /** Nothing is changed; only a full transfer helps. */
  | { readonly kind: "broken"; readonly why: string };

export interface Replica {
  readonly evaluator: Evaluator;
  /** The version of the last commit or heartbeat; empty when nothing is here yet, or what is here is broken. */
  token(): string;
  apply(piece: TransferPiece): ReplicaOutcome;
  /** What is known of a tenant. */
  facts(tenantId: string): TenantFacts | undefined;
  /** A document's JSON. */
  document(id: DocumentId): string | undefined;
  /** Keys of all documents of a kind. */
  keys(kind: DocumentKind): IterableIterator<string>;
  /** The lists of segments that have any: whether each key is excluded. */
  lists(): ReadonlyMap<string, { readonly keys: ReadonlyMap<string, boolean> }>;
  checksums(): { readonly platformChecksum: string; readonly tenantChecksum: string };
}

/** Makes a replica without anything; what it commits goes into the evaluator. */
export function createReplica(evaluator: Evaluator): Replica {
  const content: Content = {
    documents: { flag: new Map(), segment: new Map(), group: new Map(), override: new Map(), tenant: new Map() },
    lists: new Map(),
    platform: { high: 0, low: 0 },
    tenant: { high: 0, low: 0 },
  };
  const facts = new Map<string, TenantFacts>();
  let token = "";
  let staged: Staged | undefined;
  const broken = (why: string): ReplicaOutcome => {
    token = "";
    return { kind: "broken", why };
  };
  const commit = (plan: Plan, version: string): ReplicaOutcome => {
    const { changedFlags } = evaluator.apply(changesOf(content, plan), "lenient");
    const tenants = plan.documents.filter(({ kind }) => kind === "tenant").map(({ key }) => key);
    carryOut(content, plan);
    for (const key of tenants) facts.delete(key);
    token = version;
    return { kind: "committed", flags: changedFlags, tenants };
  };
  return {
    evaluator,
    token: () => token,
    apply(piece) {
      if (piece.begin) staged = { full: piece.begin.full, documents: new Map(), lists: new Map() };
      if (staged) stage(staged, piece);
      if (!piece.commit) return { kind: "pending" };
      const transfer = staged;
      staged = undefined;
      const plan = transfer && planOf(content, transfer);
      const differs = differing(plan ?? content, piece.commit);
      if (differs !== undefined) return broken(`the checksum of the ${differs} differs`);
      if (plan) return commit(plan, piece.resumeToken);
      if (token !== "") token = piece.resumeToken;
      return { kind: "heartbeat" };
    },
    facts(tenantId) {
      const known = facts.get(tenantId);
      const json = known ? undefined : content.documents.tenant.get(tenantId)?.json;
      if (json === undefined) return known;
      const parsed = Object.freeze(JSON.parse(json) as TenantFacts);
      facts.set(tenantId, parsed);
      return parsed;
    },
    document: ({ kind, key }) => content.documents[kind].get(key)?.json,
    keys: (kind) => content.documents[kind].keys(),
    lists: () => content.lists,
    checksums: () => ({
      platformChecksum: formatChecksum(content.platform),
      tenantChecksum: formatChecksum(content.tenant),
    }),
  };
}

/** Whose part has another checksum than the commit says. */
function differing(sums: Pick<Content, "platform" | "tenant">, commit: NonNullable<TransferPiece["commit"]>) {
  const { platformChecksum, tenantChecksum } = commit;
  if (platformChecksum !== "" && platformChecksum !== formatChecksum(sums.platform)) return "platform's part";
  if (tenantChecksum !== "" && tenantChecksum !== formatChecksum(sums.tenant)) return "tenants' part";
  return undefined;
}
