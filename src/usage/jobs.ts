import type { Job } from "../platform/job.ts";
import { PLATFORM_SCOPE, writeAs } from "../platform/postgres.ts";
import { ERA_MS } from "./event.ts";
import { beginEras, endErasBefore } from "./event-store.ts";
import { type FoldDeps, foldShard, recount, shardsToFold } from "./fold-service.ts";

/** The job that folds events; what takes them in wakes it. */
export const FOLD_USAGE = "fold-usage";
/** The job that counts anew what corrections have touched. */
export const RECOUNT_USAGE = "recount-usage";

/** What is acknowledged is in the answers within two seconds, even if nothing wakes the fold. */
const FOLD_EVERY_MS = 1_000;
const RECOUNT_EVERY_MS = 2_000;
/** Eras begin a month ahead, and last a month. */
const ERAS_EVERY_MS = 3_600_000;
/** Attaching and dropping partitions waits for whoever reads them. */
const ERAS_TIMEOUT_MS = 60_000;

export interface UsageJobsDeps extends FoldDeps {
  /** How long events are kept; their roll-ups stay. */
  readonly eventRetentionMs: number;
}

/** The background work of usage: events become roll-ups, corrections are counted, and old events dropped by the era. */
export function usageJobs(deps: UsageJobsDeps): Job[] {
  return [
    {
      name: FOLD_USAGE,
      everyMs: FOLD_EVERY_MS,
      async run(_, signal) {
        for (const shard of await shardsToFold(deps)) {
          let more = true;
          while (more && !signal.aborted) more = await foldShard(deps, shard);
        }
      },
    },
    {
      name: RECOUNT_USAGE,
      everyMs: RECOUNT_EVERY_MS,
      async run(_, signal) {
        let more = true;
        while (more && !signal.aborted) more = await recount(deps);
      },
    },
    {
      name: "turn-usage-eras",
      everyMs: ERAS_EVERY_MS,
      async run() {
        const now = deps.clock.now();
        const keptFrom = now - Math.max(deps.eventRetentionMs, ERA_MS);
        await writeAs(deps.sql, PLATFORM_SCOPE, ERAS_TIMEOUT_MS, async (tx) => {
          await beginEras(tx, now);
          await endErasBefore(tx, keptFrom);
        });
      },
    },
  ];
}
