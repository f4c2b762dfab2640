import { describe, expect, it } from "vitest";
import { createBatcher, createBatchReader } from "../../src/platform/batcher.ts";

/** A reader whose batches are answered when the test says so. */
function start() {
  const batches: { keys: readonly string[]; answer(): void; fail(error: Error): void }[] = [];
  const read = createBatchReader<string, string>({ sizeMax: 500, underWayMax: 2, waitingMax: 1_000 }, (keys) => {
    const { promise, resolve, reject } = Promise.withResolvers<Map<string, string>>();
    const number = batches.length + 1;
    const found = new Map(keys.filter((key) => key !== "missing").map((key) => [key, `${key} in ${number}`]));
    batches.push({ keys, answer: () => resolve(found), fail: reject });
    return promise;
  });
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { batches, read, turn };
}

describe("a batcher", () => {
  it("reads together what is asked in one turn, each key once", async () => {
    const { batches, read, turn } = start();
    const answers = Promise.all(["a", "b", "a", "missing"].map(read));
    await turn();
    batches[0]?.answer();
    expect(batches.map(({ keys }) => keys)).toEqual([["a", "b", "missing"]]);
    expect(await answers).toEqual(["a in 1", "b in 1", "a in 1", undefined]);
  });

  it("answers no question from a reading that began before it", async () => {
    const { batches, read, turn } = start();
    const first = read("a");
    await turn();
    const second = read("a");
    await turn();
    batches[0]?.answer();
    batches[1]?.answer();
    expect(await Promise.all([first, second])).toEqual(["a in 1", "a in 2"]);
    expect(batches).toHaveLength(2);
  });

  it("lets load make batches larger, not more", async () => {
    const { batches, read, turn } = start();
    const answers: Promise<unknown>[] = [];
    for (let n = 0; n < 20; n += 1) {
      answers.push(read(String(n)));
      await turn();
    }
    expect(batches.map(({ keys }) => keys.length)).toEqual([1, 1]);
    batches[0]?.answer();
    await answers[0];
    await turn();
    expect(batches.map(({ keys }) => keys.length)).toEqual([1, 1, 18]);
    for (const batch of batches) batch.answer();
    await Promise.all(answers);
  });

  it("bounds its batches", async () => {
    const { batches, read, turn } = start();
    const answers = Promise.all(Array.from({ length: 700 }, (_, n) => read(String(n))));
    await turn();
    await turn();
    for (const batch of batches) batch.answer();
    expect([(await answers).length, batches.map(({ keys }) => keys.length)]).toEqual([700, [500, 200]]);
  });

  it("fails those who asked with it, and goes on", async () => {
    const { batches, read, turn } = start();
    const failed = Promise.allSettled([read("a"), read("b")]);
    await turn();
    batches[0]?.fail(new Error("gone"));
    expect((await failed).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const next = read("c");
    await turn();
    batches[1]?.answer();
    expect(await next).toBe("c in 2");
  });

  it("refuses what would wait behind too much, and says when to come again", async () => {
    const { batches, read, turn } = start();
    const taken = Array.from({ length: 1_000 }, (_, n) => read(String(n)));
    await expect(read("too many")).rejects.toMatchObject({ reason: "OVERLOADED", details: { retryAfterMs: 500 } });
    await turn();
    await turn();
    for (const batch of batches) batch.answer();
    await Promise.all(taken);
  });

  it("counts items by their size; one that is larger than a batch has one to itself", async () => {
    const batches: (readonly number[])[] = [];
    const batcher = createBatcher<number, number>({
      run: async (items) => {
        batches.push(items);
        return items.map((item) => item * 2);
      },
      sizeOf: (item) => item,
      sizeMax: 10,
      underWayMax: 1,
      waitingMax: 100,
    });
    const results = await Promise.all([4, 5, 3, 25, 1].map((item) => batcher.add(item)));
    expect([results, batches]).toEqual([
      [8, 10, 6, 50, 2],
      [[4, 5], [3], [25], [1]],
    ]);
  });
});
