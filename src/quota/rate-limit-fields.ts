import type { Decision, LimitState } from "./decision.ts";

/** What HTTP answers say of limits: the fields of draft-ietf-httpapi-ratelimit-headers, and Retry-After of RFC 9110. */
export interface RateLimitFields {
  /** RateLimit-Policy: what each limit allows. */
  readonly policy: string;
  /** RateLimit: what is left of each. */
  readonly limit: string;
  /** Retry-After: seconds after which the refused request can succeed; undefined when waiting does not help. */
  readonly retryAfter: string | undefined;
}

/** Proxies take some KiB of headers for everything; the refusing limits come first. */
const LIMITS_MAX = 16;
/** The largest Integer of structured fields (RFC 9651): fifteen digits. */
const INTEGER_MAX = 999_999_999_999_999n;

/** The fields for a decision; undefined when no limit took part whose state is known. */
export function rateLimitFields(decision: Decision, now: number): RateLimitFields | undefined {
  const states = decision.limits.filter((state) => state.failPolicy === undefined).slice(0, LIMITS_MAX);
  const retryAfter = decision.retryAfterMs === undefined ? undefined : inSeconds(decision.retryAfterMs);
  if (states.length === 0 && retryAfter === undefined) return undefined;
  return {
    policy: states.map(policyItem).join(", "),
    limit: states.map((state) => limitItem(state, now, retryAfter)).join(", "),
    retryAfter: retryAfter === undefined ? undefined : String(retryAfter),
  };
}

function policyItem({ effective }: LimitState): string {
  const { rule } = effective.limit;
  const item = `${policyName(effective)};q=${integer(effective.amount)}`;
  if (rule.kind === "CONCURRENCY") return `${item};qu="concurrent-requests"`;
  const { window } = effective;
  const windowMs = rule.kind === "RATE" ? rule.windowMs : window && window.endAt - window.startAt;
  return windowMs === undefined ? item : `${item};w=${inSeconds(windowMs)}`;
}

// Where Retry-After is sent nothing may point beyond it.
function limitItem(state: LimitState, now: number, retryAfter: number | undefined): string {
  const item = `${policyName(state.effective)};r=${integer(state.remaining)}`;
  const waitMs = state.retryAfterMs ?? (state.resetAt === undefined ? undefined : state.resetAt - now);
  if (waitMs === undefined) return item;
  const wait = Math.max(0, Math.ceil(waitMs / 1_000));
  return retryAfter !== undefined && wait > retryAfter ? item : `${item};t=${wait}`;
}

// A String of RFC 9651; ids have no character that it would have to escape.
function policyName({ holder, limit }: LimitState["effective"]): string {
  return holder.kind === "integrator" ? `"integrator/${limit.limitId}"` : `"${limit.limitId}"`;
}

function integer(amount: bigint): string {
  return String(amount < INTEGER_MAX ? amount : INTEGER_MAX);
}

// Whole seconds, and never none: a window has to be positive, and whoever waits must not come too early.
function inSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000));
}
