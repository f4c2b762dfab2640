/** Keys of one batch: what a database finds about as fast as one. */
const BATCH_MAX = 500;
/** Batches under way: while one is being answered the next one fills, so load makes batches larger rather than more. */
const UNDER_WAY_MAX = 2;

/**
 * Makes a reader of single things that reads all of them together that are asked for in one turn of the event loop, or while
 * others are being read. Nothing is remembered: each answer was read after its question.
 */
export function createBatcher<K, V>(
  load: (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>,
): (key: K) => Promise<V | undefined> {
  const waiting: Asked<K, V>[] = [];
  let scheduled = false;
  let underWay = 0;
  const schedule = () => {
    if (scheduled || waiting.length === 0 || underWay >= UNDER_WAY_MAX) return;
    scheduled = true;
    setImmediate(() => void answerNext());
  };
  const answerNext = async () => {
    scheduled = false;
    underWay += 1;
    const asked = waiting.splice(0, BATCH_MAX);
    schedule();
    try {
      const found = await load([...new Set(asked.map(({ key }) => key))]);
      for (const { key, resolve } of asked) resolve(found.get(key));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
    underWay -= 1;
    schedule();
  };
  return (key) =>
    new Promise((resolve, reject) => {
      waiting.push({ key, resolve, reject });
      schedule();
    });
}

interface Asked<K, V> {
  readonly key: K;
  readonly resolve: (value: V | undefined) => void;
  readonly reject: (error: unknown) => void;
}
