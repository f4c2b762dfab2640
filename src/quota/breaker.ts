/** Keeps callers from waiting for something that does not answer: after some failures in a row it is asked only now and then. */
export interface Breaker {
  /** Whether to ask now. Once it is open, only one asks at a time, and only after a pause. */
  allows(now: number): boolean;
  succeeded(): void;
  failed(now: number): void;
  isOpen(): boolean;
}

/** One slow answer is chance, five in a row are not. */
const FAILURES_MAX = 5;
/** Four questions a second find out soon enough that it answers again. */
const PAUSE_MS = 250;

/** Makes a breaker; everything is asked until something fails. */
export function createBreaker(): Breaker {
  let failures = 0;
  let askAt = 0;
  return {
    allows(now) {
      if (failures < FAILURES_MAX) return true;
      if (now < askAt) return false;
      askAt = now + PAUSE_MS;
      return true;
    },
    succeeded() {
      failures = 0;
    },
    failed(now) {
      failures += 1;
      askAt = now + PAUSE_MS;
    },
    isOpen: () => failures >= FAILURES_MAX,
  };
}
