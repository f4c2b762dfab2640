import type { Limit } from "../limit.ts";
import { type SettingValue, settingValues } from "../setting-value.ts";

/** A plan in one of its versions, as plain data. Settings are typed values as tenants have them. */
export interface Plan {
  readonly uid: string;
  readonly planId: string;
  readonly displayName: string;
  readonly version: number;
  readonly limits: readonly Limit[];
  readonly entitlements: Readonly<Record<string, SettingValue>>;
  readonly settings: Readonly<Record<string, SettingValue>>;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A plan as the audit log tells of it. */
export function auditView(plan: Plan): Record<string, unknown> {
  return {
    name: `plans/${plan.planId}`,
    display_name: plan.displayName,
    version: plan.version,
    limits: plan.limits,
    entitlements: settingValues(plan.entitlements),
    settings: settingValues(plan.settings),
  };
}
