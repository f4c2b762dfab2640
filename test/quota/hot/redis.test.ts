import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createRedisState } from "../../../src/quota/hot/redis.ts";
import { testRedisUrl } from "../../support/redis.ts";
import { describeHotState } from "./contract.ts";
import { compareTwins } from "./twins.ts";

const url = testRedisUrl();
if (!url) console.warn("No Redis: the hot state in Redis is not tested.");

describe.skipIf(!url)("on a server", () => {
  let client: Redis;
  beforeAll(() => {
    client = new Redis(url ?? "");
  });
  afterAll(() => client.disconnect());

  it("takes the time of the server", async () => {
    const before = Date.now();
    const { now, fence } = await createRedisState(client).decide({ holders: [], limits: [], runs: [] });
    expect([now >= before - 1, now <= Date.now() + 1, fence]).toEqual([
      true,
      true,
      expect.stringMatching(/^[0-9a-f]{16}$/),
    ]);
  });

  describeHotState("the hot state in Redis", () => {
    let now = 1_700_000_000_000;
    return {
      state: createRedisState(client, { now: () => now }),
      advance(ms) {
        now += ms;
      },
    };
  });

  it("decides as the arithmetic in memory does, whatever comes", async () => {
    await compareTwins(client);
  });
});
