import { systemCtx } from "../context.ts";
import type { Job } from "../platform/job.ts";
import type { FlagDeps } from "./base-service.ts";
import { deleteExpiredOverrides } from "./override-service.ts";
import { applyDueSchedules } from "./schedule-service.ts";
import { forgetOldUsage } from "./usage-service.ts";

/** A schedule is late by no more than this. */
const APPLY_EVERY_MS = 1_000;
/** An override outlives its time by no more than this. */
const EXPIRE_EVERY_MS = 5_000;
/** What is kept for months is forgotten in no hurry. */
const FORGET_EVERY_MS = 3_600_000;
/** Between steps a stop is heeded. */
const BATCH = 100;

/** The background work of flags: schedules apply, overrides end, old counts go. */
export function flagJobs(deps: FlagDeps): Job[] {
  const inBatches = async (signal: AbortSignal, step: (limit: number) => Promise<number>) => {
    let done = BATCH;
    while (done === BATCH && !signal.aborted) done = await step(BATCH);
  };
  return [
    {
      name: "apply-flag-schedules",
      everyMs: APPLY_EVERY_MS,
      run: (_, signal) => {
        const ctx = { ...systemCtx("system/schedules", "apply-flag-schedules"), signal };
        return inBatches(signal, (limit) => applyDueSchedules(deps, ctx, limit));
      },
    },
    {
      name: "expire-flag-overrides",
      everyMs: EXPIRE_EVERY_MS,
      run: (_, signal) => {
        const ctx = { ...systemCtx("system/expiry", "expire-flag-overrides"), signal };
        return inBatches(signal, (limit) => deleteExpiredOverrides(deps, ctx, limit));
      },
    },
    {
      name: "forget-flag-usage",
      everyMs: FORGET_EVERY_MS,
      run: (_, signal) => forgetOldUsage(deps, { ...systemCtx("system/flags", "forget-flag-usage"), signal }),
    },
  ];
}
