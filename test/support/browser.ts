import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";

/** The Chromium of this machine; undefined when it has none, and the suite that needs it is skipped. */
export function findBrowser(): string | undefined {
  const folders = (process.env.PATH ?? "").split(":");
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
  if (!found && process.env.CI === "true") throw new Error("CI has no Chromium");
  return found;
}

/** Nothing but what the page asks for: no look-ups, no updates, no graphics card. */
export const BROWSER_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Serves page.ts with the SDK's web entry, as its sources are, and what that depends on. No bundler. */
export async function servePage(): Promise<{ origin: string; stop(): Promise<void> }> {
  const imports = Object.fromEntries([
    ["@tenantplane/sdk/web", "/sdk/src/web.ts"],
    ["@tenantplane/sdk/gen/tenantplane/v1/tenant_pb", "/sdk/src/gen/tenantplane/v1/tenant_pb.ts"],
    ...["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web"].flatMap(entriesOf),
  ]);
  const page = `<!doctype html><title>page</title>
    <script type="importmap">${JSON.stringify({ imports })}</script>
    <script type="module" src="/test/support/page.ts"></script>`;
  const server = createServer((request, response) => {
    const path = request.url ?? "/";
    if (path === "/") return response.setHeader("content-type", "text/html").end(page);
    if (!/^\/(sdk\/src|node_modules|test\/support)\/[\w@./-]+\.(ts|js)$/.test(path) || path.includes("..")) {
      return response.writeHead(404).end();
    }
    const text = readFileSync(`.${path}`, "utf8");
    response.setHeader("content-type", "text/javascript");
    return response.end(path.endsWith(".ts") ? stripTypeScriptTypes(text) : text);
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    origin: `http://localhost:${port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

function entriesOf(name: string): [string, string][] {
  const { exports } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")) as {
    exports: Record<string, { import?: string }>;
  };
  return Object.entries(exports).flatMap(([entry, targets]): [string, string][] => {
    const target = targets.import;
    return target?.endsWith(".js") ? [[name + entry.slice(1), `/node_modules/${name}/${target.slice(2)}`]] : [];
  });
}
