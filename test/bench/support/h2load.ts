import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import type { Measures } from "./bench.ts";
import type { Load, LoadResult } from "./load.ts";
import type { Place, Server } from "./place.ts";
import { quantile } from "./report.ts";

const PROGRAM = (process.env.PATH ?? "")
  .split(":")
  .map((folder) => `${folder}/h2load`)
  .find((file) => existsSync(file));

/** Puts load on a server, and measures both sides: the calls, and the processor time that each costs the server. */
export async function measureCalls(place: Place, server: Server, load: Load): Promise<Measures> {
  const before = await server.ask<number>({ do: "cpu" });
  const { calls, perSecond, p50Ms, p99Ms } = await putLoad(place, load);
  const cpuUs = (await server.ask<number>({ do: "cpu" })) - before;
  return { "calls/s": perSecond, "p50 ms": p50Ms, "p99 ms": p99Ms, "CPU µs/call": cpuUs / calls };
}

/**
 * Puts load on a server from a process of its own: Debian's h2load where it is installed and can, since it takes the least
 * of the machine from the server, else ours.
 */
async function putLoad(place: Place, load: Load): Promise<LoadResult> {
  const child = place.start("load.ts");
  try {
    // It takes one body, and whole seconds.
    const fits = load.bodies.length === 1 && Number.isInteger(load.seconds);
    if (!PROGRAM || load.seconds === undefined || !fits) return await child.ask(load);
    // One call of ours first: h2load sees the status of HTTP alone, and that is 200 for refused calls of gRPC too.
    await child.ask({ ...load, seconds: undefined, connections: 1, streams: 1 });
    return await runH2load(PROGRAM, place, load, load.seconds);
  } finally {
    await child.stop();
  }
}

async function runH2load(program: string, place: Place, load: Load, seconds: number): Promise<LoadResult> {
  const [body, log] = [place.file(), place.file()];
  writeFileSync(body, Buffer.from(load.bodies[0] ?? "", "base64"));
  const headers = Object.entries({ te: "trailers", ...load.headers }).flatMap(([name, value]) => [
    "-H",
    `${name}: ${value}`,
  ]);
  const numbers = ["-D", String(seconds), "-c", String(load.connections), "-m", String(load.streams), "-t", "1"];
  const address = `http://127.0.0.1:${load.port}${load.path}`;
  await promisify(execFile)(program, [...numbers, ...headers, "-d", body, `--log-file=${log}`, address]);
  // Start in microseconds, status, microseconds to the end of the answer.
  const rows = readFileSync(log, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t").map(Number));
  const failed = rows.find(([, status]) => status !== 200);
  if (failed) throw new Error(`h2load was answered ${failed[1]} by ${load.path}`);
  const times = rows.map(([, , us = 0]) => us / 1_000);
  return {
    calls: rows.length,
    perSecond: rows.length / seconds,
    p50Ms: quantile(times, 0.5),
    p99Ms: quantile(times, 0.99),
  };
}
