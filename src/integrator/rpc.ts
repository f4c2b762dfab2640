import type { MessageInitShape } from "@bufbuild/protobuf";
import { type IntegratorSchema, IntegratorService } from "@tenantplane/sdk/gen/tenantplane/v1/integrator_pb";
import { checkText, etagOf, parseId, RESOURCE_ID } from "../aip/name.ts";
import { Problems } from "../errors.ts";
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
      const displayName = parseDisplayName(problems, integrator?.displayName);
      return { integrator: toIntegrator(await createIntegrator(deps, ctx, integratorId, displayName)) };
    },
    getIntegrator: async ({ name }, ctx) => ({ integrator: toIntegrator(await getIntegrator(deps, ctx, id(name))) }),
    listIntegrators: async (request, ctx) => {
      const { items, token } = await listIntegrators(deps, ctx, request);
      return { integrators: items.map(toIntegrator), nextPageToken: token };
    },
    updateIntegrator: async ({ integrator }, ctx) => {
      const displayName = parseDisplayName(new Problems(), integrator?.displayName);
      const integratorId = id(integrator?.name ?? "", "integrator.name");
      const input = { integratorId, displayName, etag: integrator?.etag ?? "" };
      return { integrator: toIntegrator(await updateIntegrator(deps, ctx, input)) };
    },
    deleteIntegrator: async ({ name, etag }, ctx) => {
      await deleteIntegrator(deps, ctx, id(name), etag);
      return {};
    },
  });
}

function parseDisplayName(problems: Problems, displayName = ""): string {
  checkText(problems, "integrator.display_name", displayName, 1, 63);
  problems.throwIfAny();
  return displayName;
}

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
