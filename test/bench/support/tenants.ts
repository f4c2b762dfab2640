import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { createClients } from "@tenantplane/sdk";
import postgres from "postgres";
import type { Load } from "./load.ts";
import type { Place, Server } from "./place.ts";

/** A node on a new database with the plan "basic", and clients of its first key. */
export async function startNode(place: Place, more: Readonly<Record<string, string>> = {}) {
  const url = await place.database();
  const server = await place.serve({ do: "serve", what: "node", settings: { ...more, DATABASE_URL: url } });
  const clients = createClients({ address: `http://127.0.0.1:${server.grpcPort}`, apiKey: server.key });
  await clients.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
  return { url, server, clients };
}

/** A tenant as most are; its id is "bench-" and six digits. */
export const TENANT = { displayName: "Bench", plan: "plans/basic", labels: { team: "red" } };

/** The id of the n-th tenant. */
export function tenantId(n: number): string {
  return `bench-${String(n).padStart(6, "0")}`;
}

/** Puts tenants straight into the tables, as fast as Postgres takes them: each with its history of one step. */
export async function fillTenants(url: string, count: number): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.begin(async (tx) => {
      await tx`select set_config('app.platform', 'on', true)`;
      await tx`
        insert into tenant (uid, tenant_id, display_name, state, suspensions, legal_holds, plan_uid, plan_id, plan_version,
          labels, region, settings, time_zone, epoch, revision, created_at, updated_at)
        select gen_random_uuid(), 'bench-' || lpad(n::text, 6, '0'), 'Tenant number ' || n, 'ACTIVE', '[]', '[]', plan.uid,
          plan_id, version, jsonb_build_object('team', (array['red', 'green', 'blue'])[n % 3 + 1], 'shard', (n % 50)::text),
          'eu-west-1', '{"theme": "dark", "seats": 25}', 'Europe/Berlin', 2, 1, at, at
        from generate_series(1, ${count}::int) n, plan,
          lateral (select now() - (${count}::int - n) * interval '1 second' as at) t
        where plan_id = 'basic'`;
      await tx`
        insert into transition (tenant_uid, epoch, uid, verb, to_state, reason, actor, at)
        select uid, 1, gen_random_uuid(), 'create', 'CREATED', '', 'bench', created_at from tenant`;
    });
    await sql`analyze tenant`;
  } finally {
    await sql.end();
  }
}

/** A load of gRPC calls; each request is one message. */
export function grpcLoad<D extends DescMessage>(
  server: Pick<Server, "grpcPort" | "key">,
  path: string,
  requests: { readonly desc: D; readonly values: readonly MessageInitShape<D>[] },
  shape: Pick<Load, "seconds">,
): Load {
  const headers = { "content-type": "application/grpc", authorization: `Bearer ${server.key}` };
  const bodies = requests.values.map((value) => grpcBody(requests.desc, value));
  return { port: server.grpcPort, path, headers, bodies, connections: 4, streams: 16, ...shape };
}

/** A message as gRPC sends it, in base64. */
export function grpcBody<D extends DescMessage>(desc: D, value: MessageInitShape<D>): string {
  const message = toBinary(desc, create(desc, value));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]).toString("base64");
}
