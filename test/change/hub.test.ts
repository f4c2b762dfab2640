import { describe, expect, it } from "vitest";
import { createHub } from "../../src/change/hub.ts";

const batch = (n: number) => ({ changes: [], position: { xid: BigInt(n), seq: 0 } });

describe("the change hub", () => {
  it("gives every watcher every batch since its subscription, in order", async () => {
    const hub = createHub();
    const early = hub.subscribe();
    hub.publish(batch(1));
    const late = hub.subscribe();
    hub.publish(batch(2));
    const taken = [await early.next(), await early.next(), await late.next()];
    expect(taken.map((taken) => taken?.position.xid)).toEqual([1n, 2n, 2n]);
  });

  it("cuts off a watcher whose queue is full, and no other", async () => {
    const hub = createHub(2);
    const slow = hub.subscribe();
    const quick = hub.subscribe();
    for (let n = 1; n <= 3; n += 1) {
      hub.publish(batch(n));
      await quick.next();
    }
    expect([await slow.next(), slow.closedBy(), quick.closedBy(), hub.watchers()]).toEqual([
      undefined,
      "too slow",
      undefined,
      1,
    ]);
  });

  it("lets watchers take what they have before a shutdown ends them", async () => {
    const hub = createHub();
    const watcher = hub.subscribe();
    hub.publish(batch(1));
    hub.shutdown();
    expect([(await watcher.next())?.position.xid, await watcher.next(), watcher.closedBy()]).toEqual([
      1n,
      undefined,
      "shutdown",
    ]);
  });

  it("wakes a waiting watcher when it is closed", async () => {
    const watcher = createHub().subscribe();
    const waiting = watcher.next();
    watcher.close();
    expect(await waiting).toBeUndefined();
  });
});
