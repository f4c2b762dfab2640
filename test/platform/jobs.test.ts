import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import { startBullJobs } from "../../src/platform/bull-jobs.ts";
import { type Job, type Jobs, type JobsOptions, RETRY_MS } from "../../src/platform/job.ts";
import { startLocalJobs } from "../../src/platform/local-jobs.ts";
import { testRedisUrl } from "../support/redis.ts";
import { until } from "../support/until.ts";

const redisUrl = testRedisUrl();
const HOUR_MS = 3_600_000;

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** A job that is only watched in the runs that were asked for by id: the one of its period comes when it starts. */
function job(run: (id: string, signal: AbortSignal) => Promise<void>): Job {
  const own: Job["run"] = async (id, signal) => {
    if (id !== undefined) await run(id, signal);
  };
  return { name: "count-things", everyMs: HOUR_MS, run: own };
}

/** A job that counts its runs by period. */
function ticking(everyMs: number): Job & { runs: number } {
  const self = {
    name: "count-things",
    everyMs,
    runs: 0,
    run: async () => {
      self.runs += 1;
    },
  };
  return self;
}

function optionsOf(jobs: readonly Job[], heard: string[] = []): JobsOptions {
  return {
    jobs,
    observe: (name, outcome) => heard.push(`${name} ${outcome}`),
    onError: () => {},
    monotonic: () => performance.now(),
    drainTimeoutMs: 200,
  };
}

type Start = (options: JobsOptions) => Promise<Jobs>;

const local: Start = async (options) => startLocalJobs(options);

function onRedis(url: string, prefix = `{test-${randomBytes(4).toString("hex")}}`): Start {
  return (options) => startBullJobs({ ...options, redisUrl: url, prefix, work: true });
}

const kinds: [string, () => Start][] = [
  ["in process", () => local],
  ...(redisUrl ? [["on Redis", () => onRedis(redisUrl)] satisfies [string, () => Start]] : []),
];

async function started(start: Start, options: JobsOptions): Promise<Jobs> {
  const jobs = await start(options);
  stops.push(() => jobs.stop());
  return jobs;
}

describe.each(kinds)("jobs %s", (_, kind) => {
  it("run by their period without being asked", async () => {
    const tick = ticking(50);
    await started(kind(), optionsOf([tick]));
    await until(() => tick.runs >= 3);
  });

  it("run soon when they are woken, with the id that they are woken for", async () => {
    const ids: string[] = [];
    const jobs = await started(kind(), optionsOf([job(async (id) => void ids.push(id))]));
    jobs.wake("count-things", "a");
    jobs.wake("count-things", "b");
    await until(() => ids.length === 2);
    expect(ids.sort()).toEqual(["a", "b"]);
  });

  it("run soon when they are woken for all that is due", async () => {
    const tick = ticking(HOUR_MS);
    const jobs = await started(kind(), optionsOf([tick]));
    await until(() => tick.runs === 1);
    await until(async () => (await jobs.health()).active === 0);
    jobs.wake("count-things");
    await until(() => tick.runs === 2);
  });

  it("run once more, and no more, for all the wakes of one run", async () => {
    let runs = 0;
    const gate = Promise.withResolvers<void>();
    const jobs = await started(
      kind(),
      optionsOf([
        job(async () => {
          runs += 1;
          if (runs === 1) await gate.promise;
        }),
      ]),
    );
    jobs.wake("count-things", "a");
    await until(() => runs === 1);
    for (let i = 0; i < 20; i += 1) jobs.wake("count-things", "a");
    // A wake is asked of the queue in the background; the health is asked on the same connection, after it.
    await jobs.health();
    gate.resolve();
    await until(() => runs === 2);
    await until(async () => (await jobs.health()).active === 0);
    expect(runs).toBe(2);
  });

  it("run beside each other for different ids", async () => {
    const open = new Set<string>();
    const gate = Promise.withResolvers<void>();
    const jobs = await started(
      kind(),
      optionsOf([
        job(async (id) => {
          open.add(id);
          await gate.promise;
        }),
      ]),
    );
    for (const id of ["a", "b", "c"]) jobs.wake("count-things", id);
    await until(() => open.size === 3);
    expect(await jobs.health()).toMatchObject({ active: 3, workers: 1 });
    gate.resolve();
  });

  it("are tried again after a pause when they fail", async () => {
    const at: number[] = [];
    const heard: string[] = [];
    const flaky = job(async () => {
      at.push(performance.now());
      if (at.length < 3) throw new Error("not yet");
    });
    const jobs = await started(kind(), optionsOf([flaky], heard));
    jobs.wake("count-things", "a");
    await until(() => heard.length === 4);
    expect(heard.filter((outcome) => outcome === "count-things failed")).toHaveLength(2);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(RETRY_MS * 0.8);
    expect((at[2] ?? 0) - (at[1] ?? 0)).toBeGreaterThan(RETRY_MS * 1.6);
  });

  it("are aborted when a stop has waited long enough, and run no more", async () => {
    let aborted = false;
    const begun = Promise.withResolvers<void>();
    const stuck = job(
      (_, signal) =>
        new Promise((_, reject) => {
          begun.resolve();
          signal.addEventListener("abort", () => {
            aborted = true;
            reject(signal.reason);
          });
        }),
    );
    const jobs = await kind()(optionsOf([stuck]));
    jobs.wake("count-things", "a");
    await begun.promise;
    await jobs.stop();
    expect(aborted).toBe(true);
  });

  it("refuse a name that is none", async () => {
    const jobs = await started(kind(), optionsOf([]));
    expect(() => jobs.wake("no-such-job")).toThrow("no-such-job");
  });
});

describe.skipIf(!redisUrl)("jobs of several nodes on one Redis", () => {
  it("run each period and each wake on one node of all", async () => {
    const start = onRedis(redisUrl ?? "");
    const runs: string[] = [];
    const node = (name: string) => started(start, optionsOf([job(async (id) => void runs.push(`${name} ${id}`))]));
    const [first] = [await node("first"), await node("second")];
    for (let i = 0; i < 50; i += 1) first.wake("count-things", `id-${i}`);
    await until(async () => runs.length >= 50);
    const health = await first.health();
    expect(health).toMatchObject({ waiting: 0, workers: 2 });
    expect(runs.length).toBe(50);
    expect(new Set(runs.map((run) => run.split(" ")[1])).size).toBe(50);
  });

  it("come back by themselves after Redis has lost everything", async () => {
    const tick = ticking(100);
    await started(onRedis(redisUrl ?? "", "{lost}"), optionsOf([tick]));
    await until(() => tick.runs >= 2);
    const redis = new Redis(redisUrl ?? "");
    const keys = await redis.keys("{lost}:*");
    await redis.del(...keys);
    redis.disconnect();
    const before = tick.runs;
    await until(() => tick.runs >= before + 3);
  });
});
