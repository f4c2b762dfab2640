/** An iterable that can be ended from outside, also while it waits for its source. */
export interface Interruptible<T> extends AsyncIterable<T> {
  /** Ends it with an error, or without one as if the source had ended. False when it had ended before. */
  interrupt(error?: unknown): boolean;
}

/**
 * Passes on what a source yields until it ends or is interrupted; then tells the source to return, and does not wait for
 * it. `onError` hears of the source's failure before the reader does.
 */
export function interruptible<T>(source: AsyncIterable<T>, onError?: (error: unknown) => void): Interruptible<T> {
  let outcome: Promise<IteratorResult<T>> | undefined;
  let ended = false;
  let wake: (outcome: Promise<IteratorResult<T>>) => void = () => {};
  async function* items(): AsyncGenerator<T> {
    const iterator = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        // Not a race against one promise for all turns: it would keep a reaction of every turn until the stream's end.
        const next = await (outcome ?? waitFor(iterator, (resolve) => (wake = resolve)));
        if (next.done) return;
        yield next.value;
      }
    } catch (error) {
      if (!outcome) onError?.(error);
      throw error;
    } finally {
      ended = true;
      iterator.return?.().catch(() => {});
    }
  }
  return {
    interrupt(error) {
      if (outcome || ended) return false;
      outcome = error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
      outcome.catch(() => {});
      wake(outcome);
      return true;
    },
    [Symbol.asyncIterator]: items,
  };
}

function waitFor<T>(
  iterator: AsyncIterator<T>,
  onWait: (wake: (outcome: Promise<IteratorResult<T>>) => void) => void,
): Promise<IteratorResult<T>> {
  return new Promise((resolve, reject) => {
    onWait(resolve);
    iterator.next().then(resolve, reject);
  });
}
