import type { Clock } from "../platform/clock.ts";
import type { Denied } from "./run.ts";

export interface DenialsDeps {
  readonly clock: Clock;
  /** Writes the entry. */
  readonly record: (denied: Denied) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** Refusals recorded at once; a flood of them is counted in the metrics and not written. */
const DENIALS_MAX = 20;
/** The same attempt again within it is one entry: a suspended tenant's services do not stop to call. */
const REPEAT_MS = 10_000;
/** Attempts remembered; beyond it they are forgotten, and recorded anew. */
const REMEMBERED_MAX = 10_000;

/** Makes what records refused attempts, without letting those who are refused fill the log. */
export function createDenials({ clock, record, onError }: DenialsDeps): (denied: Denied) => void {
  const recent = new Map<string, number>();
  let underWay = 0;
  return (denied) => {
    const attempt = [denied.principal.actor, denied.method, denied.resource].join("\n");
    const now = clock.monotonic();
    if (underWay >= DENIALS_MAX || now - (recent.get(attempt) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
    if (recent.size >= REMEMBERED_MAX) recent.clear();
    recent.set(attempt, now);
    underWay += 1;
    record(denied)
      .catch(onError)
      .finally(() => {
        underWay -= 1;
      });
  };
}
