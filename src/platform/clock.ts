import { randomBytes, randomUUID } from "node:crypto";

/** The time. `now` is wall time in epoch milliseconds, for records; `monotonic` is for durations. */
export interface Clock {
  now(): number;
  monotonic(): number;
}

/** Randomness that becomes ids and secrets. */
export interface Ids {
  uuid(): string;
  bytes(length: number): Uint8Array;
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The machine's randomness. */
export const systemIds: Ids = { uuid: randomUUID, bytes: (length) => new Uint8Array(randomBytes(length)) };

/** A number from 0 up to 1, for what need not be secret. */
export const systemRandom = (): number => Math.random();

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const done = () => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    };
    const timer = setTimeout(done, ms);
    const aborted = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

/** Calls `task` every `ms`, never twice at once, until the returned function is called. */
export function every(ms: number, task: () => Promise<void>, onError: (error: unknown) => void): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout;
  const run = async () => {
    // A run that the stop has overtaken fails because of it: nobody need hear of that.
    await task().catch((error: unknown) => {
      if (!stopped) onError(error);
    });
    if (!stopped) timer = setTimeout(run, ms);
  };
  timer = setTimeout(run, ms);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
