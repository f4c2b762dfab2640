import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./node-process.ts";

/** A Redis of its own, which keeps nothing when it ends. */
export interface RedisProcess {
  readonly process: ChildProcess;
  readonly port: number;
  readonly url: string;
}

/** Starts the machine's redis-server or valkey-server on loopback; undefined when it has none. */
export async function startRedisProcess(port?: number): Promise<RedisProcess | undefined> {
  const program = ["redis-server", "valkey-server"].find((name) =>
    (process.env.PATH ?? "").split(":").some((path) => existsSync(join(path, name))),
  );
  if (!program) return undefined;
  const chosen = port ?? (await freePort());
  const flags = ["--port", String(chosen), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const server = spawn(program, flags, { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((resolve, reject) => {
    server.once("exit", () => reject(new Error(`${program} ended at once`)));
    server.stdout?.on("data", (text: Buffer) => text.includes("Ready to accept connections") && resolve());
  });
  return { process: server, port: chosen, url: `redis://127.0.0.1:${chosen}` };
}
