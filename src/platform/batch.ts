import { DomainError } from "../errors.ts";

/** Collects what is asked within one turn of the event loop, or while earlier batches are under way, into one call. */
export interface Batcher<T, R> {
  /** Resolves with the item's own result; rejects with what its batch failed with, or OVERLOADED. */
  add(item: T): Promise<R>;
}

export interface BatchOptions<T, R> {
  /** Carries out a batch; answers in its order. */
  readonly run: (items: readonly T[]) => Promise<readonly R[]>;
  readonly itemsMax: number;
  readonly underWayMax: number;
  /** Items that wait for a batch; more are refused. */
  readonly waitingMax: number;
}

/** Makes a batcher. */
export function createBatcher<T, R>(options: BatchOptions<T, R>): Batcher<T, R> {
  const { run, itemsMax, underWayMax, waitingMax } = options;
  const waiting: { item: T; resolve: (result: R) => void; reject: (error: unknown) => void }[] = [];
  let underWay = 0;
  let scheduled = false;
  const schedule = () => {
    if (scheduled || waiting.length === 0 || underWay >= underWayMax) return;
    scheduled = true;
    setImmediate(start);
  };
  const start = () => {
    scheduled = false;
    const batch = waiting.splice(0, itemsMax);
    underWay += 1;
    run(batch.map(({ item }) => item))
      .then((results) => {
        for (const [index, { resolve }] of batch.entries()) resolve(results[index] as R);
      })
      .catch((error: unknown) => {
        for (const { reject } of batch) reject(error);
      })
      .finally(() => {
        underWay -= 1;
        schedule();
      });
    schedule();
  };
  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        if (waiting.length >= waitingMax) return reject(new DomainError("OVERLOADED", "too many writes wait"));
        waiting.push({ item, resolve, reject });
        schedule();
      }),
  };
}
