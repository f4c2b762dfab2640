/** Uses of the running window and of the one before it; windows are aligned to the epoch. */
export interface SlidingState {
  readonly startAt: number;
  readonly count: number;
  readonly before: number;
}

/** The state at a later time: windows that have ended move on. A clock that went back leaves it as it was. */
export function roll(state: SlidingState, windowMs: number, now: number): SlidingState {
  const startAt = now - (now % windowMs);
  if (state.startAt >= startAt) return state;
  if (state.startAt === startAt - windowMs) return { startAt, count: 0, before: state.count };
  return { startAt, count: 0, before: 0 };
}

/** What the window before still weighs: it fades as the running one passes. Rounded up, which is exact for whole costs. */
export function faded(state: SlidingState, windowMs: number, now: number): number {
  return fade(state.before, windowMs, windowMs - Math.max(0, now - state.startAt));
}

/** How long until a cost fits below a limit: 0 when it does, undefined when it never will. */
export function slidingRetryMs(
  state: SlidingState,
  windowMs: number,
  limit: number,
  cost: number,
  now: number,
): number | undefined {
  if (cost > limit) return undefined;
  const leftMs = windowMs - Math.max(0, now - state.startAt);
  const inWindow = fitsAtMs(state.before, limit - state.count - cost, windowMs);
  if (inWindow > 0) return Math.max(0, leftMs - inWindow);
  // In the next window the running one is the one before, and everything it counted fades.
  return leftMs + windowMs - fitsAtMs(state.count, limit - cost, windowMs);
}

/** How long until nothing is used any more. */
export function slidingEmptyMs(state: SlidingState, windowMs: number, now: number): number {
  const windows = state.count > 0 ? 2 : state.before > 0 ? 1 : 0;
  return Math.max(0, state.startAt + windows * windowMs - now);
}

// before * leftMs / windowMs, rounded up; no product exceeds 2^53.
function fade(before: number, windowMs: number, leftMs: number): number {
  return Math.floor(before / windowMs) * leftMs + Math.ceil(((before % windowMs) * leftMs) / windowMs);
}

// The most that may be left of a window for its predecessor to weigh no more than `room`; 0 when that is never.
function fitsAtMs(before: number, room: number, windowMs: number): number {
  if (room < 0) return 0;
  if (before === 0) return windowMs;
  const exact = (BigInt(room) * BigInt(windowMs)) / BigInt(before);
  return exact >= BigInt(windowMs) ? windowMs : Number(exact);
}
