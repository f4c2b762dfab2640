import { systemCtx } from "../context.ts";
import type { Job } from "../platform/job.ts";
import { purgeDueTenants, type TenantDeps } from "./service.ts";

/** Purges of one step; between steps a stop is heeded. */
const PURGE_BATCH = 200;
/** A purge is never early, and nobody waits for it. */
const PURGE_EVERY_MS = 30_000;

/** The background work of tenants: what was deleted long enough ago goes for good. */
export function tenantJobs(deps: TenantDeps): Job[] {
  return [
    {
      name: "purge-tenants",
      everyMs: PURGE_EVERY_MS,
      async run(_, signal) {
        const ctx = { ...systemCtx("system/purge", "purge"), signal };
        let purged = PURGE_BATCH;
        while (purged === PURGE_BATCH && !signal.aborted) purged = await purgeDueTenants(deps, ctx, PURGE_BATCH);
      },
    },
  ];
}
