// A process that holds many watch streams open, and tells when the last of them has heard.
import { type ClientHttp2Session, connect } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { WatchFlagsResponseSchema } from "@tenantplane/sdk/gen/tenantplane/v1/flag_watch_pb";
import {
  WatchTenantsResponse_Event_Kind as Kind,
  WatchTenantsResponseSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { obey } from "./obey.ts";

export type WatchOrder =
  /** Opens streams; answered when each has the whole initial state. */
  | {
      readonly do: "open";
      readonly what: keyof typeof WATCHES;
      readonly port: number;
      readonly key: string;
      readonly body: string;
      readonly streams: number;
    }
  /** Answered when every stream has heard of so many more changes. */
  | { readonly do: "await"; readonly changes: number };

export interface Heard {
  /** When the last stream heard the last change, in epoch milliseconds. */
  readonly at: number;
  /** Messages with changes to all streams meanwhile. */
  readonly messages: number;
}

/** How many changes a message tells of, and whether it ends the initial state. */
interface Told {
  readonly changes: number;
  readonly complete: boolean;
}

const WATCHES = {
  tenants: {
    path: "/tenantplane.v1.TenantService/WatchTenants",
    read(bytes: Buffer): Told {
      const { events, initialStateComplete } = fromBinary(WatchTenantsResponseSchema, bytes);
      return { changes: events.filter(({ kind }) => kind !== Kind.INITIAL).length, complete: initialStateComplete };
    },
  },
  flags: {
    path: "/tenantplane.v1.FlagService/WatchFlags",
    read(bytes: Buffer): Told {
      const { begin, puts, commit } = fromBinary(WatchFlagsResponseSchema, bytes);
      return { changes: begin && !begin.full ? puts.length : 0, complete: commit !== undefined };
    },
  },
};

/** A connection is one reader of the socket; so many streams on one are common behind proxies. */
const STREAMS_PER_CONNECTION = 100;

interface Watcher {
  changes: number;
  messages: number;
  complete: boolean;
}

const watchers: Watcher[] = [];
let check = () => {};

obey<WatchOrder>((order) => (order.do === "open" ? open(order) : hear(order.changes)));

async function open({ what, port, key, body, streams }: Extract<WatchOrder, { do: "open" }>): Promise<void> {
  let session: ClientHttp2Session | undefined;
  for (let stream = 0; stream < streams; stream += 1) {
    if (stream % STREAMS_PER_CONNECTION === 0) session = connect(`http://127.0.0.1:${port}`);
    if (session) watchers.push(watch(what, session, key, Buffer.from(body, "base64")));
  }
  await until(() => watchers.every((watcher) => watcher.complete));
}

async function hear(changes: number): Promise<Heard> {
  const before = watchers.map((watcher) => ({ ...watcher }));
  await until(() => watchers.every((watcher, index) => watcher.changes >= (before[index]?.changes ?? 0) + changes));
  const at = performance.timeOrigin + performance.now();
  const messages = watchers.reduce((sum, watcher, index) => sum + watcher.messages - (before[index]?.messages ?? 0), 0);
  return { at, messages };
}

function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    check = () => {
      if (!condition()) return;
      check = () => {};
      resolve();
    };
  });
}

function watch(what: keyof typeof WATCHES, session: ClientHttp2Session, key: string, body: Buffer): Watcher {
  const watcher: Watcher = { changes: 0, messages: 0, complete: false };
  const headers = { "content-type": "application/grpc", te: "trailers", authorization: `Bearer ${key}` };
  const stream = session.request({ ":method": "POST", ":path": WATCHES[what].path, ...headers });
  let rest: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = endOfMessage(rest); end <= rest.length; end = endOfMessage(rest)) {
      take(what, watcher, rest.subarray(5, end));
      rest = rest.subarray(end);
    }
    check();
  });
  stream.on("close", () => {
    process.stderr.write(`a watcher ended\n`);
    process.exit(1);
  });
  stream.end(body);
  return watcher;
}

function endOfMessage(bytes: Buffer): number {
  return bytes.length < 5 ? Number.POSITIVE_INFINITY : 5 + bytes.readUInt32BE(1);
}

let known: Told & { bytes: Buffer } = { bytes: Buffer.alloc(0), changes: 0, complete: false };

// All streams are sent the same messages: each is read once.
function take(what: keyof typeof WATCHES, watcher: Watcher, bytes: Buffer): void {
  if (!known.bytes.equals(bytes)) known = { bytes, ...WATCHES[what].read(bytes) };
  watcher.messages += known.changes > 0 ? 1 : 0;
  watcher.changes += known.changes;
  watcher.complete ||= known.complete;
}
