import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { GetTenantRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import type { Benchmark } from "./support/bench.ts";
import { measureCalls } from "./support/h2load.ts";
import { EMPTY_PATH } from "./support/paths.ts";
import { grpcLoad, startNode, TENANT, tenantId } from "./support/tenants.ts";

const PATH = "/tenantplane.v1.TenantService/GetTenant";

/** Reads of one tenant over gRPC, by how fresh they must be. */
export const getTenant: Benchmark = {
  name: "get-tenant",
  about: "GetTenant with a key over gRPC, beside an empty handler on grpc-js and on bare node:http2",
  async run(bench) {
    const { server, clients } = await startNode(bench.place);
    const { revision } = await clients.tenants.createTenant({ tenantId: tenantId(1), tenant: TENANT, activate: true });
    clients.close();
    const empty = await bench.place.serve({ do: "serve", what: "empty grpc-js" });
    const bare = await bench.place.serve({ do: "serve", what: "empty node:http2" });
    const seconds = bench.size(2, 0.2);
    const name = `tenants/${tenantId(1)}`;
    const read = (requirement?: { case: "cached"; value: true } | { case: "minRevision"; value: string }) => {
      const values = [{ name, ...(requirement ? { consistency: { requirement } } : {}) }];
      const load = grpcLoad(server, PATH, { desc: GetTenantRequestSchema, values }, { seconds });
      return () => measureCalls(bench.place, server, load);
    };
    const nothing = (of: typeof empty) => {
      const load = grpcLoad(of, EMPTY_PATH, { desc: EmptySchema, values: [{}] }, { seconds });
      return () => measureCalls(bench.place, of, load);
    };
    await bench.compare(
      {
        "empty handler on grpc-js": nothing(empty),
        "empty handler on node:http2": nothing(bare),
        cached: read({ case: "cached", value: true }),
        min_revision: read({ case: "minRevision", value: revision }),
        strong: read(),
      },
      { ratioTo: "empty handler on grpc-js" },
    );
  },
};
