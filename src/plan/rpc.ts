import type { MessageInitShape } from "@bufbuild/protobuf";
import { type PlanSchema, PlanService, type Plan as ProtoPlan } from "@tenantplane/sdk/gen/tenantplane/v1/plan_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkText, etagOf, parseId, RESOURCE_ID } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import { fromSettings, toSettings, toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { parseLimits, toLimit } from "../server/limit.ts";
import type { Plan } from "./plan.ts";
import { createPlan, deletePlan, getPlan, listPlans, type PlanDeps, type PlanInput, updatePlan } from "./service.ts";

/** The handlers of PlanService. */
export function planRpc(deps: PlanDeps): Mount {
  const id = (name: string, field = "name") => parseId(name, "plans", field);
  return mount(PlanService, {
    createPlan: async (request, ctx) => {
      const problems = new Problems();
      if (!RESOURCE_ID.test(request.planId)) problems.add("plan_id", "must be 2 to 63 of [a-z0-9-], first a letter");
      const input = parsePlan(problems, request.plan);
      problems.throwIfAny();
      return { plan: toPlan(await createPlan(deps, ctx, request.planId, input)) };
    },
    getPlan: async ({ name, version }, ctx) => {
      if (version < 0) throw invalidField("version", "must not be negative");
      return { plan: toPlan(await getPlan(deps, ctx, id(name), version)) };
    },
    listPlans: async (request, ctx) => {
      const { items, token } = await listPlans(deps, ctx, request);
      return { plans: items.map(toPlan), nextPageToken: token };
    },
    updatePlan: async ({ plan, updateMask }, ctx) => {
      if (!plan) throw invalidField("plan", "must be set");
      const patch = patchOf(plan, updateMask?.paths);
      return { plan: toPlan(await updatePlan(deps, ctx, id(plan.name, "plan.name"), plan.etag, patch)) };
    },
    deletePlan: async ({ name, etag, allowMissing }, ctx) => {
      await deletePlan(deps, ctx, { planId: id(name), etag, allowMissing });
      return {};
    },
  });
}

const FIELDS = {
  display_name: "writable",
  limits: "writable",
  entitlements: "writable",
  settings: "writable",
  name: "output",
  uid: "output",
  version: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;

function patchOf(plan: ProtoPlan, mask: readonly string[] | undefined): Partial<PlanInput> {
  const populated = [
    ...(plan.displayName ? ["display_name"] : []),
    ...(plan.limits.length > 0 ? ["limits"] : []),
    ...(Object.keys(plan.entitlements).length > 0 ? ["entitlements"] : []),
    ...(Object.keys(plan.settings).length > 0 ? ["settings"] : []),
  ];
  const problems = new Problems();
  const { displayName, limits, entitlements, settings } = parsePlan(problems, plan);
  const fields = checkedFields(maskedFields(mask, populated, FIELDS), problems);
  return {
    ...(fields.has("display_name") ? { displayName } : {}),
    ...(fields.has("limits") ? { limits } : {}),
    ...(fields.has("entitlements") ? { entitlements } : {}),
    ...(fields.has("settings") ? { settings } : {}),
  };
}

function parsePlan(problems: Problems, plan: ProtoPlan | undefined): PlanInput {
  if (!plan) throw invalidField("plan", "must be set");
  checkText(problems, "plan.display_name", plan.displayName, 1, 63);
  const limits = parseLimits(problems, "plan.limits", plan.limits);
  const entitlements = fromSettings(problems, "plan.entitlements", plan.entitlements);
  const settings = fromSettings(problems, "plan.settings", plan.settings);
  return { displayName: plan.displayName, limits, entitlements, settings };
}

function toPlan(plan: Plan): MessageInitShape<typeof PlanSchema> {
  return {
    name: `plans/${plan.planId}`,
    uid: plan.uid,
    displayName: plan.displayName,
    version: plan.version,
    limits: plan.limits.map(toLimit),
    entitlements: toSettings(plan.entitlements),
    settings: toSettings(plan.settings),
    etag: etagOf(plan.uid, plan.revision),
    createTime: toTimestamp(plan.createdAt),
    updateTime: toTimestamp(plan.updatedAt),
  };
}
