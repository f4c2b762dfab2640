import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { RetryInfoSchema } from "@tenantplane/sdk/gen/google/rpc/error_details_pb";
import {
  CreateTenantRequestSchema,
  CreateTenantResponseSchema,
  GetTenantResponseSchema,
  TenantService,
} from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { describe, expect, it } from "vitest";
import { pauseAfter } from "../../sdk/src/backoff.ts";
import { fieldViolations, reasonOf, retryAfterMs } from "../../sdk/src/errors.ts";
import { createRetry, type RetryOptions } from "../../sdk/src/retry.ts";
import { sleep } from "../../sdk/src/sleep.ts";
import { EchoService } from "../support/echo/gen/echo_pb.ts";

/** A client whose server fails with the given errors in turn, then answers; what it saw and how long it paused. */
function failing(errors: ConnectError[], options: RetryOptions = {}) {
  const requestIds: string[] = [];
  const pauses: number[] = [];
  const answer = <T>(request: object, response: T): T => {
    requestIds.push("requestId" in request ? String(request.requestId) : "none");
    const error = errors.shift();
    if (error) throw error;
    return response;
  };
  const sleep = async (ms: number) => void pauses.push(ms);
  const transport = createRouterTransport(
    ({ service, rpc }) => {
      service(TenantService, {
        getTenant: (request) => answer(request, create(GetTenantResponseSchema)),
        createTenant: (request) => answer(request, create(CreateTenantResponseSchema)),
      });
      rpc(EchoService.method.post, (request) => answer(request, { text: "" }));
    },
    { transport: { interceptors: [createRetry({ random: () => 0.5, sleep, ...options })] } },
  );
  return {
    tenants: createClient(TenantService, transport),
    echo: createClient(EchoService, transport),
    requestIds,
    pauses,
  };
}

const away = () => new ConnectError("away", Code.Unavailable);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("a call that fails", () => {
  it("as Unavailable is tried again, with pauses that double", async () => {
    const { tenants, pauses } = failing([away(), away(), away()]);
    await tenants.getTenant({ name: "tenants/a" });
    expect(pauses).toEqual([50, 100, 200]);
  });

  it("as Unavailable for the last time throws that", async () => {
    const { tenants, requestIds } = failing([away(), away(), away(), away(), away()], { attempts: 3 });
    await expect(tenants.getTenant({})).rejects.toMatchObject({ code: Code.Unavailable });
    expect(requestIds).toHaveLength(3);
  });

  it.each([Code.Aborted, Code.DeadlineExceeded, Code.Internal, Code.ResourceExhausted])(
    "with the code %i is not tried again",
    async (code) => {
      const { tenants, requestIds } = failing([new ConnectError("no", code)]);
      await expect(tenants.getTenant({})).rejects.toMatchObject({ code });
      expect(requestIds).toHaveLength(1);
    },
  );

  it("waits at least as long as the server asks", async () => {
    const details = [{ desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } } }];
    const { tenants, pauses } = failing([new ConnectError("busy", Code.Unavailable, undefined, details)]);
    await tenants.getTenant({});
    expect(pauses).toEqual([1_500]);
  });

  it("is not tried beyond its deadline", async () => {
    const long = { initialMs: 100_000, maxMs: 100_000, sleep };
    const { tenants, requestIds } = failing([away(), away()], long);
    await expect(tenants.getTenant({}, { timeoutMs: 60 })).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    expect(requestIds).toHaveLength(1);
  });
});

describe("a write", () => {
  it("gets a request id, the same for every attempt, and the caller's message stays as it is", async () => {
    const { tenants, requestIds } = failing([away()]);
    const message = create(CreateTenantRequestSchema, { tenantId: "a" });
    await tenants.createTenant(message);
    await tenants.createTenant(message);
    const [first, again, second] = requestIds;
    expect(first).toMatch(UUID);
    expect(again).toBe(first);
    expect(second).toMatch(UUID);
    expect(second).not.toBe(first);
    expect(message.requestId).toBe("");
  });

  it("keeps the request id that it has", async () => {
    const { tenants, requestIds } = failing([away()]);
    await tenants.createTenant({ requestId: "mine" });
    expect(requestIds).toEqual(["mine", "mine"]);
  });

  it("that takes no request id is not tried again", async () => {
    const { echo, requestIds } = failing([away()]);
    await expect(echo.post({})).rejects.toMatchObject({ code: Code.Unavailable });
    expect(requestIds).toEqual(["none"]);
  });
});

it("pauses are anything up to a bound that doubles until the most", () => {
  const backoff = { initialMs: 100, maxMs: 1_000 };
  const bounds = [1, 2, 3, 4, 5, 2_000].map((attempt) => pauseAfter(attempt, backoff, () => 1));
  expect(bounds).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  expect(pauseAfter(3, backoff, () => 0)).toBe(0);
});

it.each([undefined, "text", new Error("other"), away()])("errors that say nothing are told nothing of: %s", (error) => {
  expect([reasonOf(error), fieldViolations(error), retryAfterMs(error)]).toEqual([undefined, [], undefined]);
});
