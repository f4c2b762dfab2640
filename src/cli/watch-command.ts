import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  WatchTenantsResponse_Event_Kind as Kind,
  type WatchTenantsResponse,
  WatchTenantsResponseSchema,
  watchTenants,
} from "@tenantplane/sdk";
import type { Command } from "commander";
import { online, type Session } from "./client.ts";
import { note, printable, printJson, write } from "./output.ts";
import { untilStopped } from "./stop-signals.ts";
import { keyOf, stateText } from "./tenant-table.ts";

interface WatchOptions {
  readonly filter: string;
  readonly resume: string;
  readonly initial: boolean;
}

/** Adds the command that prints tenants as they change. */
export function addWatchCommand(program: Command): void {
  program
    .command("watch")
    .description(
      "Print tenants, then every change to them as it happens, until Ctrl-C. Outlives restarts of the server.",
    )
    .option("--filter <filter>", "as for `tenants list`; tenants that stop to match are printed as REMOVED", "")
    .option("--resume <token>", "go on after the message with this resume token", "")
    .option("--no-initial", "leave out what is there already")
    .addHelpText("after", EXAMPLE)
    .action(online((session, options: WatchOptions) => untilStopped((stop) => watch(session, options, stop))));
}

async function watch({ clients, json }: Session, { filter, resume, initial }: WatchOptions, stop: AbortSignal) {
  // A token that is too old starts over, which the message tells: better than to stay away.
  const request = { filter, resumeToken: resume, resyncOnCompaction: true };
  let token = resume;
  try {
    for await (const message of watchTenants(clients.tenants, request, stop)) {
      const events = initial ? message.events : message.events.filter(({ kind }) => kind !== Kind.INITIAL);
      if (json) await printJson(WatchTenantsResponseSchema, [{ ...message, events }]);
      else await printLines({ ...message, events });
      token = message.resumeToken || token;
    }
  } catch (error) {
    if (!stop.aborted) throw error;
  }
  if (token !== "") note(`Go on with: --resume ${token}`);
}

const EXAMPLE = `
With --json each message of the server is a line: its events belong together, and its resumeToken goes on after them.

Examples:
  tenantplane watch --filter 'state = SUSPENDED'
  tenantplane watch --no-initial --json | jq -c '.events[]? | [.kind, .tenant.name, .tenant.state]'`;

async function printLines({ events, initialStateComplete, resync }: WatchTenantsResponse): Promise<void> {
  if (resync) note("The server starts over: forget what was printed above.");
  const lines = events.flatMap(({ kind, tenant }) => {
    if (!tenant) return [];
    const at = tenant.updateTime ? timestampDate(tenant.updateTime).toISOString() : "";
    const words = [at, keyOf(Kind, kind).padEnd(KIND_WIDTH), tenant.name, stateText(tenant), tenant.plan];
    return [`${printable(words.join("  "))}\n`];
  });
  if (lines.length > 0) await write(lines.join(""));
  if (initialStateComplete) note("That is all there is now; changes follow. Ctrl-C ends.");
}

/** The longest is INITIAL, as long as UPDATED and REMOVED. */
const KIND_WIDTH = 7;
