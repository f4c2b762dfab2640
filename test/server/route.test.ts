import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { AccessRule_Target } from "@tenantplane/sdk/gen/tenantplane/v1/options_pb";
import { afterEach, describe, expect, it } from "vitest";
import { DomainError } from "../../src/errors.ts";
import { sleep, systemClock, systemIds } from "../../src/platform/clock.ts";
import { sha256 } from "../../src/platform/crypto.ts";
import { silentLog } from "../../src/platform/log.ts";
import { startHttpListener } from "../../src/server/http-listener.ts";
import { guardRoutes, type Route } from "../../src/server/route.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const CALLER = { permission: "flags.evaluate", target: AccessRule_Target.CALLER };
const say = (text: unknown) => ({ answer: async () => ({ status: 200, json: text }) });

/** Routes behind the chain, called by a client of tenants/acme unless it is refused. */
async function start(routes: (Pick<Route, "handle"> & Partial<Route>)[]) {
  const state = { refuse: undefined as DomainError | undefined, counted: [] as string[], aborted: 0 };
  const draining = new AbortController();
  const scope = { kind: "tenant" as const, tenantId: "acme", tenantUid: "1" };
  const guarded = guardRoutes(
    {
      clock: systemClock,
      ids: systemIds,
      log: silentLog,
      authenticator: {
        identify(header) {
          if (state.refuse) throw state.refuse;
          if (header("x-api-key") === undefined) throw new DomainError("CREDENTIALS_MISSING", "who are you?");
          return { actor: "somebody", bindings: [{ role: "client", scope }] };
        },
        identifyKey: () => expect.unreachable(),
        requireActive: (caller) => caller,
        forgetKey: () => {},
        forgetKeysOf: () => {},
        takeUsedKeys: () => [],
      },
      findTenant: () => undefined,
      sha256,
      observe: (name, code) => state.counted.push(`${name} ${code}`),
      onDenied: () => {},
      deadlineDefaultMs: 300,
      deadlineMaxMs: 300,
      draining: draining.signal,
    },
    routes.map((route, index) => ({
      name: `test/${index}`,
      method: "POST",
      path: "/things/{id}",
      rule: CALLER,
      ...route,
    })),
  );
  const { port, stop } = await startHttpListener([], {
    ...{ host: "127.0.0.1", port: 0, tls: undefined, messageMaxBytes: 1_000, corsOrigins: ["https://app.test"] },
    routes: guarded,
    pages: async () => undefined,
  });
  ends.push(() => stop(100));
  const url = `http://127.0.0.1:${port}`;
  const call = (path: string, init: RequestInit = {}) =>
    fetch(url + path, { method: "POST", ...init, headers: { "x-api-key": "k", ...init.headers } });
  return { state, port, url, call, draining };
}

describe("a route", () => {
  it("is told what its path, its query and its body say, with or without a slash at the end", async () => {
    const { call, state } = await start([
      {
        handle: {
          answer: async ({ parameters, query, body }, ctx) => ({
            status: 200,
            json: [parameters, query.get("q"), String(await body()), ctx.header("x-more"), ctx.header(":authority")],
          }),
        },
      },
    ]);
    const answer = await call("/things/a%2Fb/?q=1", { body: "text", headers: { "x-more": "yes" } });
    expect(await answer.json()).toEqual([
      { id: "a/b" },
      "1",
      "text",
      "yes",
      expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    ]);
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(state.counted).toEqual(["test/0 ok"]);
  });

  it.each([
    ["/things", 404],
    ["/things/", 404],
    ["/things/%zz", 404],
    ["/things/a/b", 404],
    ["/Things/a", 404],
  ])("is not at %s", async (path, status) => {
    const { call } = await start([{ handle: say(1) }]);
    expect((await call(path)).status).toBe(status);
  });

  it("tells which methods a path has", async () => {
    const { call } = await start([{ handle: say(1) }, { method: "GET", path: "/things/{id}", handle: say(2) }]);
    expect(await (await call("/things/a", { method: "GET" })).json()).toBe(2);
    const answer = await call("/things/a", { method: "DELETE" });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST, GET"]);
  });

  it("is refused to those without credentials and without the permission, and never reads their bodies", async () => {
    let reads = 0;
    const read: Route["handle"] = {
      answer: async () => {
        reads += 1;
        return { status: 200 };
      },
    };
    const rule = { permission: "flags.watch", target: AccessRule_Target.CALLER };
    const { url, call, state } = await start([{ handle: read }, { path: "/other", handle: read, rule }]);
    const nobody = await fetch(`${url}/things/a`, { method: "POST" });
    expect([nobody.status, await nobody.json()]).toMatchObject([401, { reason: "CREDENTIALS_MISSING" }]);
    const other = await call("/other");
    expect([other.status, await other.json()]).toMatchObject([403, { reason: "PERMISSION_DENIED" }]);
    expect([reads, state.counted]).toEqual([0, ["test/0 unauthenticated", "test/1 permission_denied"]]);
  });

  it("refuses a body that is too large, on either version of HTTP, and goes on", async () => {
    const { call, url } = await start([
      { handle: { answer: async ({ body }) => ({ status: 200, json: (await body()).length }) } },
    ]);
    expect(await (await call("/things/a", { body: "x".repeat(1_000) })).json()).toBe(1_000);
    const large = await call("/things/a", { body: "x".repeat(10_000_000) });
    expect([large.status, await large.json()]).toMatchObject([413, { reason: "MESSAGE_TOO_LARGE" }]);
    const session = connectHttp2(url);
    ends.push(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": "/things/a", "x-api-key": "k" });
    stream.on("error", () => {});
    const status = new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
    stream.end("x".repeat(2_000));
    expect(await status).toBe(413);
  });

  it("refuses what takes too long, and tells nothing of its own faults", async () => {
    const { call } = await start([
      { path: "/slow", handle: { answer: (_, ctx) => sleep(60_000, ctx.signal).then(() => ({ status: 200 })) } },
      { path: "/broken", handle: { answer: () => Promise.reject(new Error("secret")) } },
    ]);
    expect((await call("/slow")).status).toBe(504);
    const broken = await call("/broken");
    expect([broken.status, await broken.text()]).toEqual([500, expect.not.stringContaining("secret")]);
  });

  it("says its own form of an error, and when to come again", async () => {
    const busy = new DomainError("RATE_LIMITED", "slowly", {}, { retryAfterMs: 1_500 });
    const { call } = await start([
      { path: "/busy", handle: { answer: () => Promise.reject(busy) } },
      {
        path: "/own/{id}",
        handle: { answer: () => Promise.reject(busy) },
        refuse: ({ error }, { parameters }) => ({ status: 418, json: { why: error.reason, ...parameters } }),
      },
    ]);
    const usual = await call("/busy");
    expect([usual.status, usual.headers.get("retry-after")]).toEqual([429, "2"]);
    const own = await call("/own/a");
    expect([own.status, await own.json()]).toEqual([418, { why: "RATE_LIMITED", id: "a" }]);
  });

  it("outlives a caller who leaves in the middle of a body", async () => {
    const { port, call, state } = await start([
      { handle: { answer: async ({ body }) => ({ status: 200, json: (await body()).length }) } },
    ]);
    const socket = connect({ port, host: "127.0.0.1" });
    socket.write("POST /things/a HTTP/1.1\r\nhost: a\r\nx-api-key: k\r\ncontent-length: 100\r\n\r\nhalf");
    await sleep(30);
    socket.destroy();
    await expect.poll(() => state.counted).toEqual(["test/0 cancelled"]);
    expect((await call("/things/a", { body: "x" })).status).toBe(200);
  });

  it("may be called by pages of allowed origins, with the headers that it needs", async () => {
    const { url } = await start([{ handle: say(1) }]);
    const ask = (origin: string) =>
      fetch(`${url}/things/a`, { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
    const allowed = await ask("https://app.test");
    expect([allowed.status, allowed.headers.get("access-control-allow-headers")?.toLowerCase().split(", ")]).toEqual([
      204,
      expect.arrayContaining(["content-type", "if-none-match", "authorization", "x-api-key", "flagd-selector"]),
    ]);
    expect(allowed.headers.get("access-control-expose-headers")).toMatch(/etag/);
    expect((await ask("https://evil.test")).headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("a route that streams", () => {
  const ticking: Route["handle"] = {
    type: "text/event-stream",
    async *stream(_, ctx) {
      yield ": hello\n\n";
      await sleep(60_000, ctx.signal);
    },
  };

  it("is refused with a status, or sends its pieces until its caller is refused", async () => {
    const { call, state } = await start([{ handle: ticking }]);
    state.refuse = new DomainError("TENANT_NOT_ACTIVE", "suspended");
    expect((await call("/things/a")).status).toBe(403);
    state.refuse = undefined;
    const answer = await call("/things/a");
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    const reader = answer.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(": hello\n\n");
    state.refuse = new DomainError("TENANT_NOT_ACTIVE", "suspended");
    await expect(reader?.read()).rejects.toThrow();
    expect(state.counted).toEqual(["test/0 permission_denied", "test/0 permission_denied"]);
  });

  it("ends with its caller", async () => {
    const { call, state } = await start([{ handle: ticking }]);
    const leaving = new AbortController();
    await call("/things/a", { signal: leaving.signal });
    leaving.abort();
    await expect.poll(() => state.counted).toEqual(["test/0 cancelled"]);
  });
});
