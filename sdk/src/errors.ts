import { ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.ts";

/** The machine-readable reason of a refused call, such as "ETAG_MISMATCH"; undefined for errors that are not Tenantplane's. */
export function reasonOf(error: unknown): string | undefined {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason;
}

/** The bad fields of a refused request, each with what is wrong; empty when the request was refused for something else. */
export function fieldViolations(error: unknown): { field: string; description: string }[] {
  const [bad] = ConnectError.from(error).findDetails(BadRequestSchema);
  return (bad?.fieldViolations ?? []).map(({ field, description }) => ({ field, description }));
}

/** How long the server asks to wait before the call is tried again, in milliseconds; undefined when it doesn't say. */
export function retryAfterMs(error: unknown): number | undefined {
  const delay = ConnectError.from(error).findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000;
}
