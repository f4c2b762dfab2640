import type { Evaluator, MembershipPatch } from "@tenantplane/sdk/evaluate";
import { createReplica, type Document, type DocumentId, type Replica } from "@tenantplane/sdk/replica";
import type { Batch } from "../change/hub.ts";
import type { ChangeRow, Position } from "../change/store.ts";
import type { Plan } from "../plan/plan.ts";
import type { Tenant } from "../tenant/tenant.ts";
import {
  entitlementsOf,
  flagDocument,
  groupDocument,
  overrideDocument,
  overrideId,
  planKey,
  segmentDocument,
  tenantDocument,
} from "./documents.ts";
import type { Flag, Group, Override, Segment } from "./flag.ts";
import { createJournal, type Journal } from "./journal.ts";

/** All flags in the node's memory, fed by the change log, ready to evaluate and to be sent to replicas. */
export interface FlagTable {
  readonly replica: Replica;
  journal(): Journal;
  /** Up to where the change log is in here. */
  position(): Position;
  /** Where the flags, or what else evaluations depend on, last changed. */
  changedAt(): Position;
  /** Whether tenants may override a flag. */
  isOverridable(key: string): boolean;
  /** The keys of the flags that a tenant overrides. */
  overriddenBy(tenantId: string): ReadonlySet<string>;
  /** Takes in what was read from the tables at a position; before it, the table is empty. */
  load(content: TableContent, position: Position): void;
  /** Takes in what comes next in the change log. */
  apply(batch: Batch): void;
  /** Calls back after each step, until the returned function is called. */
  onStep(wake: () => void): () => void;
  /** How many wait for the next step. */
  watchers(): number;
}

/** Everything there is. */
export interface TableContent {
  readonly flags: readonly Flag[];
  readonly segments: readonly Segment[];
  readonly groups: readonly Group[];
  readonly overrides: readonly Override[];
  readonly plans: readonly Pick<Plan, "planId" | "version" | "entitlements">[];
  readonly tenants: readonly Tenant[];
  readonly memberPatches: readonly MembershipPatch[];
}

/** Makes an empty table over an evaluator of its own. */
export function createFlagTable(evaluator: Evaluator): FlagTable {
  const replica = createReplica(evaluator);
  const facts: Facts = { overridable: new Set(), uids: new Map(), overridden: new Map(), entitlements: new Map() };
  const watchers = new Set<() => void>();
  let position: Position = { xid: 0n, seq: 0 };
  let changedAt = position;
  let journal = createJournal(position);
  const commit = (full: boolean, { documents, cleared, patches }: Draft) => {
    const nothing = { puts: [], deletes: [], memberPatches: [], resumeToken: "" };
    // First, so that a segment that comes back does so without its lists.
    const segments = [...cleared].map((key): DocumentId => ({ kind: "segment", key }));
    replica.apply({ ...nothing, begin: { full }, deletes: segments });
    const puts = [...documents.values()].filter((document): document is Document => document.json !== undefined);
    const deletes = [...documents.values()].filter(({ json }) => json === undefined);
    const unchecked = { platformChecksum: "", tenantChecksum: "" };
    replica.apply({ ...nothing, puts, deletes, memberPatches: patches, commit: unchecked });
  };
  return {
    replica,
    journal: () => journal,
    position: () => position,
    changedAt: () => changedAt,
    isOverridable: (key) => facts.overridable.has(key),
    overriddenBy: (tenantId) => facts.overridden.get(tenantId) ?? NO_KEYS,
    load(content, at) {
      const draft: Draft = { documents: new Map(), cleared: new Set(), patches: [...content.memberPatches] };
      for (const plan of content.plans) facts.entitlements.set(planKey(plan), entitlementsOf(plan));
      for (const tenant of content.tenants) putTenant(facts, draft, tenant);
      for (const flag of content.flags) putFlag(facts, draft, flag);
      for (const segment of content.segments) put(draft, segmentDocument(segment));
      for (const group of content.groups) put(draft, groupDocument(group));
      for (const override of content.overrides) putOverride(facts, draft, override);
      commit(true, draft);
      position = at;
      changedAt = at;
      journal = createJournal(at);
    },
    apply(batch) {
      const draft: Draft = { documents: new Map(), cleared: new Set(), patches: [] };
      for (const change of batch.changes) take(facts, draft, change);
      for (const [id, document] of draft.documents) {
        if (replica.document(document) === document.json && !isCleared(draft, document)) draft.documents.delete(id);
      }
      position = batch.position;
      if (draft.documents.size === 0 && draft.patches.length === 0) return;
      commit(false, draft);
      changedAt = position;
      const ids = [...draft.documents.values()].map(({ kind, key, json }) => {
        return { kind, key, gone: json === undefined || isCleared(draft, { kind, key }) };
      });
      journal.add({ position, ids, patches: draft.patches });
      for (const wake of watchers) wake();
    },
    onStep(wake) {
      watchers.add(wake);
      return () => watchers.delete(wake);
    },
    watchers: () => watchers.size,
  };
}

const NO_KEYS: ReadonlySet<string> = new Set();

/** What the table must know beside the documents. */
interface Facts {
  /** Keys of flags that tenants may override. */
  readonly overridable: Set<string>;
  /** Uids of tenants, by id. */
  readonly uids: Map<string, string>;
  /** Keys of overridden flags, by tenant id. */
  readonly overridden: Map<string, Set<string>>;
  /** What plans entitle to, by plan and version. */
  readonly entitlements: Map<string, ReturnType<typeof entitlementsOf>>;
}

/** Changes to documents, the last one of each; undefined is gone. */
interface Draft {
  readonly documents: Map<string, DocumentId & { readonly json: string | undefined }>;
  /** Keys of segments that went, though they may be back. */
  readonly cleared: Set<string>;
  readonly patches: MembershipPatch[];
}

function isCleared(draft: Draft, { kind, key }: DocumentId): boolean {
  return kind === "segment" && draft.cleared.has(key);
}

function take(facts: Facts, draft: Draft, change: ChangeRow): void {
  const { noun, before, after } = change;
  switch (noun) {
    case "flag":
      if (after) putFlag(facts, draft, after as Flag);
      else removeFlag(facts, draft, (before as Flag).definition.key);
      break;
    case "flagSegment":
      if (after) put(draft, segmentDocument(after as Segment));
      else removeSegment(draft, (before as Segment).definition.key);
      break;
    case "flagGroup":
      if (after) put(draft, groupDocument(after as Group));
      else remove(draft, { kind: "group", key: (before as Group).definition.key });
      break;
    case "flagMembership":
      draft.patches.push(after as MembershipPatch);
      break;
    case "flagOverride":
      if (after) putOverride(facts, draft, after as Override);
      else removeOverride(facts, draft, before as Override);
      break;
    case "tenant":
      if (after) putTenant(facts, draft, after as Tenant);
      else removeTenant(facts, draft, before as Tenant);
      break;
    case "plan":
      // Versions are only added; those of a plan that is gone belong to nobody.
      if (after) facts.entitlements.set(planKey(after as Plan), entitlementsOf(after as Plan));
      break;
    default:
      break;
  }
}

function put(draft: Draft, document: Document): void {
  draft.documents.set(`${document.kind}/${document.key}`, document);
}

function remove(draft: Draft, { kind, key }: DocumentId): void {
  draft.documents.set(`${kind}/${key}`, { kind, key, json: undefined });
}

function putFlag(facts: Facts, draft: Draft, flag: Flag): void {
  const { key } = flag.definition;
  if (flag.tenantOverridable) facts.overridable.add(key);
  else facts.overridable.delete(key);
  put(draft, flagDocument(flag));
}

function removeFlag(facts: Facts, draft: Draft, key: string): void {
  facts.overridable.delete(key);
  remove(draft, { kind: "flag", key });
}

// Its lists are gone with it: what was said of them before counts no more.
function removeSegment(draft: Draft, key: string): void {
  remove(draft, { kind: "segment", key });
  draft.cleared.add(key);
  draft.patches.splice(0, draft.patches.length, ...draft.patches.filter(({ segment }) => segment !== key));
}

function putOverride(facts: Facts, draft: Draft, override: Override): void {
  // One that was written while its tenant was purged may be logged after the purge, with which it went.
  if (facts.uids.get(override.tenantId) !== override.tenantUid) return;
  const keys = facts.overridden.get(override.tenantId) ?? new Set();
  facts.overridden.set(override.tenantId, keys.add(override.flagKey));
  put(draft, overrideDocument(override));
}

function removeOverride(facts: Facts, draft: Draft, override: Override): void {
  facts.overridden.get(override.tenantId)?.delete(override.flagKey);
  remove(draft, overrideId(override));
}

function putTenant(facts: Facts, draft: Draft, tenant: Tenant): void {
  facts.uids.set(tenant.tenantId, tenant.uid);
  put(draft, tenantDocument(tenant, facts.entitlements));
}

// A purge takes the overrides along. The name may have been given to a new tenant meanwhile.
function removeTenant(facts: Facts, draft: Draft, { tenantId, uid }: Tenant): void {
  if (facts.uids.get(tenantId) !== uid) return;
  for (const flagKey of facts.overridden.get(tenantId) ?? []) remove(draft, overrideId({ tenantId, flagKey }));
  facts.overridden.delete(tenantId);
  facts.uids.delete(tenantId);
  remove(draft, { kind: "tenant", key: tenantId });
}
