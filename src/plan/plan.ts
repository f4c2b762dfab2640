import type { SettingValue } from "../setting-value.ts";

/** A plan in one of its versions, as plain data. Settings are typed values as tenants have them. */
export interface Plan {
  readonly uid: string;
  readonly planId: string;
  readonly displayName: string;
  readonly version: number;
  /** Amounts as text, so that all 64 bits of them survive JSON. */
  readonly limits: readonly { readonly meter: string; readonly amount: string }[];
  readonly entitlements: Readonly<Record<string, SettingValue>>;
  readonly settings: Readonly<Record<string, SettingValue>>;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}
