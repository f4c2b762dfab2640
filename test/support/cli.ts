import { type ChildProcess, spawn } from "node:child_process";
import { vi } from "vitest";
import { runCli } from "../../src/cli/cli.ts";

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process: the same as its own process, without the wait for one. One at a time. */
export async function run(args: readonly string[], environment: Record<string, string> = {}): Promise<Outcome> {
  const [out, err] = [capture(process.stdout), capture(process.stderr)];
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    return { code: await runCli(args), out: out.text(), err: err.text() };
  } finally {
    process.exitCode = before;
    vi.unstubAllEnvs();
    out.restore();
    err.restore();
  }
}

function capture(stream: NodeJS.WriteStream) {
  let text = "";
  const spy = vi.spyOn(stream, "write").mockImplementation((chunk, encoding, callback) => {
    text += String(chunk);
    (typeof encoding === "function" ? encoding : callback)?.(null);
    return true;
  });
  return { text: () => text, restore: () => spy.mockRestore() };
}

/** A command in a process of its own. */
export interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<Outcome>;
  /** Standard output until now. */
  out(): string;
  /** Resolves when standard output or error has matched. */
  until(pattern: RegExp): Promise<void>;
}

/** Starts the command as its user would, by its launcher; or without it, to kill the command itself. */
export function start(
  args: readonly string[],
  environment: Record<string, string>,
  { launcher = true }: { launcher?: boolean } = {},
): Running {
  const words = launcher
    ? ["src/cli/tenantplane.js"]
    : ["node_modules/.bin/node", "--conditions=source", "src/main.ts"];
  const [program = "", ...before] = words;
  const child = spawn(program, [...before, ...args], {
    env: { PATH: process.env.PATH ?? "", ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  const waiting = new Set<() => void>();
  const hear = (heard: () => void) => {
    heard();
    for (const look of waiting) look();
  };
  child.stdout.on("data", (chunk) => hear(() => (out += String(chunk))));
  child.stderr.on("data", (chunk) => hear(() => (err += String(chunk))));
  const ended = new Promise<Outcome>((resolve) => {
    child.once("close", (code) => resolve({ code: code ?? -1, out, err }));
  });
  return {
    process: child,
    ended,
    out: () => out,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!pattern.test(`${out}\n${err}`)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        ended.then(({ err: said }) => reject(new Error(`ended without ${pattern}: ${said}`)));
        look();
      }),
  };
}
