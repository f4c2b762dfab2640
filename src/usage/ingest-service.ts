import type { MutationDeps } from "../mutation.ts";
import { databaseError } from "../mutation.ts";
import { createBatcher } from "../platform/batcher.ts";
import { PLATFORM_SCOPE, writeAs } from "../platform/postgres.ts";
import type { EventOutcome, UsageEvent } from "./event.ts";
import { beginEras, insertEvents, type KeyedEvent, lockTenants } from "./event-store.ts";

export interface IngestDeps extends Pick<MutationDeps, "sql" | "clock"> {
  /** A UUID made of a text. */
  readonly keyOf: (text: string) => string;
  /** Says that there is something to fold. */
  readonly wakeFold: () => void;
}

/** Takes in events. */
export interface Ingest {
  /** Resolves once all are in the database. Throws OVERLOADED, DATABASE_UNAVAILABLE and DEADLINE_EXCEEDED: then none may be. */
  add(events: readonly UsageEvent[]): Promise<EventOutcome[]>;
}

/** Events of one transaction: more of them make it no cheaper for each. */
const TRANSACTION_MAX = 5_000;
/** Events that wait for one: some megabytes, and a second's work. */
const WAITING_MAX = 50_000;
/** Transactions side by side: the disk is waited for while others are made ready. */
const LANES = 2;
/** A transaction of events takes some tens of milliseconds. */
const TRANSACTION_TIMEOUT_MS = 10_000;

/** Calls of one moment share a transaction: under load it fills by itself while the one before is written. */
export function createIngest(deps: IngestDeps): Ingest {
  return createBatcher<readonly UsageEvent[], EventOutcome[]>({
    async run(calls) {
      const outcomes = await store(deps, calls.flat()).catch((error: unknown) => {
        throw databaseError(error);
      });
      let from = 0;
      return calls.map(({ length }) => {
        from += length;
        return outcomes.slice(from - length, from);
      });
    },
    sizeOf: ({ length }) => length,
    sizeMax: TRANSACTION_MAX,
    underWayMax: LANES,
    waitingMax: WAITING_MAX,
  });
}

async function store(deps: IngestDeps, events: readonly UsageEvent[]): Promise<EventOutcome[]> {
  const keyed = events.map((event) => ({ ...event, key: deps.keyOf(eventText(event)) }));
  const first = firstOfEach(keyed);
  const insert = () =>
    writeAs(deps.sql, PLATFORM_SCOPE, TRANSACTION_TIMEOUT_MS, async (tx) => {
      await lockTenants(
        tx,
        first.map(({ tenantUid }) => tenantUid),
      );
      return insertEvents(tx, first, deps.clock.now());
    });
  const fresh = await insert().catch(async (error: unknown) => {
    if ((error as { code?: string }).code !== NO_PARTITION) throw error;
    // The job that begins eras ahead of time has not run for a month.
    await writeAs(deps.sql, PLATFORM_SCOPE, TRANSACTION_TIMEOUT_MS, (tx) => beginEras(tx, deps.clock.now()));
    return insert();
  });
  deps.wakeFold();
  const counted = new Set<string>();
  return keyed.map(({ tenantUid, key }) => {
    const name = `${tenantUid}/${key}`;
    if (!fresh.has(name) || counted.has(name)) return "DUPLICATE";
    counted.add(name);
    return "ACCEPTED";
  });
}

/** What an event is known by within its tenant. */
export function eventText({ source, id }: Pick<UsageEvent, "source" | "id">): string {
  return `${source}\0${id}`;
}

/** Postgres' word for a row that no partition takes. */
const NO_PARTITION = "23514";

function firstOfEach(events: readonly KeyedEvent[]): KeyedEvent[] {
  const first = new Map<string, KeyedEvent>();
  for (const event of events) {
    const name = `${event.tenantUid}/${event.key}`;
    if (!first.has(name)) first.set(name, event);
  }
  return [...first.values()];
}
