import { EmptySchema } from "@bufbuild/protobuf/wkt";
import {
  BatchEvaluateFlagsRequestSchema,
  EvaluateFlagRequestSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_evaluation_pb";
import { BOOLEAN_FLAG, clause, serving, when } from "../support/flags.ts";
import type { Benchmark } from "./support/bench.ts";
import { measureCalls } from "./support/h2load.ts";
import { EMPTY_PATH } from "./support/paths.ts";
import { grpcLoad, startNode, TENANT, tenantId } from "./support/tenants.ts";

const SERVICE = "/tenantplane.v1.FlagService";
/** What a page of a web application asks for at once. */
const BATCH = 50;

/** Flags with a rule and a split, evaluated by the server. */
export const evaluateFlags: Benchmark = {
  name: "evaluate-flags",
  about: `EvaluateFlag over gRPC with a rule and a split, and ${BATCH} of them in a batch, beside an empty handler`,
  async run(bench) {
    const { server, clients } = await startNode(bench.place);
    await clients.tenants.createTenant({ tenantId: tenantId(1), tenant: TENANT, activate: true });
    const { revision } = await clients.flags.createFlag({ flagId: "asked", flag: FLAG });
    const asked = { tenant: `tenants/${tenantId(1)}`, flag: "flags/asked" };
    await clients.flags.evaluateFlag({ ...asked, minRevision: revision });
    clients.close();
    const empty = await bench.place.serve({ do: "serve", what: "empty grpc-js" });
    const seconds = bench.size(2, 0.2);
    const requests = Array.from({ length: BATCH }, (_, n) => ({
      ...asked,
      context: { targetingKey: `user-${n}`, email: `user-${n}@else.org`, country: "de" },
    }));
    const nothing = grpcLoad(empty, EMPTY_PATH, { desc: EmptySchema, values: [{}] }, { seconds });
    const single = { desc: EvaluateFlagRequestSchema, values: requests };
    const one = grpcLoad(server, `${SERVICE}/EvaluateFlag`, single, { seconds });
    const several = { desc: BatchEvaluateFlagsRequestSchema, values: [{ requests }] };
    const batch = grpcLoad(server, `${SERVICE}/BatchEvaluateFlags`, several, { seconds });
    await bench.compare(
      {
        "empty handler on grpc-js": () => measureCalls(bench.place, empty, nothing),
        EvaluateFlag: () => measureCalls(bench.place, server, one),
        [`BatchEvaluateFlags of ${BATCH}`]: () => measureCalls(bench.place, server, batch),
      },
      { ratioTo: "empty handler on grpc-js" },
    );
  },
};

const FLAG = {
  ...BOOLEAN_FLAG,
  rules: [
    { id: "staff", match: when(clause("email", "ENDS_WITH", "@acme.org")), serve: serving("on") },
    {
      id: "half",
      serve: {
        serve: {
          case: "split" as const,
          value: {
            parts: [
              { variant: "on", weight: 1 },
              { variant: "off", weight: 1 },
            ],
          },
        },
      },
    },
  ],
};
