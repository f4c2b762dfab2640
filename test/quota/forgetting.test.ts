import { afterAll, beforeAll, expect, it } from "vitest";
import { openPostgres, PLATFORM_SCOPE, type Sql, writeAs } from "../../src/platform/postgres.ts";
import { deleteOldPeriods } from "../../src/quota/allotment-store.ts";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { createPlatform, createTenant } from "./support/platform.ts";

let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
let sql: Sql;

beforeAll(async () => {
  database = await createDatabase();
  app = await startTestApp(database);
  sql = openPostgres(database.url, { poolSize: 1, role: "tenantplane_app" });
  await createPlatform(app);
});
afterAll(async () => {
  await sql.end();
  await app.stop();
  await database.drop();
});

it("old periods are forgotten, but not those that wait to be settled", async () => {
  await createTenant(app, "forgotten");
  const at = (text: string) => Date.parse(text);
  const left = await writeAs(sql, PLATFORM_SCOPE, 5_000, async (tx) => {
    await tx`insert into quota_holder (holder_uid, tenant_uid, epoch, opened_at)
      select uid, uid, 1, now() from tenant where tenant_id = 'forgotten'`;
    for (const [window, starts, ends] of [
      ["P1M:2020-01", "2020-01-01", "2020-02-01"],
      ["P1M:2020-02", "2020-02-01", "2020-03-01"],
      ["P1M:2020-03", "2020-03-01", "2020-04-01"],
    ] as const) {
      await tx`insert into allotment (holder_uid, field, start_mark, limit_id, window_id, ends_at, mark, epoch, opened_at,
          grant_number, base, given)
        select uid, 'm', ${at(starts)}, 'messages', ${window}, ${at(ends)}, ${at(starts)}, 1, now(), 1, 0, 0
        from tenant where tenant_id = 'forgotten'`;
    }
    await tx`insert into quota_period (tenant_uid, limit_id, window_id, starts_at, ends_at, base_amount, rollover_amount,
        revision)
      select uid, 'messages', 'P1M:2020-02', ${at("2020-02-01")}, ${at("2020-03-01")}, 0, 0, 1
      from tenant where tenant_id = 'forgotten'`;
    const count = await deleteOldPeriods(tx, 0, 100);
    const rows = await tx<{ windowId: string }[]>`select window_id as "windowId" from allotment order by start_mark`;
    return [count, rows.map(({ windowId }) => windowId)];
  });
  expect(left).toEqual([1, ["P1M:2020-02", "P1M:2020-03"]]);
});
