import { createConnectTransport } from "@connectrpc/connect-web";
import { type Clients, createClientsOver } from "./clients.ts";

export type { Clients } from "./clients.ts";
export { fieldViolations, reasonOf, retryAfterMs } from "./errors.ts";
export { followUsage, type UsageOptions } from "./quota/usage.ts";
export { watchTenants } from "./watch.ts";

/** How to reach a server from a browser, or from anything else that has `fetch`. */
export interface WebClientOptions {
  /** The HTTP listener, such as "https://tenantplane.example". */
  readonly baseUrl: string;
  /** An API key; in a browser, one of the role "client" and no other. */
  readonly apiKey: string;
  /** The deadline of a call without one, in milliseconds; 10,000 by default. Streams have none. */
  readonly defaultTimeoutMs?: number;
}

/** Makes typed clients over Connect-Web. Refused calls throw ConnectError; `reasonOf` tells its machine-readable reason. */
export function createClients(options: WebClientOptions): Clients {
  return createClientsOver(
    createConnectTransport({
      baseUrl: options.baseUrl,
      interceptors: [
        (next) => (request) => {
          request.header.set("authorization", `Bearer ${options.apiKey}`);
          return next(request);
        },
      ],
      defaultTimeoutMs: options.defaultTimeoutMs ?? DEFAULT_TIMEOUT_MS,
    }),
  );
}

/** A caller that waits longer has given up. */
const DEFAULT_TIMEOUT_MS = 10_000;
