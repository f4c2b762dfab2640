import { randomBytes } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AccessService } from "@tenantplane/sdk/gen/tenantplane/v1/access_pb";
import { AuditService } from "@tenantplane/sdk/gen/tenantplane/v1/audit_pb";
import { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { IntegratorService } from "@tenantplane/sdk/gen/tenantplane/v1/integrator_pb";
import { PlanService } from "@tenantplane/sdk/gen/tenantplane/v1/plan_pb";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { TenantService } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { UserService } from "@tenantplane/sdk/gen/tenantplane/v1/user_pb";
import { WebhookService } from "@tenantplane/sdk/gen/tenantplane/v1/webhook_pb";
import postgres from "postgres";
import { inject } from "vitest";
import { type App, startApp } from "../../src/app.ts";
import { parseConfig } from "../../src/config.ts";
import { type Clock, systemClock } from "../../src/platform/clock.ts";
import { silentLog } from "../../src/platform/log.ts";

/** A wall clock that stands where the test puts it, and a real monotonic one. */
export interface FakeClock extends Clock {
  advance(ms: number): void;
}

export function createFakeClock(start: number): FakeClock {
  let now = start;
  return {
    now: () => now,
    monotonic: systemClock.monotonic,
    advance(ms) {
      now += ms;
    },
  };
}

/** A database of its own on the run's Postgres. */
export async function createDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const admin = postgres(inject("databaseUrl"), { max: 1, onnotice: () => {} });
  await admin.unsafe(`create database ${name}`);
  const url = new URL(inject("databaseUrl"));
  url.pathname = `/${name}`;
  return {
    url: url.href,
    async drop() {
      await admin.unsafe(`drop database ${name} with (force)`);
      await admin.end();
    },
  };
}

/** A node on a database, with clients. */
export interface TestApp extends App {
  readonly databaseUrl: string;
  readonly adminKey: string;
  clients(key: string): Clients;
  readonly admin: Clients;
}

export interface Clients {
  readonly tenants: Client<typeof TenantService>;
  readonly plans: Client<typeof PlanService>;
  readonly integrators: Client<typeof IntegratorService>;
  readonly flags: Client<typeof FlagService>;
  readonly users: Client<typeof UserService>;
  readonly access: Client<typeof AccessService>;
  readonly audit: Client<typeof AuditService>;
  readonly webhooks: Client<typeof WebhookService>;
  readonly quotas: Client<typeof QuotaService>;
  of<S extends DescService>(service: S): Client<S>;
}

/** Starts a node on a database; `adminKey` is needed when another node has created the first one. */
export async function startTestApp(
  database: { url: string },
  options: { clock?: Clock; watchQueueMax?: number; adminKey?: string; settings?: Record<string, string> } = {},
): Promise<TestApp> {
  const settings = {
    DATABASE_URL: database.url,
    GRPC_PORT: "0",
    HTTP_PORT: "0",
    DRAIN_TIMEOUT_MS: "2000",
    // Tests share the machine: what is slow is not away.
    QUOTA_BUDGET_MS: "5000",
    QUOTA_GRANT_BUDGET_MS: "5000",
    ...options.settings,
  };
  const app = await startApp(parseConfig(settings), {
    log: silentLog,
    ...(options.clock ? { clock: options.clock } : {}),
    ...(options.watchQueueMax ? { watchQueueMax: options.watchQueueMax } : {}),
  });
  const adminKey = app.firstKey ?? options.adminKey ?? "";
  const clients = (key: string) => createClients(`http://127.0.0.1:${app.grpcPort}`, key);
  return { ...app, databaseUrl: database.url, adminKey, clients, admin: clients(adminKey) };
}

function createClients(baseUrl: string, key: string): Clients {
  const authorise: Interceptor = (next) => (request) => {
    if (key !== "") request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl, interceptors: [authorise] });
  return {
    tenants: createClient(TenantService, transport),
    plans: createClient(PlanService, transport),
    integrators: createClient(IntegratorService, transport),
    flags: createClient(FlagService, transport),
    users: createClient(UserService, transport),
    access: createClient(AccessService, transport),
    audit: createClient(AuditService, transport),
    webhooks: createClient(WebhookService, transport),
    quotas: createClient(QuotaService, transport),
    of: (service) => createClient(service, transport),
  };
}
