import type { Message } from "@bufbuild/protobuf";
import { DomainError } from "../errors.ts";
import { every } from "../platform/clock.ts";
import { interruptible } from "../platform/interruptible.ts";
import { toDomainError } from "./errors.ts";

/** How a stream is watched over while it lasts. */
export interface Supervision {
  /** What the client streams; a server stream has none. */
  readonly requests: AsyncIterable<Message> | undefined;
  /** Aborts when the caller goes away. */
  readonly caller: AbortSignal;
  /** Throws when the caller may not go on. */
  readonly recheck: () => Promise<void>;
  /** Aborts when the node stops. */
  readonly draining: AbortSignal;
  /** What a draining node does with a client's stream: end its requests and answer those under way, or break off. */
  readonly onDrain: "finish" | "break off";
}

/** How often a stream's caller is checked anew: a revoked key and a suspended tenant end their streams within a second. */
const RECHECK_MS = 500;

/** A stream under way. */
export interface Supervised<T> {
  readonly answers: AsyncIterable<T>;
  /** Throws SHUTTING_DOWN when the last answer is only the last because the node stops. */
  requireWhole(): void;
  /** Ends the handler, and all that watches over it. */
  end(): void;
}

/**
 * Passes on what a handler yields until it has no more, its caller goes away or is refused, or the node stops. `open`
 * starts the handler; the signal that it is given aborts in all of these cases.
 */
export function supervise<T>(
  supervision: Supervision,
  open: (requests: AsyncIterable<Message>, signal: AbortSignal) => AsyncIterable<T>,
): Supervised<T> {
  const { caller, recheck, draining } = supervision;
  const over = new AbortController();
  const breakOff = (error: unknown) => {
    over.abort(error);
    requests.interrupt(error);
    answers.interrupt(error);
  };
  // A refused or unreadable request ends the stream, whatever the handler makes of it.
  const requests = interruptible(supervision.requests ?? nothing(), breakOff);
  const answers = interruptible(open(requests, over.signal));
  let cutShort = false;
  const leave = () => breakOff(goneError(caller));
  const drain = () => {
    if (supervision.onDrain === "finish") cutShort = requests.interrupt();
    else breakOff(drainError());
  };
  const stopRechecking = every(RECHECK_MS, recheck, (error) => {
    // A database that is away for a moment refuses nobody.
    if (toDomainError(error).code !== "unavailable") breakOff(error);
  });
  const stopListening = [onAbort(caller, leave), supervision.requests ? onAbort(draining, drain) : () => {}];
  return {
    answers,
    requireWhole() {
      if (cutShort) throw drainError();
    },
    end() {
      stopRechecking();
      for (const stop of stopListening) stop();
      over.abort();
    },
  };
}

function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) listener();
  else signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

// Its deadline, or else its leave: a transport may abort without a reason.
function goneError(caller: AbortSignal): DomainError {
  const known = toDomainError(caller.reason);
  return known.code === "deadline_exceeded" ? known : new DomainError("CANCELLED", "the caller went away");
}

function drainError(): DomainError {
  return new DomainError("SHUTTING_DOWN", "the server is shutting down; open the stream anew");
}

async function* nothing(): AsyncGenerator<never> {}
