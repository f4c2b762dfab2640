import { systemCtx } from "../context.ts";
import { sleep } from "../platform/clock.ts";
import type { Job } from "../platform/job.ts";
import { PLATFORM_SCOPE, writeAs } from "../platform/postgres.ts";
import { deleteEndedDeliveries } from "./delivery-store.ts";
import { dispatchChanges, type SendDeps, sendDue } from "./send-service.ts";

export interface WebhookJobsDeps extends SendDeps {
  /** How long deliveries are kept, whatever became of them. */
  readonly deliveryRetentionMs: number;
}

/** Commits wake the dispatch; the period only finds what no wake told of. */
const DISPATCH_EVERY_MS = 1_000;
/** Under load each run takes in the changes of this time, rather than one of each commit. */
const GATHER_MS = 100;
/** The shortest pause between two attempts is five seconds. */
const SEND_EVERY_MS = 1_000;
/** Retention is counted in days. */
const FORGET_EVERY_MS = 3_600_000;
const FORGET_TIMEOUT_MS = 60_000;

/** The background work of webhooks: changes become deliveries, deliveries are sent, and old ones forgotten. */
export function webhookJobs(deps: WebhookJobsDeps): Job[] {
  return [
    {
      name: "dispatch-webhooks",
      everyMs: DISPATCH_EVERY_MS,
      async run(_, signal) {
        await sleep(GATHER_MS, signal);
        while (!signal.aborted && (await dispatchChanges(deps)));
        deps.wakeDeliveries();
      },
    },
    {
      name: "send-webhooks",
      everyMs: SEND_EVERY_MS,
      async run(_, signal) {
        const ctx = { ...systemCtx("system/webhooks", "sendWebhooks"), signal };
        while (!signal.aborted && (await sendDue(deps, ctx)));
      },
    },
    {
      name: "forget-webhook-deliveries",
      everyMs: FORGET_EVERY_MS,
      async run() {
        const before = deps.clock.now() - deps.deliveryRetentionMs;
        await writeAs(deps.sql, PLATFORM_SCOPE, FORGET_TIMEOUT_MS, (tx) => deleteEndedDeliveries(tx, before));
      },
    },
  ];
}
