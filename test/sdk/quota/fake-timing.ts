import { setImmediate as turn } from "node:timers/promises";
import type { Timing } from "../../../sdk/src/quota/timing.ts";

/** Time that stands until a test moves it; turns of the event loop are real. */
export interface FakeTiming extends Timing {
  /** Moves time on, and lets everything happen that is due by then, timer by timer. */
  advance(ms: number): Promise<void>;
}

export function createFakeTiming(): FakeTiming {
  let now = 0;
  const timers = new Set<{ at: number; callback: () => void }>();
  const settle = async () => {
    for (let turns = 0; turns < SETTLING_TURNS; turns += 1) await turn();
  };
  return {
    now: () => now,
    random: () => 1,
    defer: (callback) => void setImmediate(callback),
    after(ms, callback) {
      const timer = { at: now + ms, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const [next] = [...timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (!next) break;
        timers.delete(next);
        now = Math.max(now, next.at);
        next.callback();
        await settle();
      }
      now = end;
    },
  };
}

/** A call over the transport in memory takes some dozen. */
const SETTLING_TURNS = 60;
