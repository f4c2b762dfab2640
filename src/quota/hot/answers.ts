/**
 * Answers by request id, remembered for one to two generations: when the current generation is over, it becomes the former
 * one, and what the former one held is forgotten. So a check costs at most two look-ups, and nothing has to be swept.
 */
export interface Answers<T> {
  /** The answer that an id got before, or undefined. */
  find(id: string, now: number): T | undefined;
  /** Whether there is no place for more ids in this generation. */
  isFull(): boolean;
  keep(id: string, answer: T): void;
}

/** A retry comes within seconds; five minutes are promised. */
export const GENERATION_MS = 300_000;
/** Some 250 MB of Redis: 6,600 checks with a request id a second of one tenant. */
export const GENERATION_IDS = 2_000_000;

/** Remembers nothing yet. */
export function createAnswers<T>(startAt: number): Answers<T> {
  let current = new Map<string, T>();
  let former = new Map<string, T>();
  let currentAt = startAt;
  return {
    find(id, now) {
      if (currentAt + GENERATION_MS <= now) {
        former = currentAt + 2 * GENERATION_MS <= now ? new Map() : current;
        current = new Map();
        currentAt = now;
      }
      return current.get(id) ?? former.get(id);
    },
    isFull: () => current.size >= GENERATION_IDS,
    keep: (id, answer) => void current.set(id, answer),
  };
}
