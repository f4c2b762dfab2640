import { type Clients, createClientsOver } from "./clients.ts";
import { createGrpcTransport, type GrpcTransportOptions } from "./grpc-transport.ts";
import { createRetry, type RetryOptions } from "./retry.ts";

export type { Clients } from "./clients.ts";
export { fieldViolations, reasonOf, retryAfterMs } from "./errors.ts";
export * from "./gen/tenantplane/v1/access_pb.ts";
export * from "./gen/tenantplane/v1/audit_pb.ts";
export * from "./gen/tenantplane/v1/consistency_pb.ts";
export * from "./gen/tenantplane/v1/integrator_pb.ts";
export * from "./gen/tenantplane/v1/limit_pb.ts";
export * from "./gen/tenantplane/v1/plan_pb.ts";
export * from "./gen/tenantplane/v1/quota_admin_pb.ts";
export * from "./gen/tenantplane/v1/quota_check_pb.ts";
export * from "./gen/tenantplane/v1/tenant_pb.ts";
export * from "./gen/tenantplane/v1/user_pb.ts";
export * from "./gen/tenantplane/v1/webhook_pb.ts";
export { createGrpcTransport, type GrpcTransport, type GrpcTransportOptions } from "./grpc-transport.ts";
export type { LeaseOptions } from "./quota/lease.ts";
export {
  type CheckOptions,
  type ConsumeOptions,
  createQuotaClient,
  type HeldLease,
  type QuotaClient,
  type QuotaClientOptions,
} from "./quota/quota-client.ts";
export type { Reservation, Reserved, ReserveOptions } from "./quota/reservation.ts";
export type { QuotaAllowed, QuotaDenied, QuotaFacts, QuotaResult, QuotaUndecided } from "./quota/result.ts";
export type { Timing } from "./quota/timing.ts";
export { followUsage, type UsageOptions } from "./quota/usage.ts";
export type { QuotaAmount, QuotaUse } from "./quota/use.ts";
export { createRetry, type RetryOptions } from "./retry.ts";
export { watchTenants } from "./watch.ts";

/** How to reach a server over gRPC, and how calls are tried again when it is away. */
export interface ClientOptions extends GrpcTransportOptions {
  readonly retry?: RetryOptions;
}

/** Makes typed clients over gRPC. Refused calls throw ConnectError; `reasonOf` tells its machine-readable reason. */
export function createClients(options: ClientOptions): Clients & { close(): void } {
  // The last interceptor is the outermost: the caller's own see one call, not each attempt.
  const interceptors = [createRetry(options.retry), ...(options.interceptors ?? [])];
  const transport = createGrpcTransport({ ...options, interceptors });
  return { ...createClientsOver(transport), close: () => transport.close() };
}
