/** The grains in which usage is rolled up, in UTC. */
export type Grain = "minute" | "hour" | "day";

/** The windows that can be asked for. */
export type Window = "minute" | "hour" | "day" | "month" | undefined;

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** The start of an instant's minute, hour and day. */
export const minuteOf = (at: number): number => Math.floor(at / MINUTE_MS) * MINUTE_MS;
export const hourOf = (at: number): number => Math.floor(at / HOUR_MS) * HOUR_MS;
export const dayOf = (at: number): number => Math.floor(at / DAY_MS) * DAY_MS;

/**
 * The coarsest grain that answers a query exactly: the range and the windows begin where the grain does. `offsetsMs` are the
 * zone's offsets from UTC that apply within the range.
 */
export function grainFor(
  window: Window,
  range: { startAt: number; endAt: number },
  offsetsMs: readonly number[],
): Grain {
  const fits = (ms: number) => range.startAt % ms === 0 && range.endAt % ms === 0;
  const calendar = window === "day" || window === "month";
  if (window === "minute" || !fits(HOUR_MS)) return "minute";
  if (calendar && offsetsMs.some((offset) => offset % HOUR_MS !== 0)) return "minute";
  if (window === "hour" || !fits(DAY_MS) || (calendar && offsetsMs.some((offset) => offset !== 0))) return "hour";
  return "day";
}
