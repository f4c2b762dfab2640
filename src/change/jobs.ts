import type { Clock } from "../platform/clock.ts";
import type { Job } from "../platform/job.ts";
import type { Sql } from "../platform/postgres.ts";
import { compact } from "./service.ts";

export interface ChangeJobsDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly changeRetentionMs: number;
  readonly idempotencyRetentionMs: number;
  /** The newest transaction whose changes every reader that must not miss one has read. */
  readonly readThrough: () => Promise<bigint>;
}

/** Retention is counted in hours; half a minute more is nothing. */
const COMPACT_EVERY_MS = 30_000;

/** The background work of the change log: old changes and old request ids are forgotten. */
export function changeJobs({ sql, clock, ...retention }: ChangeJobsDeps): Job[] {
  return [
    {
      name: "compact-changes",
      everyMs: COMPACT_EVERY_MS,
      async run() {
        const now = clock.now();
        const through = await retention.readThrough();
        const changesBefore = now - retention.changeRetentionMs;
        await compact(sql, { changesBefore, through, requestIdsBefore: now - retention.idempotencyRetentionMs });
      },
    },
  ];
}
