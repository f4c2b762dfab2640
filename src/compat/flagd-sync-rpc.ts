import { create, type JsonObject, toBinary } from "@bufbuild/protobuf";
import type { TenantFacts } from "@tenantplane/sdk/evaluate";
import { rememberBytes } from "@tenantplane/sdk/wire";
import type { Ctx } from "../context.ts";
import { factsFor } from "../flag/evaluate-rpc.ts";
import { versionFor } from "../flag/viewer.ts";
import { sleep } from "../platform/clock.ts";
import { type Mount, mount } from "../server/handlers.ts";
import { drainError, type FlagdDeps, identifyBySelector, requireTenant } from "./flagd-caller-rpc.ts";
import { providerDocument, syncContext } from "./flagd-document.ts";
import { changesFor, toldNow } from "./flagd-events-rpc.ts";
import {
  FlagSyncService,
  type SyncFlagsRequest,
  type SyncFlagsResponse,
  SyncFlagsResponseSchema,
} from "./gen/flagd/sync/v1/sync_pb.ts";

/** Providers that evaluate in process read the rules: it takes what our own protocol for that takes. */
const PERMISSION = "flags.watch";
/** Each document costs a provider a tenth of a millisecond a flag, in which it does nothing else. */
const SEND_EVERY_MS = 250;
/** Of this node's time, at most one part in so many goes into the documents of one tenant. */
const SHARE_OF_TIME = 10;
/** Not all providers are to come to the other nodes at once. */
const DRAIN_SPREAD_MS = 1_000;

/** The handlers of flagd's protocol for providers that evaluate in process. */
export function flagdSync(deps: FlagdDeps): Mount {
  const documents = createDocuments(deps);
  const tenantFor = (ctx: Ctx, request: object) => requireTenant(deps, ctx, PERMISSION, request);
  const handlers = mount(FlagSyncService, {
    syncFlags: (request, ctx) => syncFlags(deps, ctx, request, documents),
    fetchAllFlags: async (request, ctx) => {
      const { flagConfiguration } = documents(await tenantFor(ctx, request)).message;
      return { flagConfiguration };
    },
    getMetadata: async (request, ctx) => ({ metadata: syncContext(await tenantFor(ctx, request)) as JsonObject }),
  });
  return { ...handlers, identify: () => identifyBySelector };
}

/**
 * Streams the whole document at once, and again after every change. It never ends well: providers would take that for a
 * quiet stream, and keep their flags for ever.
 */
async function* syncFlags(
  deps: FlagdDeps,
  ctx: Ctx,
  request: SyncFlagsRequest,
  documents: Documents,
): AsyncGenerator<SyncFlagsResponse> {
  const { id } = await requireTenant(deps, ctx, PERMISSION, request);
  if (deps.draining.aborted) throw drainError();
  const over = AbortSignal.any([ctx.signal, deps.draining]);
  let sent = "";
  let nextAt = Number.NEGATIVE_INFINITY;
  const next = async () => {
    const { version, message, costMs } = documents(await factsFor(deps, ctx, id));
    if (version === sent) return undefined;
    sent = version;
    nextAt = deps.clock.monotonic() + Math.max(SEND_EVERY_MS, SHARE_OF_TIME * costMs);
    return message;
  };
  const changes = changesFor(deps, ctx, toldNow(deps, id));
  const first = await next();
  if (first) yield first;
  for await (const change of changes) {
    if (change === "nothing") continue;
    // An end is for the loop to see.
    await sleep(Math.max(0, nextAt - deps.clock.monotonic()), over).catch(() => {});
    const message = await next();
    if (message) yield message;
  }
  await sleep(deps.random() * DRAIN_SPREAD_MS, ctx.signal);
  throw drainError();
}

interface Document {
  readonly version: string;
  readonly message: SyncFlagsResponse;
  readonly characters: number;
  /** How long it took to make. */
  readonly costMs: number;
}

/** Gives the newest document of a tenant. */
type Documents = (facts: TenantFacts) => Document;

/** Characters of documents that are kept; above it, those that were asked for the longest ago are made anew. */
const KEPT_CHARACTERS = 64_000_000;

// A document is made and encoded once for all who watch the same tenant, however many come back at once.
function createDocuments(deps: Pick<FlagdDeps, "flags" | "clock">): Documents {
  const kept = new Map<string, Document>();
  let characters = 0;
  const forget = (tenantId: string) => {
    characters -= kept.get(tenantId)?.characters ?? 0;
    kept.delete(tenantId);
  };
  return (facts) => {
    const version = `${facts.state} ${versionFor(deps.flags, facts.id)}`;
    const known = kept.get(facts.id);
    forget(facts.id);
    const document = known?.version === version ? known : makeDocument(deps, facts, version);
    kept.set(facts.id, document);
    characters += document.characters;
    for (const tenantId of kept.keys()) {
      if (characters <= KEPT_CHARACTERS || tenantId === facts.id) break;
      forget(tenantId);
    }
    return document;
  };
}

function makeDocument(
  { flags, clock }: Pick<FlagdDeps, "flags" | "clock">,
  facts: TenantFacts,
  version: string,
): Document {
  const startedAt = clock.monotonic();
  const flagConfiguration = JSON.stringify(providerDocument(flags.replica.evaluator.lower(facts), facts.id));
  const message = create(SyncFlagsResponseSchema, { flagConfiguration, syncContext: syncContext(facts) as JsonObject });
  rememberBytes(message, toBinary(SyncFlagsResponseSchema, message));
  return { version, message, characters: flagConfiguration.length, costMs: clock.monotonic() - startedAt };
}
