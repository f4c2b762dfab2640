import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Evaluation } from "@tenantplane/sdk/evaluate";
import type {
  WatchFlagEvaluationsRequest,
  WatchFlagEvaluationsResponseSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/flag_evaluation_pb";
import { type Checksum, formatChecksum, hashOf, toggle } from "@tenantplane/sdk/replica";
import { parseId } from "../aip/name.ts";
import type { Ctx } from "../context.ts";
import type { FlagRpcDeps } from "./base-rpc.ts";
import { factsFor } from "./evaluate-rpc.ts";
import { toEvaluation } from "./evaluation-rpc.ts";
import { flagName } from "./flag.ts";
import { keyOf } from "./name-rpc.ts";
import { viewFor } from "./viewer.ts";
import { createAlarm, heartbeatOf } from "./watch-rpc.ts";

/** Streams the values of a caller's flags for one tenant and context, then those that change. */
export async function* watchEvaluations(
  deps: FlagRpcDeps,
  ctx: Ctx,
  request: WatchFlagEvaluationsRequest,
): AsyncGenerator<MessageInitShape<typeof WatchFlagEvaluationsResponseSchema>> {
  const tenantId = parseId(request.tenant, "tenants", "tenant");
  const only = request.flags.map((name, index) => keyOf(name, "flags", `flags[${index}]`));
  const heartbeatMs = heartbeatOf(request.heartbeatInterval);
  const { context = {} } = request;
  let known: ReadonlyMap<string, Evaluation> = new Map();
  const sum: Checksum = { high: 0, low: 0 };
  const alarm = createAlarm(deps.flags, ctx.signal, heartbeatMs);
  try {
    for (let isFirst = true; !ctx.signal.aborted; isFirst = false) {
      const facts = await factsFor(deps, ctx, tenantId);
      const view = viewFor(deps.flags, ctx.principal, facts);
      const now = deps.clock.now();
      const keys = only.length > 0 ? only : view.keys();
      const current = new Map(keys.map((key) => [key, view.evaluate(key, context, now)]));
      const changed = [...current].filter(([key, evaluation]) => !isSame(known.get(key), evaluation));
      const removed = [...known.keys()].filter((key) => !current.has(key));
      for (const key of [...changed.map(([changedKey]) => changedKey), ...removed]) {
        for (const evaluation of [known.get(key), current.get(key)])
          if (evaluation) toggle(sum, partOf(key, evaluation));
      }
      known = current;
      const resumeToken = formatChecksum(sum);
      const isResumed = isFirst && resumeToken === request.resumeToken;
      if (changed.length + removed.length > 0 || alarm.isDue()) {
        alarm.restart();
        const evaluations = isResumed ? [] : changed.map(([key, evaluation]) => toEvaluation(key, evaluation));
        yield { evaluations, removedFlags: removed.map(flagName), resumeToken };
      }
      await alarm.ringing();
    }
  } finally {
    alarm.close();
  }
}

// What succeeds is shared between evaluations until its flag changes; what fails is made anew each time.
function isSame(before: Evaluation | undefined, after: Evaluation): boolean {
  return before === after || (before !== undefined && textOf(before) === textOf(after));
}

function textOf({ value, variant, reason, ruleId, errorCode }: Evaluation): string {
  return JSON.stringify([value, variant, reason, ruleId, errorCode]);
}

// The exclusive or of these says what the values are, so that one who comes back knows whether they changed.
function partOf(key: string, evaluation: Evaluation): Checksum {
  return hashOf("flag", key, textOf(evaluation));
}
