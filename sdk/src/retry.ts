import { clone, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { MethodOptions_IdempotencyLevel as Level } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor, type UnaryRequest } from "@connectrpc/connect";
import { type Backoff, pauseAfter } from "./backoff.ts";
import { retryAfterMs } from "./errors.ts";
import { type Sleep, sleep } from "./sleep.ts";

/** How calls are tried again. */
export interface RetryOptions extends Partial<Backoff> {
  /** How often a call is tried in all; 4 by default. */
  readonly attempts?: number;
  /** Numbers from 0 up to 1; Math.random by default. */
  readonly random?: () => number;
  readonly sleep?: Sleep;
}

/** With the pauses of `BACKOFF` this outlives the restart of a node, and gives up within a caller's patience. */
const ATTEMPTS = 4;
/** The first pause is about the time a load balancer takes to choose another node. */
export const BACKOFF: Backoff = { initialMs: 100, maxMs: 2_000 };

/**
 * Tries unary calls again that fail with UNAVAILABLE, as long as their deadline lasts: reads, and writes with a
 * `request_id`, which the server does once. An empty `request_id` gets a UUID first; the caller's message stays as it is.
 */
export function createRetry(options: RetryOptions = {}): Interceptor {
  const { attempts = ATTEMPTS, random = Math.random, sleep: pause = sleep } = options;
  const backoff = { initialMs: options.initialMs ?? BACKOFF.initialMs, maxMs: options.maxMs ?? BACKOFF.maxMs };
  return (next) => async (request) => {
    if (request.stream) return next(request);
    const { filled, repeatable } = withRequestId(request);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await next(filled);
      } catch (error) {
        const last = !repeatable || attempt >= attempts || request.signal.aborted;
        if (last || ConnectError.from(error).code !== Code.Unavailable) throw error;
        await pause(Math.max(pauseAfter(attempt, backoff, random), retryAfterMs(error) ?? 0), request.signal);
      }
    }
  };
}

function withRequestId(request: UnaryRequest): { filled: UnaryRequest; repeatable: boolean } {
  const { method } = request;
  const field = method.input.fields.find(({ name, fieldKind }) => name === "request_id" && fieldKind === "scalar");
  if (!field) return { filled: request, repeatable: method.idempotency === Level.NO_SIDE_EFFECTS };
  if (reflect(method.input, request.message).get(field) !== "") return { filled: request, repeatable: true };
  // A copy: whoever sends the same message twice wants it done twice.
  const message: Message = clone(method.input, request.message);
  reflect(method.input, message).set(field, crypto.randomUUID());
  return { filled: { ...request, message }, repeatable: true };
}
