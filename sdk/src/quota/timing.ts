/** Time and chance as the quota client has them; tests put their own in their place. */
export interface Timing {
  /** A monotonic clock, in milliseconds. */
  now(): number;
  /** Numbers from 0 up to 1. */
  random(): number;
  /** Calls back when all that the current turn of the event loop does is done. */
  defer(callback: () => void): void;
  /** Calls back after `ms` unless the returned function is called before. */
  after(ms: number, callback: () => void): () => void;
}

/** The machine's own. */
export const systemTiming: Timing = {
  now: () => performance.now(),
  random: Math.random,
  // Browsers have no setImmediate; their shortest timer is the nearest thing.
  defer:
    typeof setImmediate === "function"
      ? (callback) => void setImmediate(callback)
      : (callback) => void setTimeout(callback, 0),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
