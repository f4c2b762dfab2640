import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { TenantService, type WatchTenantsResponse } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { describe, expect, it } from "vitest";
import { watchTenants } from "../../sdk/src/watch.ts";

type Part = { resumeToken: string; initialStateComplete?: boolean } | ConnectError | "wait";

/** A client of a server that answers the n-th watch with the n-th list; the tokens it was asked with. */
function serving(watches: Part[][]) {
  const tokens: string[] = [];
  const filters: string[] = [];
  const ended: AbortSignal[] = [];
  const transport = createRouterTransport(({ service }) => {
    service(TenantService, {
      async *watchTenants(request, context) {
        tokens.push(request.resumeToken);
        filters.push(request.filter);
        ended.push(context.signal);
        for (const part of watches.shift() ?? [new ConnectError("no more", Code.NotFound)]) {
          if (part instanceof ConnectError) throw part;
          if (part !== "wait") yield part;
          else await new Promise((_, reject) => context.signal.addEventListener("abort", reject));
        }
      },
    });
  });
  return { client: createClient(TenantService, transport), tokens, filters, ended };
}

const away = () => new ConnectError("away", Code.Unavailable);

async function read(watch: AsyncGenerator<WatchTenantsResponse>, seen: WatchTenantsResponse[]): Promise<string> {
  try {
    for await (const message of watch) seen.push(message);
    return "ended";
  } catch (error) {
    return Code[ConnectError.from(error).code];
  }
}

describe("watchTenants", () => {
  it("resumes with the last token when the server goes away or ends the stream, with the same options", async () => {
    const { client, tokens, filters } = serving([
      [{ resumeToken: "1" }, { resumeToken: "2" }, away()],
      [away()],
      [{ resumeToken: "3" }],
    ]);
    const seen: WatchTenantsResponse[] = [];
    expect(await read(watchTenants(client, { filter: "f", resumeToken: "0" }), seen)).toBe("NotFound");
    expect(seen.map(({ resumeToken, resync }) => [resumeToken, resync])).toEqual([
      ["1", false],
      ["2", false],
      ["3", false],
    ]);
    expect(tokens).toEqual(["0", "2", "2", "3"]);
    expect(filters).toEqual(["f", "f", "f", "f"]);
  });

  it("says resync when the initial state was cut and comes again", async () => {
    const { client, tokens } = serving([
      [{ resumeToken: "" }, away()],
      [{ resumeToken: "" }, { resumeToken: "1", initialStateComplete: true }],
    ]);
    const seen: WatchTenantsResponse[] = [];
    await read(watchTenants(client, {}), seen);
    expect(seen.map(({ resync }) => resync)).toEqual([false, true, false]);
    expect(tokens).toEqual(["", "", "1"]);
  });

  it("throws other refusals at once", async () => {
    const { client, tokens } = serving([[new ConnectError("too old", Code.OutOfRange)]]);
    expect(await read(watchTenants(client, {}), [])).toBe("OutOfRange");
    expect(tokens).toHaveLength(1);
  });

  it("ends the server's stream when its loop is left", async () => {
    const { client, ended } = serving([[{ resumeToken: "1" }, "wait"]]);
    for await (const _ of watchTenants(client, {})) break;
    await expect.poll(() => ended.map((signal) => signal.aborted)).toEqual([true]);
  });

  it("ends with the signal's reason, also while it waits for a message", async () => {
    const { client } = serving([[{ resumeToken: "1" }, "wait"]]);
    const cancel = new AbortController();
    const watch = watchTenants(client, {}, cancel.signal);
    await watch.next();
    const next = watch.next();
    cancel.abort(new Error("enough"));
    await expect(next).rejects.toThrow("enough");
  });
});
