import type { DescService } from "@bufbuild/protobuf";
import { AccessService } from "@tenantplane/sdk/gen/tenantplane/v1/access_pb";
import { AuditService } from "@tenantplane/sdk/gen/tenantplane/v1/audit_pb";
import { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { IntegratorService } from "@tenantplane/sdk/gen/tenantplane/v1/integrator_pb";
import { PlanService } from "@tenantplane/sdk/gen/tenantplane/v1/plan_pb";
import { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { TenantService } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { UsageService } from "@tenantplane/sdk/gen/tenantplane/v1/usage_pb";
import { UserService } from "@tenantplane/sdk/gen/tenantplane/v1/user_pb";
import { WebhookService } from "@tenantplane/sdk/gen/tenantplane/v1/webhook_pb";
import { RateLimitService } from "../compat/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { Service as EvaluationV1 } from "../compat/gen/flagd/evaluation/v1/evaluation_pb.ts";
import { Service as EvaluationV2 } from "../compat/gen/flagd/evaluation/v2/evaluation_pb.ts";
import { FlagSyncService } from "../compat/gen/flagd/sync/v1/sync_pb.ts";

/** Every service of the public API. */
export const SERVICES = [
  TenantService,
  PlanService,
  IntegratorService,
  UserService,
  AccessService,
  AuditService,
  QuotaService,
  FlagService,
  WebhookService,
  UsageService,
] as const;

/** The services that others have specified. */
export const FOREIGN_SERVICES = [RateLimitService, EvaluationV1, EvaluationV2, FlagSyncService] as const;

/** What this server serves; `startApp` refuses to start when one of them is not mounted. */
export const ALL_SERVICES: readonly DescService[] = [...SERVICES, ...FOREIGN_SERVICES];
