import { equals } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { pauseAfter } from "../backoff.ts";
import { type GetTenantQuotasResponse, GetTenantQuotasResponseSchema } from "../gen/tenantplane/v1/quota_admin_pb.ts";
import type { LimitState } from "../gen/tenantplane/v1/quota_check_pb.ts";
import type { QuotaService } from "../gen/tenantplane/v1/quota_pb.ts";
import { BACKOFF } from "../retry.ts";
import { type Sleep, sleep } from "../sleep.ts";

/** Whose usage is followed, and how closely. */
export interface UsageOptions {
  /** "tenants/{tenant}". */
  readonly name: string;
  /** Only these meters; all by default. */
  readonly meters?: readonly string[];
  /** How often it is asked for; every 5,000 ms by default. */
  readonly everyMs?: number;
  readonly sleep?: Sleep;
}

/** A page that shows usage needs no more; the server answers from memory and one read of its state. */
const EVERY_MS = 5_000;

/**
 * Follows what a tenant uses: yields its limits at once, and again whenever something of them has changed, until `signal`
 * aborts or the loop is left. A server that is away is asked again later; a refusal is thrown.
 */
export async function* followUsage(
  clients: { readonly quotas: Pick<Client<typeof QuotaService>, "getTenantQuotas"> },
  options: UsageOptions,
  signal: AbortSignal = new AbortController().signal,
): AsyncGenerator<readonly LimitState[], void, undefined> {
  const { name, meters = [], everyMs = EVERY_MS, sleep: pause = sleep } = options;
  let known: GetTenantQuotasResponse | undefined;
  for (let failures = 0; !signal.aborted; ) {
    try {
      const found = await clients.quotas.getTenantQuotas({ name, meters: [...meters] }, { signal });
      failures = 0;
      if (!known || !equals(GetTenantQuotasResponseSchema, known, found)) yield found.limits;
      known = found;
    } catch (error) {
      if (signal.aborted) return;
      if (ConnectError.from(error).code !== Code.Unavailable) throw error;
      failures += 1;
    }
    const ms = failures > 0 ? Math.max(everyMs, pauseAfter(failures, BACKOFF, Math.random)) : everyMs;
    await pause(ms, signal).catch(() => {});
  }
}
