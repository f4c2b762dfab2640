/** How long to wait between attempts, in milliseconds. */
export interface Backoff {
  /** The most before the second attempt; doubles with every attempt. */
  readonly initialMs: number;
  /** The most before any attempt. */
  readonly maxMs: number;
}

/**
 * The pause after the given attempt (the first is 1): anything from 0 up to the doubling bound, so that clients that
 * failed together don't come back together. `random` gives numbers from 0 up to 1.
 */
export function pauseAfter(attempt: number, { initialMs, maxMs }: Backoff, random: () => number): number {
  // 2 ** 1024 is Infinity, and 0 * Infinity is not a pause.
  const bound = Math.min(maxMs, initialMs * 2 ** Math.min(attempt - 1, 52));
  return random() * bound;
}
