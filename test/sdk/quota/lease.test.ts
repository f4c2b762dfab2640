import { Code, ConnectError } from "@connectrpc/connect";
import { QuotaDecision_Outcome } from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import { describe, expect, it } from "vitest";
import type { LeaseOptions } from "../../../sdk/src/quota/lease.ts";
import { createQuotaClient } from "../../../sdk/src/quota/quota-client.ts";
import { createFakeTiming } from "./fake-timing.ts";
import { answering, decided, quotasOf } from "./peer.ts";

const TENANT = "tenants/acme";

/** A server with so much left, whose leases last ten seconds; it counts what it was told. */
function createServer(left: number) {
  const server = { left, calls: [] as string[], away: false, lost: undefined as Code | undefined, total: 0, ids: 0 };
  const give = (wanted: bigint, unspent: number) => {
    const more = Math.min(server.left, Math.max(0, Number(wanted) - unspent));
    server.left -= more;
    server.total += more;
    return {
      decision: { outcome: server.total > 0 ? QuotaDecision_Outcome.ALLOW : QuotaDecision_Outcome.DENY },
      lease: {
        name: `${TENANT}/leases/${server.ids}`,
        meter: "a",
        amount: BigInt(server.total),
        ttl: { seconds: 10n },
        refreshAfter: { seconds: 5n },
      },
    };
  };
  const check = () => {
    if (server.away) throw new ConnectError("away", Code.Unavailable);
  };
  const peer: Parameters<typeof quotasOf>[0] = {
    acquireLease({ wantedAmount }) {
      check();
      server.ids += 1;
      server.total = 0;
      server.calls.push(`acquire ${wantedAmount}`);
      const given = give(wantedAmount, 0);
      return server.total > 0 ? given : { decision: given.decision };
    },
    renewLease({ wantedAmount, spentAmount }) {
      check();
      server.calls.push(`renew ${wantedAmount} spent ${spentAmount}`);
      if (server.lost !== undefined) {
        const code = server.lost;
        server.lost = undefined;
        throw new ConnectError("no such lease", code);
      }
      return give(wantedAmount, server.total - Number(spentAmount));
    },
    returnLease({ spentAmount }) {
      check();
      server.calls.push(`return spent ${spentAmount}`);
      server.left += server.total - Number(spentAmount);
      return { returnedAmount: BigInt(server.total - Number(spentAmount)) };
    },
    streamQuotaChecks: answering(() => decided()),
  };
  return { server, peer };
}

async function lease(left: number, options: LeaseOptions = {}) {
  const { server, peer } = createServer(left);
  const timing = createFakeTiming();
  const client = createQuotaClient(quotasOf(peer), { timing });
  const held = client.lease(TENANT, "a", options);
  await timing.advance(0);
  const spend = (times: number) => Array.from({ length: times }, () => held.spend()).filter(Boolean).length;
  const close = () => Promise.all([client.close(), timing.advance(2_000)]);
  return { server, timing, client, held, spend, close };
}

describe("a lease", () => {
  it("is spent without calls, renewed ahead of need, and returned when the client is closed", async () => {
    const { server, spend, timing, close } = await lease(1_000);
    expect([spend(49), server.calls]).toEqual([49, ["acquire 100"]]);
    spend(1);
    await timing.advance(0);
    expect([spend(90), server.calls[1]]).toEqual([90, "renew 100 spent 50"]);
    await timing.advance(0);
    await close();
    expect([server.calls.at(-1), server.left]).toEqual(["return spent 140", 860]);
  });

  it("gives no more than it holds, and asks for twice as much when that is too little", async () => {
    const { server, spend, timing, close } = await lease(1_000);
    expect(spend(150)).toBe(100);
    await timing.advance(0);
    expect([server.calls.at(-1), spend(1_000)]).toEqual(["renew 200 spent 100", 200]);
    await close();
  });

  it("is renewed when the server says, and shrinks while it is not needed", async () => {
    const { server, spend, timing, close } = await lease(10_000, { amountMin: 10 });
    spend(30);
    await timing.advance(0);
    await timing.advance(10_000);
    expect(server.calls).toEqual(["acquire 10", "renew 20 spent 10", "renew 10 spent 10", "renew 10 spent 10"]);
    await close();
  });

  it("never asks for more than it may, nor holds more than the server has", async () => {
    const { server, spend, timing, close } = await lease(120, { amountMax: 80 });
    expect([server.calls, spend(100)]).toEqual([["acquire 80"], 80]);
    await timing.advance(0);
    expect(spend(100)).toBe(40);
    await close();
    expect(server.left).toBe(0);
  });

  it("stops at nine tenths of its time by the client's own clock when the server is away, and goes on when it is back", async () => {
    const { server, held, spend, timing, close } = await lease(1_000);
    server.away = true;
    await timing.advance(8_999);
    const before = spend(1);
    await timing.advance(1);
    expect([before, spend(1), held.available()]).toEqual([1, 0, 0]);
    server.away = false;
    await timing.advance(2_000);
    expect([spend(1), server.calls.at(-1)]).toEqual([1, "renew 100 spent 1"]);
    await close();
  });

  it.each([
    ["knows it no more", Code.NotFound],
    ["says that it has expired", Code.FailedPrecondition],
  ])("begins anew when the server %s", async (_, code) => {
    const { server, spend, timing, close } = await lease(1_000);
    spend(20);
    server.lost = code;
    await timing.advance(5_100);
    expect(server.calls).toEqual(["acquire 100", "renew 100 spent 20", "acquire 100"]);
    expect(spend(1)).toBe(1);
    await close();
  });

  it("asks once a second while nothing is left, and has some as soon as there is some", async () => {
    const { server, spend, timing, close } = await lease(0);
    spend(5);
    await timing.advance(3_000);
    expect(server.calls).toHaveLength(4);
    server.left = 10;
    await timing.advance(1_000);
    expect(spend(20)).toBe(10);
    await close();
  });

  it("falls back to a check of its own for what it can't give", async () => {
    const { held, timing, close } = await lease(10);
    const local = await held.consume(10);
    const asked = held.consume(1);
    await timing.advance(0);
    expect([local.source, local.consistency, (await asked).source]).toEqual(["LEASE", "LEASED", "SERVER"]);
    await close();
  });

  it("is one for whoever asks for the same tenant and meter", async () => {
    const { client, held, close } = await lease(10);
    expect(client.lease(TENANT, "a")).toBe(held);
    await close();
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53])("does not spend %d", async (amount) => {
    const { held, close } = await lease(10);
    expect(() => held.spend(amount)).toThrow(RangeError);
    expect(held.available()).toBe(10);
    await close();
  });
});
