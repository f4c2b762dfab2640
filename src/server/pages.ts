import type { Page } from "./http-listener.ts";

export interface PagesDeps {
  readonly metrics: () => Promise<string>;
  readonly checks: Readonly<Record<string, () => PromiseLike<unknown>>>;
  readonly draining: () => boolean;
}

/** Answers /livez, /readyz (with ?verbose each check by name) and /metrics; none needs a key. */
export function createPages(deps: PagesDeps): (path: string, query: URLSearchParams) => Promise<Page | undefined> {
  return async (path, query) => {
    if (path === "/livez") return text(200, "ok\n");
    if (path === "/metrics") return { status: 200, type: "text/plain; version=0.0.4", body: await deps.metrics() };
    if (path !== "/readyz") return undefined;
    const results = await Promise.all(Object.entries(deps.checks).map(([name, check]) => outcome(name, check)));
    if (deps.draining()) results.push({ name: "draining", ok: false });
    const ok = results.every((result) => result.ok);
    const lines = results.map((result) => `[${result.ok ? "+" : "-"}] ${result.name}\n`).join("");
    return text(
      ok ? 200 : 503,
      query.has("verbose") ? `${lines}${ok ? "ready" : "not ready"}\n` : ok ? "ok\n" : "not ready\n",
    );
  };
}

function text(status: number, body: string): Page {
  return { status, type: "text/plain; charset=utf-8", body };
}

async function outcome(name: string, check: () => PromiseLike<unknown>): Promise<{ name: string; ok: boolean }> {
  return check().then(
    () => ({ name, ok: true }),
    () => ({ name, ok: false }),
  );
}
