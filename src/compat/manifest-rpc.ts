import { AccessRule_Target } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import type { FlagDeps } from "../flag/base-service.ts";
import { manifestOf } from "../flag/manifest.ts";
import { readAllFlags } from "../flag/service.ts";
import type { Route } from "../server/route.ts";

/** The flags as the OpenFeature CLI pulls them to make typed accessors. They are written through our own API alone. */
export function manifestRoute(deps: FlagDeps): Route {
  return {
    name: "openfeature.v0/GetManifest",
    method: "GET",
    path: "/openfeature/v0/manifest",
    rule: { permission: "flags.get", target: AccessRule_Target.PLATFORM },
    handle: {
      answer: async (_, ctx) => {
        const { flags = {} } = manifestOf(await readAllFlags(deps, ctx, ""));
        const entries = Object.entries(flags as Record<string, { flagType: string }>);
        const list = entries.map(([key, { flagType: type, ...rest }]) => ({ key, type, ...rest }));
        return { status: 200, headers: { "x-manifest-capabilities": "read" }, json: { flags: list } };
      },
    },
    refuse: ({ status, message }) => ({ status, json: { error: { status, message } } }),
  };
}
