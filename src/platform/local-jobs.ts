import {
  ATTEMPTS_MAX,
  CONCURRENCY,
  findJob,
  type Job,
  type Jobs,
  type JobsOptions,
  RETRY_MS,
  runEach,
  runOnce,
  settledWithin,
} from "./job.ts";

/** Runs jobs in this process, for a single node without Redis: the same promises as those of the queue on Redis. */
export function startLocalJobs(options: JobsOptions): Jobs {
  const stopping = new AbortController();
  const timers = createTimers();
  const lanes = createLanes(options, timers, stopping.signal);
  const repeat = (job: Job) => {
    lanes.put(job, undefined);
    timers.after(job.everyMs, () => repeat(job));
  };
  for (const job of options.jobs) repeat(job);
  return {
    wake: (name, id) => lanes.put(findJob(options.jobs, name), id),
    runAll: () => runEach(options, stopping.signal),
    health: async () => lanes.health(),
    async stop() {
      timers.stop();
      const running = lanes.close();
      await settledWithin(options.drainTimeoutMs, running);
      stopping.abort();
      await Promise.allSettled(running);
    },
  };
}

/** Runs of one job and id: at most one is under way and one waits behind it. */
interface Lane {
  readonly job: Job;
  readonly id: string | undefined;
  state: "waiting" | "active" | "delayed";
  attempt: number;
  again: boolean;
}

type Timers = ReturnType<typeof createTimers>;

function createTimers() {
  const timers = new Set<NodeJS.Timeout>();
  return {
    after(ms: number, fn: () => void): void {
      const timer = setTimeout(() => {
        timers.delete(timer);
        fn();
      }, ms);
      timers.add(timer);
    },
    stop(): void {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

function createLanes(options: JobsOptions, timers: Timers, stopping: AbortSignal) {
  const lanes = new Map<string, Lane>();
  const running = new Set<Promise<void>>();
  let closed = false;
  let failed = 0;

  const start = () => {
    for (const [key, lane] of lanes) {
      if (running.size >= CONCURRENCY || closed) return;
      if (lane.state === "waiting") track(key, lane);
    }
  };
  const track = (key: string, lane: Lane) => {
    lane.state = "active";
    const run: Promise<void> = runOnce(lane.job, lane.id, options, stopping)
      .then(() => end(key, lane))
      .catch(() => retry(key, lane))
      .finally(() => {
        running.delete(run);
        start();
      });
    running.add(run);
  };
  const end = (key: string, lane: Lane) => {
    lanes.delete(key);
    if (lane.again) put(lane.job, lane.id);
  };
  const retry = (key: string, lane: Lane) => {
    if (lane.attempt >= ATTEMPTS_MAX) {
      failed += 1;
      return end(key, lane);
    }
    lane.state = "delayed";
    timers.after(RETRY_MS * 2 ** (lane.attempt - 1), () => {
      lane.state = "waiting";
      start();
    });
    lane.attempt += 1;
  };
  const put = (job: Job, id: string | undefined) => {
    if (closed) return;
    const key = JSON.stringify([job.name, id]);
    const lane = lanes.get(key);
    if (lane?.state === "active") lane.again = true;
    if (!lane) lanes.set(key, { job, id, state: "waiting", attempt: 1, again: false });
    start();
  };
  const count = (state: Lane["state"]) => [...lanes.values()].filter((lane) => lane.state === state).length;
  return {
    put,
    health: () => ({
      waiting: count("waiting"),
      active: count("active"),
      delayed: count("delayed"),
      failed,
      workers: closed ? 0 : 1,
    }),
    /** Takes no more; answers what still runs. */
    close(): ReadonlySet<Promise<void>> {
      closed = true;
      return running;
    },
  };
}
