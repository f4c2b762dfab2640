import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { every } from "./clock.ts";
import {
  ATTEMPTS_MAX,
  CONCURRENCY,
  findJob,
  type Jobs,
  type JobsOptions,
  RETRY_MS,
  runEach,
  runOnce,
  settledWithin,
} from "./job.ts";

export interface BullJobsOptions extends JobsOptions {
  readonly redisUrl: string;
  /** Tells this database's queue from others on the same Redis; in braces, so that a cluster keeps it in one slot. */
  readonly prefix: string;
  /** Whether this node works on jobs, or only asks for them. */
  readonly work: boolean;
}

/** A Redis that lost its schedules gets them again within it. */
const ENSURE_MS = 5_000;
/** A worker that has not said for so long that it is alive is dead: another one takes its runs over. */
const LOCK_MS = 15_000;
/** Runs are safe to repeat, so one that was cut off is always run again. */
const STALLED_MAX = 1_000;
/** For people who look into the queue after a failure; the truth of what is due is elsewhere. */
const KEEP_ENDED = { age: 3_600, count: 200 };
/** A Redis on the same network takes leave in milliseconds. */
const CLOSE_MS = 2_000;
/** The longest that an idle worker waits before it looks for delayed runs anew. */
const DRAIN_DELAY_S = 1;

/** Runs jobs through BullMQ: one schedule over all nodes, each run on one of them, retried and taken over when its node dies. */
export async function startBullJobs(options: BullJobsOptions): Promise<Jobs> {
  const { redisUrl, prefix, jobs } = options;
  const stopping = new AbortController();
  const running = new Set<Promise<void>>();
  const report = (error: unknown) => options.onError(error, "queue");
  // Asking for work fails at once while Redis is away; waiting for work waits for its return.
  const asking = new Redis(redisUrl, { maxRetriesPerRequest: 1, enableOfflineQueue: false, lazyConnect: true });
  const waiting = new Redis(redisUrl, { maxRetriesPerRequest: null, lazyConnect: true });
  for (const client of [asking, waiting]) client.on("error", () => {});
  await Promise.all([asking.connect(), waiting.connect()]);
  const queue = new Queue(QUEUE, { connection: asking, prefix, skipWaitingForReady: true });
  queue.on("error", () => {});

  const ensure = async () => {
    const known = new Set((await queue.getJobSchedulers()).map((scheduler) => scheduler.key));
    for (const { name, everyMs } of jobs.filter((job) => !known.has(job.name))) {
      await queue.upsertJobScheduler(name, { every: everyMs }, { name, opts: RUN });
    }
  };
  const work = (name: string, id: string | undefined) => {
    const run = runOnce(findJob(jobs, name), id, options, stopping.signal).finally(() => running.delete(run));
    running.add(run);
    return run;
  };
  await ensure();
  const worker = options.work
    ? new Worker<{ id?: string }>(QUEUE, (job) => work(job.name, job.data.id), {
        connection: waiting,
        prefix,
        concurrency: CONCURRENCY,
        lockDuration: LOCK_MS,
        stalledInterval: LOCK_MS,
        maxStalledCount: STALLED_MAX,
        drainDelay: DRAIN_DELAY_S,
      })
    : undefined;
  worker?.on("error", report);
  const stopEnsuring = every(ENSURE_MS, ensure, report);

  return {
    wake(name, id) {
      findJob(jobs, name);
      queue.add(name, id === undefined ? {} : { id }, { ...RUN, ...onePerKind(name, id) }).catch(() => {});
    },
    runAll: () => runEach(options, stopping.signal),
    async health() {
      const counts = await queue.getJobCounts("waiting", "active", "delayed", "failed", "prioritized");
      const of = (state: string) => counts[state] ?? 0;
      return {
        waiting: of("waiting") + of("prioritized"),
        active: of("active"),
        // The next runs of the schedules wait there too.
        delayed: Math.max(0, of("delayed") - jobs.length),
        failed: of("failed"),
        workers: await queue.getWorkersCount(),
      };
    },
    async stop() {
      stopEnsuring();
      const closed = worker?.close();
      await settledWithin(options.drainTimeoutMs, running);
      stopping.abort();
      await Promise.allSettled(running);
      // A Redis that is away must not keep a node from ending: what it was not told, the other nodes see.
      await settledWithin(CLOSE_MS, [Promise.resolve(closed), queue.close()]);
      for (const client of [asking, waiting]) client.disconnect();
    },
  };
}

const QUEUE = "jobs";

const RUN = {
  attempts: ATTEMPTS_MAX,
  backoff: { type: "exponential", delay: RETRY_MS },
  removeOnComplete: KEEP_ENDED,
  removeOnFail: KEEP_ENDED,
};

// Of the runs asked for, one of a kind is under way and at most one waits behind it: whoever wakes during a run is served
// by the next one.
function onePerKind(name: string, id: string | undefined) {
  return { deduplication: { id: JSON.stringify([name, id ?? null]), keepLastIfActive: true } };
}
