import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { AccessService } from "./gen/tenantplane/v1/access_pb.ts";
import { AuditService } from "./gen/tenantplane/v1/audit_pb.ts";
import { FlagService } from "./gen/tenantplane/v1/flag_pb.ts";
import { IntegratorService } from "./gen/tenantplane/v1/integrator_pb.ts";
import { PlanService } from "./gen/tenantplane/v1/plan_pb.ts";
import { QuotaService } from "./gen/tenantplane/v1/quota_pb.ts";
import { TenantService } from "./gen/tenantplane/v1/tenant_pb.ts";
import { UserService } from "./gen/tenantplane/v1/user_pb.ts";
import { WebhookService } from "./gen/tenantplane/v1/webhook_pb.ts";

/** A typed client for each service of Tenantplane. */
export interface Clients {
  readonly tenants: Client<typeof TenantService>;
  readonly plans: Client<typeof PlanService>;
  readonly integrators: Client<typeof IntegratorService>;
  readonly flags: Client<typeof FlagService>;
  readonly users: Client<typeof UserService>;
  readonly access: Client<typeof AccessService>;
  readonly audit: Client<typeof AuditService>;
  readonly quotas: Client<typeof QuotaService>;
  readonly webhooks: Client<typeof WebhookService>;
}

/** Makes the clients over any transport of Connect. */
export function createClientsOver(transport: Transport): Clients {
  return {
    tenants: createClient(TenantService, transport),
    plans: createClient(PlanService, transport),
    integrators: createClient(IntegratorService, transport),
    flags: createClient(FlagService, transport),
    users: createClient(UserService, transport),
    access: createClient(AccessService, transport),
    audit: createClient(AuditService, transport),
    quotas: createClient(QuotaService, transport),
    webhooks: createClient(WebhookService, transport),
  };
}
