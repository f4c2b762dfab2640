import type { JsonObject } from "@bufbuild/protobuf";
import type { Position } from "../change/store.ts";
import type { Ctx } from "../context.ts";
import { DomainError } from "../errors.ts";
import type { Step } from "../flag/journal.ts";
import { versionFor, viewFor } from "../flag/viewer.ts";
import { createAlarm } from "../flag/watch-rpc.ts";
import { drainError, type FlagdDeps, tenantOf } from "./flagd-caller-rpc.ts";
import { EVALUATE } from "./flagd-resolve-rpc.ts";

interface Event {
  readonly type: string;
  readonly data?: JsonObject;
}

/** As flagd has it: below the idle limit of proxies. */
const KEEP_ALIVE_MS = 20_000;
/** Streams of nobody in particular; providers that are known by a selector open such ones. */
const NOBODYS_MAX = 20_000;

/**
 * Makes the event stream: when to ask anew. A caller that is not known, or whose tenant is not, is told that it is
 * connected and nothing of any flag. It never ends well: providers would take that for a quiet stream.
 */
export function createFlagEvents(deps: FlagdDeps): (ctx: Ctx) => AsyncGenerator<Event> {
  let nobodys = 0;
  return async function* (ctx) {
    if (ctx.principal.bindings.length > 0) return yield* events(deps, ctx, await tenantOf(deps, ctx, EVALUATE));
    if (nobodys >= NOBODYS_MAX) throw new DomainError("OVERLOADED", "too many event streams without credentials");
    nobodys += 1;
    try {
      yield* events(deps, ctx, undefined);
    } finally {
      nobodys -= 1;
    }
  };
}

async function* events(deps: FlagdDeps, ctx: Ctx, tenantId: string | undefined): AsyncGenerator<Event> {
  if (deps.draining.aborted) throw drainError();
  const changes = changesFor(deps, ctx, toldNow(deps, tenantId));
  const name = createNamer(deps, ctx, tenantId ?? "");
  yield { type: "provider_ready" };
  for await (const change of changes) yield change === "nothing" ? { type: "keep_alive" } : name(change);
  yield { type: "provider_shutdown" };
  throw drainError();
}

/** What changed for a tenant: the steps since the last time, or undefined for everything; "nothing" when it is time to say so. */
export type Change = { readonly steps: readonly Step[] | undefined } | "nothing";

/** Up to where a caller has been told of a tenant's evaluations. */
export interface Told {
  readonly tenantId: string | undefined;
  readonly version: string;
  readonly position: Position;
}

/** Where a caller is who is told everything now; to be taken before it is told. */
export function toldNow({ flags }: Pick<FlagdDeps, "flags">, tenantId: string | undefined): Told {
  const version = tenantId === undefined ? "" : versionFor(flags, tenantId);
  return { tenantId, version, position: flags.position() };
}

/** Yields what changes in a tenant's evaluations until the node stops; without a tenant, only that nothing does. */
export async function* changesFor(
  deps: Pick<FlagdDeps, "flags" | "draining">,
  { signal }: Pick<Ctx, "signal">,
  start: Told,
): AsyncGenerator<Change> {
  const over = AbortSignal.any([signal, deps.draining]);
  const alarm = createAlarm(deps.flags, over, KEEP_ALIVE_MS);
  let told = start;
  try {
    alarm.restart();
    while (!over.aborted) {
      const last = told;
      told = toldNow(deps, start.tenantId);
      if (told.version !== last.version || alarm.isDue()) {
        alarm.restart();
        yield told.version === last.version ? "nothing" : { steps: deps.flags.journal().after(last.position) };
      } else await alarm.ringing();
    }
  } finally {
    alarm.close();
  }
}

/** Tells of each change which of the caller's flags it may concern. */
function createNamer({ flags }: FlagdDeps, { principal }: Ctx, tenantId: string) {
  const keysNow = () => {
    const facts = flags.replica.facts(tenantId);
    return facts ? viewFor(flags, principal, facts).keys() : [];
  };
  let keys = keysNow();
  return ({ steps }: Exclude<Change, "nothing">): Event => {
    const before = setOf(keys);
    keys = keysNow();
    const now = setOf(keys);
    const known = (key: string) => before.has(key) || now.has(key);
    const named = steps && namesOf(steps, tenantId);
    const entries = (named ?? [...before.union(now)])
      .filter(known)
      .map((key) => [key, { type: now.has(key) ? (before.has(key) ? "update" : "write") : "delete" }]);
    return { type: "configuration_change", data: { flags: Object.fromEntries(entries) } };
  };
}

// The flags that steps name; undefined when they concern all: a segment, a group, the tenant's facts.
function namesOf(steps: readonly Step[], tenantId: string): string[] | undefined {
  const keys = new Set<string>();
  for (const { ids, patches } of steps) {
    if (patches.length > 0) return undefined;
    for (const { kind, key } of ids) {
      if (kind === "flag") keys.add(key);
      else if (kind === "override") {
        if (key.startsWith(`${tenantId}/`)) keys.add(key.slice(tenantId.length + 1));
      } else if (kind !== "tenant" || key === tenantId) return undefined;
    }
  }
  return [...keys];
}

const sets = new WeakMap<readonly string[], ReadonlySet<string>>();

// The same list is shown to all who may see the same.
function setOf(keys: readonly string[]): ReadonlySet<string> {
  const known = sets.get(keys) ?? new Set(keys);
  sets.set(keys, known);
  return known;
}
