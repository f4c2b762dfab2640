import type { MessageInitShape } from "@bufbuild/protobuf";
import { type IntegratorSchema, IntegratorService } from "@tenantplane/sdk/gen/tenantplane/v1/integrator_pb";
import { checkedFields, maskedFields } from "../aip/field-mask.ts";
import { checkText, etagOf, parseId, RESOURCE_ID } from "../aip/name.ts";
import { invalidField, Problems } from "../errors.ts";
import { toTimestamp } from "../server/convert.ts";
import { type Mount, mount } from "../server/handlers.ts";
import type { Integrator } from "./integrator.ts";
import {
  createIntegrator,
  deleteIntegrator,
  getIntegrator,
  type IntegratorDeps,
  listIntegrators,
  updateIntegrator,
} from "./service.ts";

/** The handlers of IntegratorService. */
export function integratorRpc(deps: IntegratorDeps): Mount {
  const id = (name: string, field = "name") => parseId(name, "integrators", field);
  return mount(IntegratorService, {
    createIntegrator: async ({ integratorId, integrator }, ctx) => {
      const problems = new Problems();
      if (!RESOURCE_ID.test(integratorId))
        problems.add("integrator_id", "must be 2 to 63 of [a-z0-9-], first a letter");
      checkText(problems, "integrator.display_name", integrator?.displayName ?? "", 1, 63);
      problems.throwIfAny();
      const displayName = integrator?.displayName ?? "";
      return { integrator: toIntegrator(await createIntegrator(deps, ctx, integratorId, displayName)) };
    },
    getIntegrator: async ({ name }, ctx) => ({ integrator: toIntegrator(await getIntegrator(deps, ctx, id(name))) }),
    listIntegrators: async (request, ctx) => {
      const { items, token } = await listIntegrators(deps, ctx, request);
      return { integrators: items.map(toIntegrator), nextPageToken: token };
    },
    updateIntegrator: async ({ integrator, updateMask }, ctx) => {
      if (!integrator) throw invalidField("integrator", "must be set");
      const { name, displayName, etag } = integrator;
      const populated = displayName === "" ? [] : ["display_name"];
      const problems = new Problems();
      checkText(problems, "integrator.display_name", displayName, 1, 63);
      checkedFields(maskedFields(updateMask?.paths, populated, FIELDS), problems);
      const input = { integratorId: id(name, "integrator.name"), displayName, etag };
      return { integrator: toIntegrator(await updateIntegrator(deps, ctx, input)) };
    },
    deleteIntegrator: async ({ name, etag, allowMissing }, ctx) => {
      await deleteIntegrator(deps, ctx, { integratorId: id(name), etag, allowMissing });
      return {};
    },
  });
}

const FIELDS = {
  display_name: "writable",
  name: "output",
  uid: "output",
  etag: "output",
  create_time: "output",
  update_time: "output",
} as const;

function toIntegrator(integrator: Integrator): MessageInitShape<typeof IntegratorSchema> {
  return {
    name: `integrators/${integrator.integratorId}`,
    uid: integrator.uid,
    displayName: integrator.displayName,
    etag: etagOf(integrator.uid, integrator.revision),
    createTime: toTimestamp(integrator.createdAt),
    updateTime: toTimestamp(integrator.updatedAt),
  };
}
