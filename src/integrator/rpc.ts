import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type IntegratorSchema,
  IntegratorService,
  type Integrator as ProtoIntegrator,
} from "@tenantplane/sdk/gen/tenantplane/v1/integrator_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkText, etagOf, parseId, RESOURCE_ID } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import { toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { parseLimits, toLimit } from "../server/limit.ts";
import type { Integrator } from "./integrator.ts";
import {
  createIntegrator,
  deleteIntegrator,
  getIntegrator,
  type IntegratorDeps,
  type IntegratorInput,
  listIntegrators,
  updateIntegrator,
} from "./service.ts";

/** The handlers of IntegratorService. */
export function integratorRpc(deps: IntegratorDeps): Mount {
  const id = (name: string, field = "name") => parseId(name, "integrators", field);
  return mount(IntegratorService, {
    createIntegrator: async ({ integratorId, integrator }, ctx) => {
      if (!integrator) throw invalidField("integrator", "must be set");
      const problems = new Problems();
      if (!RESOURCE_ID.test(integratorId))
        problems.add("integrator_id", "must be 2 to 63 of [a-z0-9-], first a letter");
      const input = parseIntegrator(problems, integrator);
      problems.throwIfAny();
      return { integrator: toIntegrator(await createIntegrator(deps, ctx, integratorId, input)) };
    },
    getIntegrator: async ({ name }, ctx) => ({ integrator: toIntegrator(await getIntegrator(deps, ctx, id(name))) }),
    listIntegrators: async (request, ctx) => {
      const { items, token } = await listIntegrators(deps, ctx, request);
      return { integrators: items.map(toIntegrator), nextPageToken: token };
    },
    updateIntegrator: async ({ integrator, updateMask }, ctx) => {
      if (!integrator) throw invalidField("integrator", "must be set");
      const patch = patchOf(integrator, updateMask?.paths);
      const input = { integratorId: id(integrator.name, "integrator.name"), etag: integrator.etag, patch };
      return { integrator: toIntegrator(await updateIntegrator(deps, ctx, input)) };
    },
    deleteIntegrator: async ({ name, etag, allowMissing }, ctx) => {
      await deleteIntegrator(deps, ctx, { integratorId: id(name), etag, allowMissing });
      return {};
    },
  });
}

function parseIntegrator(problems: Problems, { displayName, limits }: ProtoIntegrator): IntegratorInput {
  checkText(problems, "integrator.display_name", displayName, 1, 63);
  const parsed = parseLimits(problems, "integrator.limits", limits);
  for (const [index, { rule }] of parsed.entries()) {
    if (rule.kind !== "PERIOD" || rule.rolloverMax === "0") continue;
    problems.add(`integrator.limits[${index}].period.rollover_max`, "is for limits of plans and overrides");
  }
  return { displayName, limits: parsed };
}

const FIELDS = {
  display_name: "writable",
  limits: "writable",
  name: "output",
  uid: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;

function patchOf(integrator: ProtoIntegrator, mask: readonly string[] | undefined): Partial<IntegratorInput> {
  const populated = [
    ...(integrator.displayName ? ["display_name"] : []),
    ...(integrator.limits.length > 0 ? ["limits"] : []),
  ];
  const problems = new Problems();
  const { displayName, limits } = parseIntegrator(problems, integrator);
  const fields = checkedFields(maskedFields(mask, populated, FIELDS), problems);
  return { ...(fields.has("display_name") ? { displayName } : {}), ...(fields.has("limits") ? { limits } : {}) };
}

function toIntegrator(integrator: Integrator): MessageInitShape<typeof IntegratorSchema> {
  return {
    name: `integrators/${integrator.integratorId}`,
    uid: integrator.uid,
    displayName: integrator.displayName,
    limits: integrator.limits.map(toLimit),
    etag: etagOf(integrator.uid, integrator.revision),
    createTime: toTimestamp(integrator.createdAt),
    updateTime: toTimestamp(integrator.updatedAt),
  };
}
