import { GetTenantRequestSchema } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { EchoRequestSchema } from "../support/echo/gen/echo_pb.ts";
import type { Benchmark } from "./support/bench.ts";
import { measureCalls } from "./support/h2load.ts";
import type { Load } from "./support/load.ts";
import { EMPTY_PATH } from "./support/paths.ts";
import type { Server } from "./support/place.ts";
import { grpcLoad, startNode, TENANT, tenantId } from "./support/tenants.ts";

const PATH = "/tenantplane.v1.TenantService/GetTenant";

/** Cached reads through the listener for browsers, in each of its protocols over HTTP/2. */
export const getTenantOverHttp: Benchmark = {
  name: "get-tenant-over-http",
  about: "cached GetTenant with a key over connect-node in three protocols, beside an empty handler on connect-node",
  async run(bench) {
    const { server, clients } = await startNode(bench.place);
    await clients.tenants.createTenant({ tenantId: tenantId(1), tenant: TENANT, activate: true });
    clients.close();
    const empty = await bench.place.serve({ do: "serve", what: "empty connect-node" });
    const consistency = { requirement: { case: "cached" as const, value: true } };
    const request = { name: `tenants/${tenantId(1)}`, consistency };
    const seconds = bench.size(2, 0.2);
    const real = grpcLoad(server, PATH, { desc: GetTenantRequestSchema, values: [request] }, { seconds });
    const nothing = grpcLoad(
      empty,
      EMPTY_PATH,
      { desc: EchoRequestSchema, values: [{ text: request.name }] },
      { seconds },
    );
    const pair = async (protocol: string, change: (load: Load, json: object) => Load) => {
      const candidate = (of: Server, load: Load, json: object) => {
        const changed = change({ ...load, port: of.httpPort }, json);
        return () => measureCalls(bench.place, of, changed);
      };
      const json = { name: request.name, consistency: { cached: true } };
      await bench.compare(
        {
          [`empty handler, ${protocol}`]: candidate(empty, nothing, { text: request.name }),
          [`cached, ${protocol}`]: candidate(server, real, json),
        },
        { ratioTo: `empty handler, ${protocol}`, rounds: 3 },
      );
    };
    await pair("gRPC", (load) => load);
    await pair("Connect", (load) => ({
      ...withType(load, "application/proto"),
      bodies: load.bodies.map((body) => Buffer.from(body, "base64").subarray(5).toString("base64")),
    }));
    await pair("Connect JSON", (load, json) => ({
      ...withType(load, "application/json"),
      bodies: [Buffer.from(JSON.stringify(json)).toString("base64")],
    }));
  },
};

function withType(load: Load, type: string): Load {
  return { ...load, headers: { ...load.headers, "content-type": type } };
}
