import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { BROWSER_FLAGS, findBrowser, servePage } from "../support/browser.ts";
import type { Actions, Given } from "../support/page.ts";

const executablePath = findBrowser();
if (!executablePath) console.warn("No Chromium on PATH: the suite of the browser is skipped.");

describe.skipIf(!executablePath)("a page in a browser, from another origin", () => {
  let database: Awaited<ReturnType<typeof createDatabase>>;
  let app: TestApp;
  let browser: Browser;
  let site: Awaited<ReturnType<typeof servePage>>;
  let page: Page;
  const keys: Record<string, string> = {};

  beforeAll(async () => {
    database = await createDatabase();
    site = await servePage();
    app = await startTestApp(database, { settings: { CORS_ORIGINS: `https://app.example,${site.origin}` } });
    await app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } });
    const tenant = { displayName: "Acme", plan: "plans/basic", labels: { secret: "yes" } };
    await app.admin.tenants.createTenant({ tenantId: "acme", tenant, activate: true });
    await app.admin.tenants.placeLegalHold({ name: "tenants/acme", holdId: "case" });
    for (const role of ["client", "tenant.viewer"]) {
      const apiKey = { displayName: "k", role, scope: "tenants/acme" };
      keys[role] = (await app.admin.access.createApiKey({ apiKey })).secret;
    }
    browser = await chromium.launch({ executablePath: executablePath ?? "", args: BROWSER_FLAGS });
    page = await browser.newPage();
    await page.goto(site.origin);
    await page.waitForFunction(() => "actions" in globalThis);
  });
  afterAll(async () => {
    await browser?.close();
    await site.stop();
    await app.stop();
    await database.drop();
  });

  function act(action: keyof Actions, role: string, httpPort = app.httpPort): Promise<unknown> {
    const given: Given = { baseUrl: `http://127.0.0.1:${httpPort}`, apiKey: keys[role] ?? "" };
    return page.evaluate(
      ({ name, input }) => (globalThis as unknown as { actions: Actions }).actions[name](input) as Promise<unknown>,
      { name: action, input: given },
    );
  }

  it("reads its tenant over Connect with a key of the role client, which shows it nothing internal", async () => {
    expect(await act("read", "client")).toEqual({
      shown: ["Acme", {}, []],
      refused: "PERMISSION_DENIED",
      bad: ["name"],
    });
  });

  it("watches over a stream, and is told of a change as it happens", async () => {
    const watching = act("watch", "tenant.viewer");
    await page.waitForFunction(() => document.title === "seen 1");
    await app.admin.tenants.updateTenant({ tenant: { name: "tenants/acme", displayName: "Acme Two" } });
    expect(await watching).toEqual(["Acme", "Acme Two"]);
  });

  it("speaks gRPC-Web, with the status and its details from the trailers", async () => {
    expect(await act("grpcWeb", "tenant.viewer")).toEqual([1, "INVALID_FIELDS", true]);
  });

  it("reads the headers of a refusal, and is refused where its origin is not listed", async () => {
    expect(await act("plain", "client")).toEqual([400, "from-the-page"]);
    const own = await createDatabase();
    const closed = await startTestApp(own, { settings: { CORS_ORIGINS: "https://app.example" } });
    expect(await act("plain", "client", closed.httpPort)).toBe("refused");
    await closed.stop();
    await own.drop();
  });
});
