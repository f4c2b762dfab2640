import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { pauseAfter } from "./backoff.ts";
import type { Clients } from "./clients.ts";
import {
  type WatchTenantsRequestSchema,
  type WatchTenantsResponse,
  WatchTenantsResponseSchema,
} from "./gen/tenantplane/v1/tenant_pb.ts";
import { BACKOFF } from "./retry.ts";
import { sleep } from "./sleep.ts";

/**
 * Watches tenants until `signal` aborts or the loop is left. A server that goes away is asked again, from the last
 * resume token on; a message with `resync` says: forget what you have. Throws the ConnectError of a refused watch, and
 * the signal's reason.
 */
export async function* watchTenants(
  client: Pick<Clients["tenants"], "watchTenants">,
  options: MessageInitShape<typeof WatchTenantsRequestSchema>,
  signal?: AbortSignal,
): AsyncGenerator<WatchTenantsResponse, void, undefined> {
  // Connect ends a stream by its signal alone, not by leaving its loop.
  const over = new AbortController();
  const own = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  let resumeToken = options.resumeToken ?? "";
  let seen = false;
  let failures = 0;
  try {
    for (;;) {
      // Cut in the middle of the initial state there is no token yet: all of it comes again.
      let again = seen && resumeToken === "";
      try {
        for await (const message of client.watchTenants({ ...options, resumeToken }, { signal: own })) {
          failures = 0;
          seen = true;
          if (message.resumeToken !== "") resumeToken = message.resumeToken;
          yield again ? create(WatchTenantsResponseSchema, { ...message, resync: true }) : message;
          again = false;
        }
      } catch (error) {
        if (own.aborted) throw own.reason;
        if (ConnectError.from(error).code !== Code.Unavailable) throw error;
      }
      failures += 1;
      await sleep(pauseAfter(failures, BACKOFF, Math.random), own);
    }
  } finally {
    over.abort();
  }
}
