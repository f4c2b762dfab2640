import { DomainError } from "../errors.ts";
import type { MutationDeps } from "../mutation.ts";
import { databaseError } from "../mutation.ts";
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
/** Events that wait for one: some megabytes, and a second's work. Past it, callers are told to come again. */
const WAITING_MAX = 50_000;
/** Transactions side by side: the disk is waited for while others are made ready. */
const LANES = 2;
/** A transaction of events takes some tens of milliseconds. */
const TRANSACTION_TIMEOUT_MS = 10_000;
/** What a caller is told to wait when there is too much to do. */
const RETRY_AFTER_MS = 500;

interface Waiting {
  readonly events: readonly UsageEvent[];
  readonly resolve: (outcomes: EventOutcome[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Calls of one moment share a transaction: under load it fills by itself while the one before is written. */
export function createIngest(deps: IngestDeps): Ingest {
  const queue: Waiting[] = [];
  let waiting = 0;
  let lanes = 0;
  const drain = async () => {
    lanes += 1;
    // What else is called in this turn comes along.
    await Promise.resolve();
    for (let batch = takeBatch(queue); batch.length > 0; batch = takeBatch(queue)) {
      const events = batch.flatMap((item) => item.events);
      await store(deps, events).then(
        (outcomes) => settle(batch, outcomes),
        (error: unknown) => {
          for (const { reject } of batch) reject(databaseError(error));
        },
      );
      waiting -= events.length;
    }
    lanes -= 1;
  };
  return {
    add(events) {
      if (waiting + events.length > WAITING_MAX) {
        const message = "too many events are waiting to be written; send them again a little later";
        return Promise.reject(new DomainError("OVERLOADED", message, {}, { retryAfterMs: RETRY_AFTER_MS }));
      }
      waiting += events.length;
      return new Promise((resolve, reject) => {
        queue.push({ events, resolve, reject });
        if (lanes < LANES) void drain();
      });
    },
  };
}

function takeBatch(queue: Waiting[]): Waiting[] {
  let events = 0;
  let calls = 0;
  for (const item of queue) {
    events += item.events.length;
    if (calls > 0 && events > TRANSACTION_MAX) break;
    calls += 1;
  }
  return queue.splice(0, calls);
}

function settle(batch: readonly Waiting[], outcomes: readonly EventOutcome[]): void {
  let from = 0;
  for (const { events, resolve } of batch) {
    resolve(outcomes.slice(from, from + events.length));
    from += events.length;
  }
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
