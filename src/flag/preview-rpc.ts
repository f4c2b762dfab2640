import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { parseId } from "../aip/name.ts";
import { invalidField } from "../errors.ts";
import type { Handlers } from "../server/handlers.ts";
import type { FlagRpcDeps } from "./base-rpc.ts";
import { fromDefinition } from "./definition-rpc.ts";
import { factsFor } from "./evaluate-rpc.ts";
import { toEvaluation } from "./evaluation-rpc.ts";
import { keyOf } from "./name-rpc.ts";
import { flagPatchOf } from "./parse-rpc.ts";
import { draftEvaluator } from "./preview-service.ts";

/** The handler of FlagService that tries a draft out. */
export function previewRpc(deps: FlagRpcDeps): Pick<Handlers<typeof FlagService>, "previewFlag"> {
  return {
    previewFlag: async ({ draft, subjects }, ctx) => {
      const { flag, updateMask } = draft ?? {};
      if (!flag) throw invalidField("draft.flag", "must be set");
      if (subjects.length === 0 || subjects.length > SUBJECTS_MAX) {
        throw invalidField("subjects", `must be 1 to ${SUBJECTS_MAX}`);
      }
      const key = keyOf(flag.name, "flags", "draft.flag.name");
      const patch = flagPatchOf(flag, updateMask?.paths, "draft.flag");
      const tenantIds = subjects.map(({ tenant }, index) => parseId(tenant, "tenants", `subjects[${index}].tenant`));
      const { kind } = fromDefinition(flag);
      const drafted = await draftEvaluator(deps, ctx, { key, patch, kind }, new Set(tenantIds));
      const now = deps.clock.now();
      const outcomes = [];
      for (const [index, { context = {} }] of subjects.entries()) {
        const facts = await factsFor(deps, ctx, tenantIds[index] ?? "");
        const before = deps.flags.replica.evaluator.evaluate(key, context, facts, now);
        const after = drafted.evaluate(key, context, facts, now);
        const changed = JSON.stringify(before.value) !== JSON.stringify(after.value);
        outcomes.push({ before: toEvaluation(key, before), after: toEvaluation(key, after), changed });
      }
      return { outcomes, changedCount: outcomes.filter(({ changed }) => changed).length };
    },
  };
}

/** As AIP-231 has it. */
const SUBJECTS_MAX = 1_000;
