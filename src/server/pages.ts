import { sleep } from "../platform/clock.ts";
import type { Page } from "./http-listener.ts";

export interface PagesDeps {
  readonly metrics: () => Promise<string>;
  /** What a node can't do without: one that fails makes it not ready. */
  readonly checks: Readonly<Record<string, () => PromiseLike<unknown>>>;
  /** What is worth telling of a node that works on without it. */
  readonly notes: Readonly<Record<string, () => Promise<string>>>;
  readonly draining: () => boolean;
  /** The release. */
  readonly version: string;
}

/** Whether a node can serve, with the outcome of each check. */
export async function readiness(deps: Pick<PagesDeps, "checks" | "draining">) {
  const results = await Promise.all(Object.entries(deps.checks).map(([name, check]) => outcome(name, check)));
  if (deps.draining()) results.push({ name: "draining", ok: false });
  return { ok: results.every((result) => result.ok), results };
}

/** Answers /livez, /readyz (with ?verbose each check and note by name), /metrics and /version; none needs a key. */
export function createPages(deps: PagesDeps): (path: string, query: URLSearchParams) => Promise<Page | undefined> {
  return async (path, query) => {
    if (path === "/livez") return text(200, "ok\n");
    if (path === "/metrics") return { status: 200, type: "text/plain; version=0.0.4", body: await deps.metrics() };
    if (path === "/version") {
      return {
        status: 200,
        type: "application/json",
        body: `${JSON.stringify({ name: "tenantplane", version: deps.version })}\n`,
      };
    }
    if (path !== "/readyz") return undefined;
    const { ok, results } = await readiness(deps);
    if (!query.has("verbose")) return text(ok ? 200 : 503, ok ? "ok\n" : "not ready\n");
    const notes = await Promise.all(Object.entries(deps.notes).map(([name, note]) => noteLine(name, note)));
    const lines = results.map((result) => `[${result.ok ? "+" : "-"}] ${result.name}\n`);
    return text(ok ? 200 : 503, [...lines, ...notes, ok ? "ready\n" : "not ready\n"].join(""));
  };
}

function text(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body };
}

async function outcome(name: string, check: () => PromiseLike<unknown>): Promise<{ name: string; ok: boolean }> {
  return inTime(check()).then(
    () => ({ name, ok: true }),
    () => ({ name, ok: false }),
  );
}

/** A part that takes longer can't be relied on, and a prober has left. */
const CHECK_TIMEOUT_MS = 2_000;

async function inTime<T>(answer: PromiseLike<T>): Promise<T> {
  const over = new AbortController();
  const late = sleep(CHECK_TIMEOUT_MS, over.signal).then(() => Promise.reject(new Error("timed out")));
  late.catch(() => {});
  return Promise.race([answer, late]).finally(() => over.abort());
}

async function noteLine(name: string, note: () => Promise<string>): Promise<string> {
  return inTime(note()).then(
    (told) => `[i] ${name}: ${told}\n`,
    () => `[!] ${name}: can't be reached; the node works on without it\n`,
  );
}
