/**
 * A piece of background work. Its truth is in Postgres: it takes an id or nothing, reads there what is due, and does it. It
 * may run at any time, twice, on any node, and be cut off: a later run does the rest. So a lost queue loses no work.
 */
export interface Job {
  /** In kebab-case, verb first: "purge-tenants". */
  readonly name: string;
  /** It runs when the first node starts, and from then on at least so often, on one node of all. */
  readonly everyMs: number;
  /**
   * Without an id it does all that is due, or as much as one run should do. Throwing means: try again, with growing pauses.
   * The signal aborts when the node stops or the run takes longer than `timeoutMs`.
   */
  readonly run: (id: string | undefined, signal: AbortSignal) => Promise<void>;
  /** A run that takes longer is aborted; ten minutes by default. */
  readonly timeoutMs?: number;
}

/** The node's part in running jobs. */
export interface Jobs {
  /** Asks for a run soon, of one thing or of all that is due. Never throws: a wake that is lost costs time, not work. */
  wake(name: string, id?: string): void;
  /** Runs every job once, here and now, one after the other; throws what they throw. */
  runAll(): Promise<void>;
  /** How the queue stands. Throws when it can't be asked. */
  health(): Promise<QueueHealth>;
  /** Takes no more work, aborts what does not end in time, and resolves when nothing runs. */
  stop(): Promise<void>;
}

/** How many runs are where. */
export interface QueueHealth {
  readonly waiting: number;
  readonly active: number;
  /** Failed and waiting for their next try. */
  readonly delayed: number;
  /** Given up; the next period tries again. */
  readonly failed: number;
  /** Nodes that work. */
  readonly workers: number;
}

/** What runs and tells of jobs, the same for both kinds of queues. */
export interface JobsOptions {
  readonly jobs: readonly Job[];
  /** Hears of every run: how it ended and how long it took. */
  readonly observe: (name: string, outcome: "ok" | "failed", ms: number) => void;
  readonly onError: (error: unknown, name: string) => void;
  readonly monotonic: () => number;
  /** How long a stop waits for runs under way before it aborts them. */
  readonly drainTimeoutMs: number;
}

/** A run fails for reasons that last seconds, or minutes: five tries span both. */
export const ATTEMPTS_MAX = 5;
/** The first pause; each is twice as long as the one before. */
export const RETRY_MS = 500;
/** Runs at once on one node: a few slow ones must not hold up the others. */
export const CONCURRENCY = 8;
/** Nothing we do in one run takes longer, but backups, which say so. */
const TIMEOUT_MS = 600_000;

/** Runs a job once and tells of it; rejects with what it throws. */
export async function runOnce(
  job: Job,
  id: string | undefined,
  options: JobsOptions,
  stopping: AbortSignal,
): Promise<void> {
  const startedAt = options.monotonic();
  const signal = AbortSignal.any([stopping, AbortSignal.timeout(job.timeoutMs ?? TIMEOUT_MS)]);
  try {
    await job.run(id, signal);
    options.observe(job.name, "ok", options.monotonic() - startedAt);
  } catch (error) {
    options.observe(job.name, "failed", options.monotonic() - startedAt);
    if (!stopping.aborted) options.onError(error, job.name);
    throw error;
  }
}

/** The job of a name; unknown names are a mistake of ours. */
export function findJob(jobs: readonly Job[], name: string): Job {
  const job = jobs.find((candidate) => candidate.name === name);
  if (!job) throw new Error(`there is no job ${name}`);
  return job;
}

/** Runs every job once, one after the other. */
export async function runEach(options: JobsOptions, stopping: AbortSignal): Promise<void> {
  for (const job of options.jobs) await runOnce(job, undefined, options, stopping);
}

/** Resolves when all is done, or after `ms`. */
export async function settledWithin(ms: number, work: Iterable<Promise<unknown>>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([Promise.allSettled(work), promise]);
  clearTimeout(timer);
}
