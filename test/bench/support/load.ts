// A process that makes unary calls over HTTP/2 as fast as they are answered. It speaks gRPC and Connect by hand, so that
// the load is lighter than the server, and takes the place of h2load where that can't send what is asked.
import { type ClientHttp2Session, connect } from "node:http2";
import { obey } from "./obey.ts";
import { quantile } from "./report.ts";

export interface Load {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Bodies in base64, used in turn. */
  readonly bodies: readonly string[];
  /** For so long, or else each body once. */
  readonly seconds: number | undefined;
  readonly connections: number;
  /** Calls under way at once on each connection. */
  readonly streams: number;
}

export interface LoadResult {
  readonly calls: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

obey<Load>(run);

async function run(load: Load): Promise<LoadResult> {
  const bodies = load.bodies.map((text) => Buffer.from(text, "base64"));
  const sessions = Array.from({ length: load.connections }, () => connect(`http://127.0.0.1:${load.port}`));
  const headers = { ":method": "POST", ":path": load.path, te: "trailers", ...load.headers };
  const times: number[] = [];
  const startedAt = performance.now();
  const endsAt = load.seconds === undefined ? Number.POSITIVE_INFINITY : startedAt + load.seconds * 1_000;
  let next = 0;
  const worker = async (session: ClientHttp2Session) => {
    while (performance.now() < endsAt && (load.seconds !== undefined || next < bodies.length)) {
      const body = bodies[next++ % bodies.length] ?? Buffer.alloc(0);
      const at = performance.now();
      await call(session, headers, body);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(sessions.flatMap((session) => Array.from({ length: load.streams }, () => worker(session))));
  const seconds = (performance.now() - startedAt) / 1_000;
  for (const session of sessions) session.close();
  return {
    calls: times.length,
    perSecond: times.length / seconds,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  };
}

function call(session: ClientHttp2Session, headers: Record<string, string>, body: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers);
    let status = "";
    stream.on("response", (found) => {
      status = found[":status"] === 200 ? String(found["grpc-status"] ?? "0") : `HTTP ${found[":status"]}`;
    });
    stream.on("trailers", (found) => {
      status = String(found["grpc-status"] ?? status);
    });
    stream.on("error", reject);
    stream.on("close", () =>
      status === "0" ? resolve() : reject(new Error(`answered ${status} by ${headers[":path"]}`)),
    );
    stream.resume();
    stream.end(body);
  });
}
