import type { DescMethod, JsonObject } from "@bufbuild/protobuf";
import type { FlagKind } from "@tenantplane/sdk/evaluate";
import type { Ctx } from "../context.ts";
import { notFound } from "../errors.ts";
import { flagName } from "../flag/flag.ts";
import { type Mount, mount } from "../server/handlers.ts";
import type { Identify } from "../server/run.ts";
import { type FlagdDeps, identifyBySelector, identifyOrNobody } from "./flagd-caller-rpc.ts";
import { createFlagEvents } from "./flagd-events-rpc.ts";
import { type Ask, type Resolved, resolve, resolveAll, wholeNumber } from "./flagd-resolve-rpc.ts";
import { Service as ServiceV1 } from "./gen/flagd/evaluation/v1/evaluation_pb.ts";
import { Service as ServiceV2 } from "./gen/flagd/evaluation/v2/evaluation_pb.ts";

/** The handlers of flagd's evaluation protocol, version 1: a flag without a value for this context is not found. */
export function flagdEvaluationV1(deps: FlagdDeps): Mount {
  const events = createFlagEvents(deps);
  const one = async <T>(request: Ask, ctx: Ctx, kind: FlagKind) => {
    const resolved = await resolve<T>(deps, ctx, request, kind);
    const { value, variant = "" } = resolved;
    if (value === undefined) throw notFound("Flag", flagName(request.flagKey));
    return { ...resolved, value, variant };
  };
  const handlers = mount(ServiceV1, {
    resolveAll: async ({ context }, ctx) => {
      const { resolved, tenantId } = await resolveAll(deps, ctx, context);
      const flags = Object.fromEntries(resolved.map(([key, flag]) => [key, toAnyFlag(flag)]));
      return { flags, metadata: { scope: tenantId } };
    },
    resolveBoolean: (request, ctx) => one<boolean>(request, ctx, "boolean"),
    resolveString: (request, ctx) => one<string>(request, ctx, "string"),
    resolveFloat: (request, ctx) => one<number>(request, ctx, "number"),
    resolveInt: async (request, ctx) => {
      const found = await one<number>(request, ctx, "number");
      return { ...found, value: wholeNumber(request.flagKey, found.value) };
    },
    resolveObject: (request, ctx) => one<JsonObject>(request, ctx, "object"),
    eventStream: (_, ctx) => events(ctx),
  });
  return { ...handlers, identify };
}

/** The handlers of flagd's evaluation protocol, version 2: without a value, the caller's default is meant. */
export function flagdEvaluationV2(deps: FlagdDeps): Mount {
  const events = createFlagEvents(deps);
  const one = async <T>(request: Ask, ctx: Ctx, kind: FlagKind) => present(await resolve<T>(deps, ctx, request, kind));
  const handlers = mount(ServiceV2, {
    resolveBoolean: (request, ctx) => one<boolean>(request, ctx, "boolean"),
    resolveString: (request, ctx) => one<string>(request, ctx, "string"),
    resolveFloat: (request, ctx) => one<number>(request, ctx, "number"),
    resolveInt: async (request, ctx) => {
      const { value, ...found } = await resolve<number>(deps, ctx, request, "number");
      return present({ ...found, value: value === undefined ? undefined : wholeNumber(request.flagKey, value) });
    },
    resolveObject: (request, ctx) => one<JsonObject>(request, ctx, "object"),
    eventStream: (_, ctx) => events(ctx),
  });
  return { ...handlers, identify };
}

function identify({ localName }: DescMethod): Identify {
  return localName === "eventStream" ? identifyOrNobody : identifyBySelector;
}

// Fields that are undefined are not taken for absent.
function present<T>({ value, variant, reason, metadata }: Resolved<T>) {
  return { reason, metadata, ...(value === undefined ? {} : { value }), ...(variant === undefined ? {} : { variant }) };
}

function toAnyFlag({ value, variant = "", reason, metadata }: Resolved<unknown>) {
  const common = { variant, reason, metadata };
  switch (typeof value) {
    case "boolean":
      return { ...common, value: { case: "boolValue" as const, value } };
    case "string":
      return { ...common, value: { case: "stringValue" as const, value } };
    case "number":
      return { ...common, value: { case: "doubleValue" as const, value } };
    default:
      return { ...common, value: { case: "objectValue" as const, value: value as JsonObject } };
  }
}
