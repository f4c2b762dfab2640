import type {
  CheckQuotaRequest,
  StreamedQuotaCheck,
  StreamQuotaChecksRequest,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { type DomainError, invalidField } from "../errors.ts";
import type { StreamedAnswer } from "./check-write-rpc.ts";
import type { Decision } from "./decision.ts";

/** As many as in a batch. */
const MESSAGE_CHECKS_MAX = 1_000;
/**
 * Checks of one stream between their arrival and the writing of their answers. With so many, nothing further is read: a
 * client that does not read its answers, or asks faster than can be decided, holds itself back.
 */
const UNDER_WAY_MAX = 8_192;

/**
 * Answers a stream of checks. Those of later messages are begun while earlier ones are decided, and all that is decided
 * when the writer has room goes out in one message. A message without checks or with too many ends the stream with
 * INVALID_FIELDS, after the checks before it were answered.
 */
export async function* answerStream(
  messages: AsyncIterable<StreamQuotaChecksRequest>,
  decide: (requests: readonly (CheckQuotaRequest | undefined)[]) => Promise<readonly (Decision | DomainError)[]>,
): AsyncGenerator<readonly StreamedAnswer[]> {
  const ready: StreamedAnswer[] = [];
  const change = createBell();
  let underWay = 0;
  let reading = true;
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    reading = false;
  };
  const begin = async (checks: readonly StreamedQuotaCheck[]) => {
    const results = await decide(checks.map(({ request }) => request));
    for (const [index, { id }] of checks.entries()) {
      const result = results[index];
      if (result) ready.push({ id, result });
    }
  };
  const read = async () => {
    for await (const { checks } of messages) {
      if (checks.length < 1 || checks.length > MESSAGE_CHECKS_MAX) {
        throw invalidField("checks", `must have 1 to ${MESSAGE_CHECKS_MAX} entries`);
      }
      underWay += checks.length;
      const undo = (error: unknown) => {
        underWay -= checks.length;
        fail(error);
      };
      begin(checks).catch(undo).finally(change.ring);
      while (reading && underWay >= UNDER_WAY_MAX) await change.heard();
      if (!reading) return;
    }
    reading = false;
  };
  read().catch(fail).finally(change.ring);
  try {
    while (reading || underWay > 0) {
      if (ready.length === 0) {
        await change.heard();
        continue;
      }
      const results = ready.splice(0, MESSAGE_CHECKS_MAX);
      underWay -= results.length;
      change.ring();
      yield results;
    }
    if (failure) throw failure.error;
  } finally {
    reading = false;
    change.ring();
  }
}

// Wakes all who listen at the moment.
function createBell() {
  let next = Promise.withResolvers<void>();
  return {
    ring() {
      next.resolve();
      next = Promise.withResolvers();
    },
    heard: () => next.promise,
  };
}
