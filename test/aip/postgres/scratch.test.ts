import { Code, ConnectError } from "@connectrpc/connect";
import { it } from "vitest";
import { createDatabase, startTestApp } from "../../support/app.ts";

const show = (p: Promise<unknown>) =>
  p.then(
    (v) => `ok ${JSON.stringify(v, (_, x) => (typeof x === "bigint" ? String(x) : x)).slice(0, 120)}`,
    (e) => {
      const c = ConnectError.from(e);
      return `${Code[c.code]} ${c.message.slice(0, 200)}`;
    },
  );
it("scratch", async () => {
  const db = await createDatabase();
  const app = await startTestApp(db);
  const out: string[] = [];
  out.push(await show(app.admin.plans.createPlan({ planId: "basic", plan: { displayName: "Basic" } })));
  for (const filter of [
    "constructor = x",
    'display_name = "a\0b"',
    "create_time > 0000-01-01T00:00:00Z",
    'create_time > "2026-01-01 (note)"',
  ])
    out.push(`${JSON.stringify(filter)}: ${await show(app.admin.tenants.listTenants({ filter }))}`);
  out.push("audit before: " + (await show(app.admin.audit.listAuditEntries({}))));
  out.push(
    "create: " +
      (await show(
        app.admin.tenants.createTenant({
          tenantId: "acme",
          tenant: { displayName: "A", plan: "plans/basic", labels: { constructor: "x" } },
        }),
      )),
  );
  out.push(
    "update: " +
      (await show(
        app.admin.tenants.updateTenant({
          tenant: { name: "tenants/acme", labels: { team: "x" } },
          updateMask: { paths: ["labels"] },
        }),
      )),
  );
  out.push("audit after: " + (await show(app.admin.audit.listAuditEntries({}))));
  out.push(
    "bad labels: " +
      (
        await show(
          app.admin.tenants.createTenant({
            tenantId: "acme2",
            tenant: {
              displayName: "A",
              plan: "plans/basic",
              labels: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`K${i}${"x".repeat(60)}`, "v"])),
            },
          }),
        )
      ).then((s) => `${s.length}`),
  );
  console.log(out.join("\n"));
  await app.stop?.();
  await db.drop();
}, 60000);
