import type { Plan } from "../plan/plan.ts";
import type { Queryable } from "../platform/postgres.ts";
import { membershipPatches } from "./documents.ts";
import type { Flag, Override } from "./flag.ts";
import { scanOverrides } from "./override-store.ts";
import { type Member, scanMembers, selectAllGroups, selectAllSegments } from "./segment-store.ts";
import { scanFlags } from "./store.ts";
import type { TableContent } from "./table.ts";

/** All that the table of flags is made of but the tenants, which the node has in memory. */
export async function readTable(sql: Queryable, batch: number): Promise<Omit<TableContent, "tenants">> {
  const flags: Flag[] = [];
  for await (const rows of scanFlags(sql, batch)) flags.push(...rows);
  const overrides: Override[] = [];
  for await (const rows of scanOverrides(sql, batch)) overrides.push(...rows);
  const members: (Member & { readonly segment: string })[] = [];
  for await (const rows of scanMembers(sql, batch)) members.push(...rows);
  const segments = await selectAllSegments(sql);
  const groups = await selectAllGroups(sql);
  const plans = await sql<Pick<Plan, "planId" | "version" | "entitlements">[]>`
    select p.plan_id as "planId", v.version, v.entitlements from plan p join plan_version v on v.plan_uid = p.uid`;
  return { flags, segments, groups, overrides, plans, memberPatches: membershipPatches(members) };
}
