import type { Tx } from "./postgres.ts";

/**
 * Runs `fn` with a transaction that goes no further once the signal aborts: the statement under way is cancelled in the
 * database, and no other begins. Rejects with the signal's reason then.
 */
export async function cancellable<T>(tx: Tx, signal: AbortSignal, fn: (tx: Tx) => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const statements: Statement[] = [];
  const cancels: Promise<unknown>[] = [];
  const remember = (made: unknown) => {
    // Parts of statements are of this kind too; they never become active.
    if (made instanceof Promise) statements.push(made as unknown as Statement);
    return made;
  };
  const guarded = new Proxy(tx, {
    apply(target, self, args) {
      signal.throwIfAborted();
      return remember(Reflect.apply(target as unknown as (...args: unknown[]) => unknown, self, args));
    },
    get(target, key) {
      if (key !== "unsafe") return Reflect.get(target, key);
      return (...args: Parameters<Tx["unsafe"]>) => {
        signal.throwIfAborted();
        return remember(target.unsafe(...args));
      };
    },
  });
  const abort = () => {
    for (const statement of statements) {
      // Not its method `cancel`, which drops the outcome: a database that is away would end the process.
      if (statement.active) cancels.push(statement.canceller?.(statement).catch(() => {}) ?? Promise.resolve());
    }
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await fn(guarded);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", abort);
    // The connection is not another's before the database has heard: it would cancel that one's statement.
    await Promise.all(cancels);
  }
}

/** What we know of the driver's queries: whether the database is at work on one, and how it is told to stop. */
interface Statement {
  readonly active: boolean;
  readonly canceller: ((statement: Statement) => Promise<unknown>) | null;
}
