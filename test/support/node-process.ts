import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";

/** A node as a process of its own. */
export interface NodeProcess {
  readonly process: ChildProcess;
  readonly grpcPort: number;
  readonly httpPort: number;
  /** All that it has written so far. */
  written(): string;
  /** Resolves when it says that it is ready; rejects with its words when it ends before. */
  readonly ready: Promise<void>;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; out: string; err: string }>;
}

/** Starts `tenantplane serve` with some settings; ports that are not set are free ones. */
export async function startNode(settings: Record<string, string>): Promise<NodeProcess> {
  const [grpcPort, httpPort] = [
    Number(settings.GRPC_PORT ?? (await freePort())),
    Number(settings.HTTP_PORT ?? (await freePort())),
  ];
  const child = spawn(process.execPath, ["--conditions=source", "src/main.ts", "serve"], {
    env: {
      PATH: process.env.PATH,
      LOG_LEVEL: "warn",
      ...settings,
      GRPC_PORT: String(grpcPort),
      HTTP_PORT: String(httpPort),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  const ended = new Promise<Awaited<NodeProcess["ended"]>>((resolve) =>
    child.once("close", (code, signal) => resolve({ code, signal, out, err })),
  );
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (data: Buffer) => {
      out += data;
      if (out.includes("Tenantplane is ready.")) resolve();
    });
    child.stderr.on("data", (data: Buffer) => {
      err += data;
    });
    ended.then(({ code }) => reject(new Error(`it ended with ${code}: ${err}`)));
  });
  ready.catch(() => {});
  return { process: child, grpcPort, httpPort, written: () => out + err, ready, ended };
}

/** A port on loopback that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
