/** How deliveries are signed: a shared secret, or a key pair of which the receiver knows the public half. */
export type Signing = "HMAC_SHA256" | "ED25519";

/** Why an endpoint gets nothing. */
export type DisableReason = "REQUESTED" | "GONE" | "FAILING";

/** Where events are sent to, as plain data without its secrets. */
export interface WebhookEndpoint {
  readonly uid: string;
  readonly endpointId: string;
  readonly url: string;
  /** "platform", "integrators/{integrator}" or "tenants/{tenant}". */
  readonly scope: string;
  readonly tenantUid: string | null;
  readonly integratorUid: string | null;
  readonly eventTypes: readonly string[];
  readonly description: string;
  readonly disableReason: DisableReason | null;
  readonly signing: Signing;
  readonly publicKey: string;
  readonly previousExpiresAt: number | null;
  readonly lastSuccessAt: number | null;
  readonly failingSinceAt: number | null;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What signs the deliveries of an endpoint, sealed: nobody but the server can open it. */
export interface SealedSecrets {
  readonly secret: string;
  readonly previousSecret: string | null;
}

/** An event on its way to an endpoint. */
export interface WebhookDelivery {
  readonly endpointId: string;
  /** The event's id: the same for every endpoint and every attempt. */
  readonly eventId: string;
  readonly eventType: string;
  readonly resource: string;
  readonly payload: string;
  readonly state: "PENDING" | "DELIVERED" | "FAILED";
  readonly attemptCount: number;
  readonly attempts: readonly Attempt[];
  readonly nextAttemptAt: number | null;
  readonly eventAt: number;
  readonly deliveredAt: number | null;
}

/** One try. */
export interface Attempt {
  readonly startedAt: number;
  readonly durationMs: number;
  /** 0 when there was no answer. */
  readonly statusCode: number;
  readonly error: string;
}

/** The name of an endpoint. */
export function endpointName(endpointId: string): string {
  return `webhookEndpoints/${endpointId}`;
}

/** An endpoint as the audit log tells of it. */
export function auditView(endpoint: WebhookEndpoint): Record<string, unknown> {
  return {
    name: endpointName(endpoint.endpointId),
    url: withoutCredentials(endpoint.url),
    scope: endpoint.scope,
    event_types: endpoint.eventTypes,
    description: endpoint.description,
    disabled: endpoint.disableReason !== null,
    disable_reason: endpoint.disableReason,
    previous_expire_time:
      endpoint.previousExpiresAt === null ? null : new Date(endpoint.previousExpiresAt).toISOString(),
  };
}

// What follows the path may be a token.
function withoutCredentials(url: string): string {
  return url.split("?")[0] ?? "";
}

/** True when an endpoint asks for events of this type: "tenant.*" takes in all that begin with "tenant.". */
export function wants(eventTypes: readonly string[], type: string): boolean {
  if (eventTypes.length === 0) return true;
  return eventTypes.some((wanted) => (wanted.endsWith(".*") ? type.startsWith(wanted.slice(0, -1)) : wanted === type));
}
