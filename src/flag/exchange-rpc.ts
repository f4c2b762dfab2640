import { importFlagd } from "@tenantplane/sdk/evaluate";
import type { FlagService } from "@tenantplane/sdk/gen/tenantplane/v1/flag_pb";
import { checkText } from "../aip/name.ts";
import { invalidField, invalidFields, Problems } from "../errors.ts";
import type { Handlers } from "../server/handlers.ts";
import { type FlagRpcDeps, revisionOf } from "./base-rpc.ts";
import { readDefinitions } from "./export-service.ts";
import { flagName } from "./flag.ts";
import { toFlagd } from "./flagd.ts";
import { type ImportInput, importFlags } from "./import-service.ts";
import { manifestOf } from "./manifest.ts";
import { checkKey, keyOf } from "./name-rpc.ts";
import { readAllFlags } from "./service.ts";

/** The handlers of FlagService that bring flags in and out. */
export function exchangeRpc(
  deps: FlagRpcDeps,
): Pick<Handlers<typeof FlagService>, "importFlags" | "exportFlags" | "exportFlagManifest"> {
  return {
    importFlags: async ({ flagdJson, existing, owner }, ctx) => {
      const problems = new Problems();
      checkText(problems, "owner", owner, 0, 254);
      const policy = EXISTING[existing];
      if (!policy) problems.add("existing", "must be REFUSE, OVERWRITE or KEEP");
      problems.throwIfAny();
      const { flags, segments } = readFlagd(deps, flagdJson);
      const done = await importFlags(deps, ctx, { flags, segments, existing: policy ?? "REFUSE", owner });
      const { created, updated, kept } = done.value;
      return { createdNames: created, updatedNames: updated, keptNames: kept, revision: revisionOf(deps, done) };
    },
    exportFlags: async function* ({ flags, tenant }, ctx) {
      if (tenant !== "") throw invalidField("tenant", "flags are exported as the platform has them");
      const keys = flags.map((name, index) => keyOf(name, "flags", `flags[${index}]`));
      const definitions = await readDefinitions(deps, ctx, keys);
      const { document, omissions } = toFlagd(definitions.flags, definitions.segments);
      for (const flagdJson of pieces(JSON.stringify(document, undefined, 2))) yield { flagdJson };
      yield { omissions: omissions.map(({ flag, reason }) => ({ flag: flagName(flag), reason })) };
    },
    exportFlagManifest: async function* ({ filter }, ctx) {
      const flags = await readAllFlags(deps, ctx, filter);
      for (const manifestJson of pieces(JSON.stringify(manifestOf(flags), undefined, 2))) yield { manifestJson };
    },
  };
}

const EXISTING: Readonly<Record<number, ImportInput["existing"]>> = {
  0: "REFUSE",
  1: "REFUSE",
  2: "OVERWRITE",
  3: "KEEP",
};

/** What one transaction writes in a few seconds. */
const IMPORT_MAX = 1_000;

// What flagd inherits of the set, each flag gets for its own: here flags come from more than one set.
function readFlagd(deps: FlagRpcDeps, text: string): Pick<ImportInput, "flags" | "segments"> {
  const { flags, segments, metadata = {}, problems } = importFlagd(parseJson(text), "daemon", { regex: deps.regex });
  if (problems.length > 0) {
    throw invalidFields(problems.map(({ field, description }) => ({ field: `flagd_json.${field}`, description })));
  }
  const count = flags.length + segments.length;
  if (count === 0 || count > IMPORT_MAX) {
    throw invalidField("flagd_json", `must have 1 to ${IMPORT_MAX} flags and evaluators`);
  }
  const own = flags.map((flag) => {
    const facts = { ...metadata, ...flag.metadata };
    return {
      ...flag,
      key: checkKey(flag.key ?? "", "flagd_json"),
      ...(Object.keys(facts).length > 0 ? { metadata: facts } : {}),
    };
  });
  for (const { key } of segments) checkKey(key, "flagd_json");
  return { flags: own, segments };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidField("flagd_json", "must be JSON");
  }
}

/** A piece of a document, well below what a message may have. */
const PIECE_CHARACTERS = 256_000;

function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    // Not within a surrogate pair: half of one is no text.
    const cut = at + PIECE_CHARACTERS;
    const end = /[\uDC00-\uDFFF]/.test(text.charAt(cut)) ? cut + 1 : cut;
    yield text.slice(at, end);
    at = end;
  }
}
