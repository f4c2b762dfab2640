/** A usage event, parsed and permitted, as plain data. */
export interface UsageEvent {
  readonly tenantUid: string;
  readonly tenantId: string;
  readonly source: string;
  readonly id: string;
  readonly type: string;
  readonly at: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What became of an event. */
export type EventOutcome = "ACCEPTED" | "DUPLICATE";

/** Events are partitioned by the era of their receipt; their ids are known for one era and up to two. */
export const ERA_MS = 32 * 86_400_000;

/** The era of an instant. */
export function eraOf(at: number): number {
  return Math.floor(at / ERA_MS);
}

/** Folds run side by side by shard; all events of a tenant are of one. */
export const SHARDS = 8;

/** The shard of a tenant: its uid is random. */
export function shardOf(tenantUid: string): number {
  return Number.parseInt(tenantUid.slice(0, 2), 16) % SHARDS;
}
