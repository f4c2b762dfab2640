import type { Job } from "../platform/job.ts";
import type { Upkeep } from "./upkeep-service.ts";

/** What a loss of the hot state has stranded comes back so soon after all nodes have told what they admitted. */
const SETTLE_EVERY_MS = 5_000;
/** What is kept, is kept for a day at least. */
const FORGET_EVERY_MS = 600_000;

/** The background work on counts that one node does for all. */
export function allotmentJobs(upkeep: Upkeep): Job[] {
  return [
    { name: "settle-quota-counts", everyMs: SETTLE_EVERY_MS, run: (_, signal) => upkeep.settle(signal) },
    { name: "forget-quota-counts", everyMs: FORGET_EVERY_MS, run: (_, signal) => upkeep.forget(signal) },
  ];
}
