import { EmptySchema } from "@bufbuild/protobuf/wkt";
import {
  BatchCheckQuotaRequestSchema,
  CheckQuotaRequestSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import type { Bench, Benchmark, Measures } from "./support/bench.ts";
import { measureCalls } from "./support/h2load.ts";
import { EMPTY_PATH } from "./support/paths.ts";
import { METERS, type QuotaNode, startQuotaNode } from "./support/quota-node.ts";
import { grpcLoad } from "./support/tenants.ts";

const SERVICE = "/tenantplane.v1.QuotaService";
/** Checks of one batch, each of another tenant. */
const BATCH = 100;

/** Checks in calls of their own, and a hundred in a call. */
export const checkQuota: Benchmark = {
  name: "check-quota",
  about: "exact checks with a key in unary calls, by number of limits, beside an empty handler on grpc-js",
  async run(bench) {
    const redisUrl = await bench.place.redis();
    const nodes = { memory: undefined, ...(redisUrl === undefined ? {} : { Redis: redisUrl }) };
    const empty = await bench.place.serve({ do: "serve", what: "empty grpc-js" });
    const load = grpcLoad(empty, EMPTY_PATH, { desc: EmptySchema, values: [{}] }, { seconds: bench.size(2, 0.2) });
    const candidates: Record<string, () => Promise<Measures>> = {
      "empty handler on grpc-js": () => measureCalls(bench.place, empty, load),
    };
    for (const [where, url] of Object.entries(nodes)) {
      const node = await startQuotaNode(bench.place, bench.size(BATCH, 2), url);
      for (const [meter, limits] of Object.entries(METERS).slice(0, bench.size(3, 1))) {
        candidates[`${limits} limits, ${where}`] = () => callAlone(bench, node, meter);
      }
      candidates[`batch of ${BATCH}, ${where}`] = () => callInBatches(bench, node);
      node.clients.close();
    }
    await bench.compare(candidates, { ratioTo: "empty handler on grpc-js" });
  },
};

function callAlone(bench: Bench, { server, tenants }: QuotaNode, meter: string): Promise<Measures> {
  const values = [{ tenant: tenants[0] ?? "", entries: [{ meter }] }];
  const seconds = bench.size(2, 0.2);
  const load = grpcLoad(server, `${SERVICE}/CheckQuota`, { desc: CheckQuotaRequestSchema, values }, { seconds });
  return measureCalls(bench.place, server, load);
}

async function callInBatches(bench: Bench, { server, tenants }: QuotaNode): Promise<Measures> {
  const each = Array.from({ length: BATCH }, (_, n) => ({
    tenant: tenants[n % tenants.length] ?? "",
    entries: [{ meter: "one" }],
  }));
  const values = [{ requests: each }];
  const requests = { desc: BatchCheckQuotaRequestSchema, values };
  const load = grpcLoad(server, `${SERVICE}/BatchCheckQuota`, requests, { seconds: bench.size(2, 0.2) });
  const measured = await measureCalls(bench.place, server, load);
  return {
    ...measured,
    "checks/s": (measured["calls/s"] ?? 0) * BATCH,
    "CPU µs/check": (measured["CPU µs/call"] ?? 0) / BATCH,
  };
}
