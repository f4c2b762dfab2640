import { Suspension_Reason, type Tenant, Tenant_State } from "@tenantplane/sdk";
import type { Column } from "./output.ts";

/** How tables show tenants. */
export const TENANT_COLUMNS: readonly Column<Tenant>[] = [
  "name",
  "display_name",
  { head: "state", of: stateText },
  "plan",
  "integrator",
  "region",
  "create_time",
];

/** A tenant's state, with the reasons of its suspensions. */
export function stateText({ state, suspensions }: Tenant): string {
  const reasons = suspensions.map(({ reason }) => keyOf(Suspension_Reason, reason)).join(", ");
  return `${keyOf(Tenant_State, state)}${reasons === "" ? "" : ` (${reasons})`}`;
}

/** The key of a value in an enum. */
export function keyOf(values: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(values).find(([, candidate]) => candidate === value)?.[0] ?? String(value);
}
