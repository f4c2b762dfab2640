// A process that calls one unary RPC as fast as it is answered, and reports how fast that was.
import * as grpc from "@grpc/grpc-js";

export interface Load {
  readonly address: string;
  readonly key: string;
  readonly path: string;
  /** Encoded requests in base64, used in turn. */
  readonly requests: readonly string[];
  /** Send each request once, rather than for some seconds. */
  readonly once: boolean;
  readonly seconds: number;
  readonly concurrency: number;
}

export interface Result {
  readonly calls: number;
  readonly perSecond: number;
  readonly p99Ms: number;
}

process.once("message", (load) => {
  void run(load as Load).then((result) => {
    process.send?.(result);
    process.disconnect?.();
  });
});

async function run(load: Load): Promise<Result> {
  const client = new grpc.Client(load.address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${load.key}`);
  const requests = load.requests.map((text) => Buffer.from(text, "base64"));
  const same = (bytes: Buffer) => bytes;
  const call = (request: Buffer) =>
    new Promise<void>((done, fail) => {
      client.makeUnaryRequest(load.path, same, same, request, metadata, (error) => (error ? fail(error) : done()));
    });
  if (!load.once) await Promise.all(requests.slice(0, load.concurrency).map(call));
  const times: number[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + load.seconds * 1_000;
  let next = 0;
  const worker = async () => {
    while (performance.now() < endsAt && !(load.once && next >= requests.length)) {
      const request = requests[next++ % requests.length];
      if (!request) return;
      const at = performance.now();
      await call(request);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: load.concurrency }, worker));
  const seconds = (performance.now() - startedAt) / 1_000;
  client.close();
  times.sort((a, b) => a - b);
  const p99 = times[Math.floor(times.length * 0.99)] ?? 0;
  return { calls: times.length, perSecond: Math.round(times.length / seconds), p99Ms: Number(p99.toFixed(2)) };
}
