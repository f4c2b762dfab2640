import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openPostgres, PLATFORM_SCOPE, type Sql, writeAs } from "../../src/platform/postgres.ts";
import { createDatabase } from "../support/app.ts";
import { until } from "../support/until.ts";

/** Stands between the pool and Postgres, and can be cut. */
interface Proxy {
  readonly port: number;
  cut(): Promise<void>;
  mend(): Promise<void>;
}

async function startProxy(target: URL): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let server: Server;
  const listen = async (port: number) => {
    server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    }).listen(port, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    return (server.address() as AddressInfo).port;
  };
  const port = await listen(0);
  return {
    port,
    async cut() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    mend: async () => void (await listen(port)),
  };
}

const POOL_SIZE = 6;
let database: Awaited<ReturnType<typeof createDatabase>>;
let proxy: Proxy;
let sql: Sql;

beforeAll(async () => {
  database = await createDatabase();
  const url = new URL(database.url);
  proxy = await startProxy(new URL(database.url));
  url.port = String(proxy.port);
  url.hostname = "127.0.0.1";
  sql = openPostgres(url.href, { poolSize: POOL_SIZE });
});
afterAll(async () => {
  await sql.end({ timeout: 1 });
  await proxy.cut();
  await database.drop();
});

async function openTogether(): Promise<void> {
  let open = 0;
  const all = Promise.withResolvers<void>();
  const held = Array.from({ length: POOL_SIZE }, () =>
    writeAs(sql, PLATFORM_SCOPE, 60_000, async (tx) => {
      await tx`select 1`;
      open += 1;
      await all.promise;
    }),
  );
  await until(() => open === POOL_SIZE).finally(all.resolve);
  await Promise.all(held);
}

it("a pool that nobody waits for is as large as it was after its transactions have lost their database", async () => {
  const lost = Array.from({ length: POOL_SIZE }, () =>
    writeAs(sql, PLATFORM_SCOPE, 60_000, async (tx) => {
      await tx`select pg_sleep(5)`;
    }).then(
      () => "done",
      () => "lost",
    ),
  );
  const watcher = postgres(database.url, { max: 1 });
  await until(async () => {
    const [row] = await watcher`select count(*)::int as n from pg_stat_activity
      where datname = current_database() and state = 'active' and query like '%pg_sleep(5)%' and pid <> pg_backend_pid()`;
    return row?.n === POOL_SIZE;
  });
  await watcher.end();
  await proxy.cut();
  expect(await Promise.all(lost)).toEqual(Array.from({ length: POOL_SIZE }, () => "lost"));
  await proxy.mend();
  await openTogether();
});

// The driver as it is published writes to connections that are gone, which ends the process, and never uses them again.
it("a database that goes away in the middle of everything fails what is under way, and nothing after its return", async () => {
  let stopped = false;
  let [done, failed] = [0, 0];
  const work = async () => {
    while (!stopped) {
      await writeAs(sql, PLATFORM_SCOPE, 5_000, async (tx) => {
        await tx`select 1`;
        await Promise.all([tx`select 2`, tx`select 3`]);
        await tx`select pg_sleep(0.001)`;
      }).then(
        () => {
          done += 1;
        },
        async () => {
          failed += 1;
          await new Promise((resolve) => setTimeout(resolve, 10));
        },
      );
    }
  };
  const workers = Array.from({ length: 24 }, work);
  for (let round = 0; round < 6; round += 1) {
    const before = done;
    await until(() => done > before + 50);
    await proxy.cut();
    if (round % 2 === 1) {
      const refused = failed;
      await until(() => failed > refused);
    }
    await proxy.mend();
  }
  const before = done;
  await until(() => done > before + 200);
  stopped = true;
  await Promise.all(workers);
  expect(failed).toBeGreaterThan(6);
  // The pool is as large as it was: so many transactions are open at once.
  await openTogether();
});
