/** Pauses before each attempt after the first one, as Standard Webhooks proposes: more than three days in all. */
const PAUSES_S = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/** Attempts in all. */
export const ATTEMPTS_MAX = PAUSES_S.length + 1;
/** An endpoint that has taken nothing for so long is disabled: all that waits for it has failed by then. */
export const FAILING_MAX_MS = 5 * 24 * 3_600_000;
/** Receivers that fail together shall not all be asked again together. */
const JITTER = 0.2;

/** What is to be done after an attempt. */
export type Verdict =
  | { readonly kind: "delivered" }
  | { readonly kind: "gone" }
  | { readonly kind: "retry"; readonly afterMs: number }
  | { readonly kind: "failed" };

/**
 * Judges the answer to attempt number `attempt`, from 1 on: 2xx is delivered, 410 disables, all else, redirects too, is
 * tried again, later if the receiver asks for it by Retry-After. `random` is from 0 up to 1.
 */
export function judge(
  answer: { readonly statusCode: number; readonly retryAfterMs: number | undefined },
  attempt: number,
  random: number,
): Verdict {
  if (answer.statusCode >= 200 && answer.statusCode < 300) return { kind: "delivered" };
  if (answer.statusCode === 410) return { kind: "gone" };
  const pauseS = PAUSES_S[attempt - 1];
  if (pauseS === undefined) return { kind: "failed" };
  const pauseMs = pauseS * 1_000 * (1 + JITTER * random);
  return { kind: "retry", afterMs: Math.max(pauseMs, Math.min(answer.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS)) };
}

/** A receiver may ask for a day of rest, not for one that never ends. */
const RETRY_AFTER_MAX_MS = 24 * 3_600_000;

/** Reads Retry-After: seconds, or a date; undefined for anything else. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1_000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
