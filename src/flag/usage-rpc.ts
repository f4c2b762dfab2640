import type { FlagEvaluationSummary } from "@tenantplane/sdk/gen/tenantplane/v1/flag_evaluation_pb";
import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { allows, type Principal } from "../auth/permission.ts";
import { invalidField, Problems } from "../errors.ts";
import { durationMs, fromTimestamp, optionalTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import type { FlagRpcDeps } from "./base-rpc.ts";
import { flagName } from "./flag.ts";
import { keyOf } from "./name-rpc.ts";
import type { Usage } from "./usage.ts";
import { listStaleFlags, recordUsage } from "./usage-service.ts";

/** The handlers of FlagService for the use of flags. */
export function usageRpc(
  deps: FlagRpcDeps,
): Pick<Handlers<typeof FlagService>, "reportFlagEvaluations" | "listStaleFlags"> {
  return {
    reportFlagEvaluations: async ({ summaries }, ctx) => {
      if (summaries.length === 0 || summaries.length > SUMMARIES_MAX) {
        throw invalidField("summaries", `must be 1 to ${SUMMARIES_MAX}`);
      }
      const now = deps.clock.now();
      const usages = summaries.map((summary, index) => parseSummary(summary, `summaries[${index}]`, now));
      const known = usages.filter(({ flagKey }) => mayReport(deps, ctx.principal, flagKey));
      const dropped = known.length === 0 ? 0 : await recordUsage(deps, ctx, known);
      return { droppedCount: dropped + usages.length - known.length };
    },
    listStaleFlags: async ({ unusedFor, owner, ...page }, ctx) => {
      const problems = new Problems();
      const unusedForMs = durationMs(problems, "unused_for", unusedFor, UNUSED_FOR_MS);
      problems.throwIfAny();
      const input = { ...page, unusedForMs, owner: owner === "" ? undefined : owner };
      const { items, token } = await listStaleFlags(deps, ctx, input);
      return {
        items: items.map((item) => ({
          flag: flagName(item.flagKey),
          owner: item.owner,
          reasons: [...item.reasons],
          ...optionalTimestamp("lastEvaluateTime", item.lastAt),
          ...optionalTimestamp("expireTime", item.expiresAt),
          evaluations: Object.fromEntries(Object.entries(item.counts).map(([name, count]) => [name, BigInt(count)])),
        })),
        nextPageToken: token,
      };
    },
  };
}

/** What an SDK has seen in a minute; more are more reports. */
const SUMMARIES_MAX = 1_000;
/** A month; at most as long as counts are kept. */
const UNUSED_FOR_MS = { fallback: 30 * 86_400_000, min: 86_400_000, max: 365 * 86_400_000 };

// Clients report on what they may see; what nobody has told them of, they have not evaluated.
function mayReport({ flags }: FlagRpcDeps, principal: Principal, key: string): boolean {
  const definition = flags.replica.evaluator.definition(key);
  const platform = allows(principal, "flags.evaluate", { kind: "platform" });
  return platform || (definition?.clientVisible ?? false) || flags.isOverridable(key);
}

function parseSummary(summary: FlagEvaluationSummary, field: string, now: number): Usage {
  const { variant, count, lastEvaluateTime } = summary;
  if (count < 1n || count > COUNT_MAX) throw invalidField(`${field}.count`, `must be 1 to ${COUNT_MAX}`);
  if (variant.length > VARIANT_MAX_CHARACTERS || /[\p{Cc}\p{Cs}]/u.test(variant)) {
    throw invalidField(
      `${field}.variant`,
      `must have at most ${VARIANT_MAX_CHARACTERS} characters, and no control characters`,
    );
  }
  const lastAt = lastEvaluateTime ? fromTimestamp(lastEvaluateTime) : now;
  // Clocks differ by seconds; a report that is a day late is of no use.
  if (lastAt > now + 60_000 || lastAt < now - LATE_MAX_MS) {
    throw invalidField(`${field}.last_evaluate_time`, "must be within the last day");
  }
  return { flagKey: keyOf(summary.flag, "flags", `${field}.flag`), variant, count: Number(count), lastAt };
}

/** A hundred million evaluations a second for a day, and far from what sums can hold. */
const COUNT_MAX = 10n ** 13n;
/** As names of variants are bounded. */
const VARIANT_MAX_CHARACTERS = 256;
const LATE_MAX_MS = 86_400_000;
