/** An iterable that can be ended from outside, also while it waits for its source. One reader takes one item at a time. */
export interface Interruptible<T> extends AsyncIterable<T> {
  /** Ends it with an error, or without one as if the source had ended. False when it had ended before. */
  interrupt(error?: unknown): boolean;
}

/**
 * Passes on what a source yields until it ends or is interrupted; then tells the source to return, and does not wait for
 * it. `onError` hears of the source's failure before the reader does. By hand rather than as a generator, which would cost
 * every message of every stream some turns more.
 */
export function interruptible<T>(source: AsyncIterable<T>, onError?: (error: unknown) => void): Interruptible<T> {
  let iterator: AsyncIterator<T> | undefined;
  let end: Promise<IteratorResult<T>> | undefined;
  // Not a race against one promise for all turns: it would keep a reaction of every turn until the stream's end.
  let wake: (end: Promise<IteratorResult<T>>) => void = () => {};
  const interrupt = (error?: unknown) => {
    if (end) return false;
    end = error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    end.catch(() => {});
    iterator?.return?.().catch(() => {});
    wake(end);
    return true;
  };
  const next = (): Promise<IteratorResult<T>> => {
    if (end) return end;
    iterator ??= source[Symbol.asyncIterator]();
    const pending = iterator.next();
    return new Promise((resolve, reject) => {
      wake = resolve;
      pending.then(
        (result) => {
          if (result.done) interrupt();
          resolve(result);
        },
        (error: unknown) => {
          if (!end) onError?.(error);
          interrupt(error);
          reject(error);
        },
      );
    });
  };
  const stop = async (): Promise<IteratorResult<T>> => {
    interrupt();
    return { done: true, value: undefined };
  };
  return { interrupt, [Symbol.asyncIterator]: () => ({ next, return: stop }) };
}
