import * as grpc from "@grpc/grpc-js";
import { service as health } from "grpc-health-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { startRedisProcess } from "../support/redis-process.ts";
import { until } from "../support/until.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

interface HealthClient extends grpc.Client {
  check(
    request: { service: string },
    done: (error: grpc.ServiceError | null, answer?: { status: string }) => void,
  ): void;
  watch(request: { service: string }): grpc.ClientReadableStream<{ status: string }>;
}

/** A client of grpc.health.v1, as a balancer has it. */
function healthClient(app: TestApp): HealthClient {
  const Client = grpc.makeGenericClientConstructor(health, "Health");
  const target = `127.0.0.1:${app.grpcPort}`;
  return new Client(target, grpc.credentials.createInsecure()) as unknown as HealthClient;
}

function watch(client: HealthClient, service: string): { seen: string[]; stream: grpc.ClientReadableStream<unknown> } {
  const seen: string[] = [];
  const stream = client.watch({ service });
  stream.on("data", ({ status }) => seen.push(status));
  stream.on("error", () => {});
  return { seen, stream };
}

async function readyz(app: TestApp): Promise<[number, string]> {
  const answer = await fetch(`http://127.0.0.1:${app.httpPort}/readyz?verbose`);
  return [answer.status, await answer.text()];
}

describe("the health of a node", () => {
  it("is told of it and of each service, watched, and NOT_SERVING as soon as it leaves while it still serves", async () => {
    const app = await startTestApp(database, { settings: { DRAIN_DELAY_MS: "1500" } });
    const client = healthClient(app);
    const check = (service: string) =>
      new Promise((done) => client.check({ service }, (error, answer) => done(error?.code ?? answer?.status)));
    expect([await check(""), await check("tenantplane.v1.TenantService"), await check("nothing")]).toEqual([
      "SERVING",
      "SERVING",
      grpc.status.NOT_FOUND,
    ]);
    const [whole, unknown] = [watch(client, ""), watch(client, "nothing")];
    await until(() => whole.seen.length > 0 && unknown.seen.length > 0);
    expect(await readyz(app)).toEqual([
      200,
      expect.stringMatching(/^\[\+\] postgres\n\[\+\] changes\n(\[i\] .*\n)+ready\n$/),
    ]);
    const stopping = app.stop();
    await until(() => whole.seen.length > 1);
    const leaving = await readyz(app);
    const served = await app.admin.plans.listPlans({});
    await stopping;
    client.close();
    expect([whole.seen, unknown.seen]).toEqual([["SERVING", "NOT_SERVING"], ["SERVICE_UNKNOWN"]]);
    expect(leaving).toEqual([503, expect.stringContaining("[-] draining\n")]);
    expect(served.plans).toEqual([]);
  });

  it("does not depend on Redis, whose loss is only told", async () => {
    const redis = await startRedisProcess();
    if (!redis) return console.warn("No Redis: its loss is not tried.");
    const own = await createDatabase();
    const app = await startTestApp(own, { settings: { REDIS_URL: redis.url } });
    const before = await readyz(app);
    redis.process.kill("SIGKILL");
    await new Promise((gone) => redis.process.once("exit", gone));
    await expect.poll(async () => (await readyz(app))[1]).toContain("[!] redis: can't be reached; the node works on");
    const after = await readyz(app);
    await app.admin.plans.createPlan({ planId: "without", plan: { displayName: "W" } });
    await app.stop();
    await own.drop();
    expect([before[0], before[1].includes("[i] redis: connected"), after[0]]).toEqual([200, true, 200]);
  });
});
