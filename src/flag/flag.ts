import type { FlagDefinition, GroupDefinition, SegmentDefinition, Serve } from "@tenantplane/sdk/evaluate";

/** A flag, as plain data that survives JSON: what evaluators need, and what only people and the server read. */
export interface Flag {
  readonly uid: string;
  readonly definition: FlagDefinition;
  readonly description: string;
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly tenantOverridable: boolean;
  readonly expiresAt: number | null;
  /** Raised by every write; names the flag's revisions. */
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A segment. Who is in it by name is kept apart. */
export interface Segment {
  readonly uid: string;
  readonly definition: SegmentDefinition;
  readonly description: string;
  readonly includedCount: number;
  readonly excludedCount: number;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A group of flags that exclude each other. */
export interface Group {
  readonly uid: string;
  readonly definition: GroupDefinition;
  readonly description: string;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What one tenant gets of one flag. */
export interface Override {
  readonly tenantUid: string;
  readonly tenantId: string;
  readonly flagUid: string;
  readonly flagKey: string;
  readonly serve: Serve;
  readonly reason: string;
  readonly writer: string;
  readonly expiresAt: number | null;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A flag as it was after one of its writes. */
export interface Revision {
  readonly flag: Flag;
  readonly verb: RevisionVerb;
  readonly actor: string;
  readonly reason: string;
  readonly at: number;
}

export type RevisionVerb = "create" | "update" | "kill" | "revive" | "rollback" | "import" | "schedule";

/** The name of a flag, by its key. */
export function flagName(key: string): string {
  return `flags/${key}`;
}

/** The name of a segment, by its key. */
export function segmentName(key: string): string {
  return `flagSegments/${key}`;
}

/** The name of a group, by its key. */
export function groupName(key: string): string {
  return `flagGroups/${key}`;
}

/** The name of an override, by the tenant's id and the flag's key. */
export function overrideName(tenantId: string, flagKey: string): string {
  return `tenants/${tenantId}/flagOverrides/${flagKey}`;
}

/** What a caller decides of a flag; of the definition only its form is known. */
export interface FlagInput extends Pick<Flag, "description" | "owner" | "labels" | "tenantOverridable" | "expiresAt"> {
  readonly definition: Readonly<Record<string, unknown>>;
}

/** What an update writes; of the definition the fields that are named, and null takes one away. Survives JSON. */
export interface FlagPatch extends Partial<Omit<FlagInput, "definition">> {
  readonly definition: Readonly<Record<string, unknown>>;
}

/** A flag with some fields written over; unchecked, as the fields are. */
export function patched(flag: Flag, patch: FlagPatch): Flag {
  const { definition, ...rest } = patch;
  const fields = Object.entries({ ...flag.definition, ...definition }).filter(([, value]) => value !== null);
  return { ...flag, ...rest, definition: Object.fromEntries(fields) as unknown as FlagDefinition };
}

/** A flag killed or revived. */
export function withKilled(flag: Flag, killed: boolean): Flag {
  return { ...flag, definition: withoutFalse({ ...flag.definition, killed }) };
}

/** A definition that is killed, or says nothing of it. */
export function withoutFalse({
  killed,
  ...definition
}: Omit<FlagDefinition, "killed"> & { killed?: boolean | undefined }) {
  return killed ? { ...definition, killed } : definition;
}
