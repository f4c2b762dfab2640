import { DomainError } from "../errors.ts";

/** Collects what is asked within one turn of the event loop, or while earlier batches are under way, into one call. */
export interface Batcher<T, R> {
  /** Resolves with the item's own result; rejects with what its batch failed with, or OVERLOADED. */
  add(item: T): Promise<R>;
}

export interface BatchOptions<T, R> {
  /** Carries out a batch; answers in its order. */
  readonly run: (items: readonly T[]) => Promise<readonly R[]>;
  /** How much of a batch an item takes; 1 by default. */
  readonly sizeOf?: (item: T) => number;
  /** The size of a batch; a single item that is larger makes one by itself. */
  readonly sizeMax: number;
  /** Batches under way: while one is answered the next one fills, so load makes batches larger rather than more. */
  readonly underWayMax: number;
  /** The size of what waits for a batch; more is refused. */
  readonly waitingMax: number;
}

/** What a caller is told to wait when too much waits already: some batches' time. */
const RETRY_AFTER_MS = 500;

/** Makes a batcher. Nothing is remembered: a batch is carried out after everything in it was asked. */
export function createBatcher<T, R>(options: BatchOptions<T, R>): Batcher<T, R> {
  const { run, sizeOf = () => 1, sizeMax, underWayMax, waitingMax } = options;
  const queue: Waiting<T, R>[] = [];
  let waiting = 0;
  let underWay = 0;
  let scheduled = false;
  const schedule = () => {
    if (scheduled || queue.length === 0 || underWay >= underWayMax) return;
    scheduled = true;
    setImmediate(() => void start());
  };
  const start = async () => {
    scheduled = false;
    const batch = takeBatch(queue, sizeMax);
    for (const { size } of batch) waiting -= size;
    underWay += 1;
    schedule();
    try {
      const results = await run(batch.map(({ item }) => item));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as R);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    underWay -= 1;
    schedule();
  };
  return {
    add(item) {
      const size = sizeOf(item);
      if (waiting + size > waitingMax) {
        const message = "too much waits for the database; come again a little later";
        return Promise.reject(new DomainError("OVERLOADED", message, {}, { retryAfterMs: RETRY_AFTER_MS }));
      }
      waiting += size;
      return new Promise((resolve, reject) => {
        queue.push({ item, size, resolve, reject });
        schedule();
      });
    },
  };
}

/**
 * Makes a reader of single things that reads all of them together that are asked for at the same time, each once;
 * undefined for what is not found.
 */
export function createBatchReader<K, V>(
  limits: Pick<BatchOptions<K, V>, "sizeMax" | "underWayMax" | "waitingMax">,
  load: (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>,
): (key: K) => Promise<V | undefined> {
  const batcher = createBatcher<K, V | undefined>({
    ...limits,
    async run(keys) {
      const found = await load([...new Set(keys)]);
      return keys.map((key) => found.get(key));
    },
  });
  return batcher.add;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly size: number;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

function takeBatch<T, R>(queue: Waiting<T, R>[], sizeMax: number): Waiting<T, R>[] {
  let size = 0;
  const end = queue.findIndex((waiting, index) => {
    size += waiting.size;
    return index > 0 && size > sizeMax;
  });
  return queue.splice(0, end === -1 ? queue.length : end);
}
