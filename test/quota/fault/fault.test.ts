import { afterEach, describe, expect, it } from "vitest";
import { PLATFORM_SCOPE, readAs } from "../../../src/platform/postgres.ts";
import { selectUsedInWindow } from "../../../src/quota/ledger-store.ts";
import { testRedisUrl } from "../../support/redis.ts";
import { seeded } from "../../support/seeded.ts";
import { until } from "../../support/until.ts";
import type { Design } from "./server.ts";
import { type Server, startWorld, type World } from "./world.ts";

/*
 * One hard limit, many callers, and everything that can be lost is lost under them; what was admitted is counted where it
 * was asked for. Small here: FAULT_ROUNDS=10 breaks each thing ten times. FAULT_DESIGN=plain or no-fence runs a design that
 * lacks something, and must fail: see designs.ts.
 */
const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 1);
const DESIGN = (process.env.FAULT_DESIGN ?? "allotment") as Design;
const SEED = Number(process.env.SEED ?? Date.now());
const CALLERS = 16;
/** Between two questions of a caller. */
const PAUSE_MS = 10;
/** Between two faults: some hundred checks of all callers. */
const CALM_MS = 400;
/** By then no answer of an epoch that has ended is on its way. */
const SETTLED_MS = 2_200;

const hasRedis = testRedisUrl() !== undefined;
if (!hasRedis) console.warn("No Redis: nothing of it can be lost, and the fault tests are skipped.");
const random = seeded(SEED);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const pick = (servers: readonly Server[]) => servers[Math.floor(random() * servers.length)] as Server;
const count = (text: string | undefined, letter: string) => (text ?? "").split(letter).length - 1;
const anonymous = (length: number) => Array.from({ length }, () => undefined);

let world: World;
afterEach(() => world.stop());

/** Callers that ask until they are stopped. */
function startCallers(ask: () => Promise<void>): () => Promise<void> {
  let isOver = false;
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!isOver) {
      await ask();
      await pause(PAUSE_MS);
    }
  });
  return async () => {
    isOver = true;
    await Promise.all(callers);
  };
}

/** Five checks, asked of any server; answers how many were admitted. */
async function checkSome(): Promise<number> {
  return count(await world.ask(pick(world.servers), { do: "check", ids: anonymous(5), drop: false }), "A");
}

/** Breaks each thing in its turn. */
async function breakAll(faults: readonly (() => Promise<void>)[]): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const fault of faults) {
      await pause(CALM_MS);
      await fault();
    }
  }
  await pause(CALM_MS);
}

/** Has a server do something until it succeeds. */
async function insist(server: Server, what: "flush" | "settle"): Promise<void> {
  await until(async () => (await world.ask(server, { do: what })) === "ok");
}

/** Has all servers tell what they admitted, and counts past epochs for it. */
async function settle(): Promise<void> {
  await pause(SETTLED_MS);
  await Promise.all(world.servers.map((server) => insist(server, "flush")));
  await insist(pick(world.servers), "settle");
}

/** What is still admitted, until everything is denied. */
async function useRest(): Promise<number> {
  let rest = 0;
  for (let told: string | undefined; !/^D+$/.test(told ?? ""); rest += count(told, "A")) {
    told = await world.ask(pick(world.servers), { do: "check", ids: anonymous(100), drop: false });
  }
  return rest;
}

/** What Postgres says was used. */
async function usedInPostgres(): Promise<number> {
  const window = { holderUid: world.tenant.uid, limitId: "messages", windowId: "P1M:run" };
  await Promise.all(world.servers.map((server) => insist(server, "flush")));
  return Number(await readAs(world.sql, PLATFORM_SCOPE, 5_000, (tx) => selectUsedInWindow(tx, window)));
}

describe.skipIf(!hasRedis)(`a hard limit (design ${DESIGN}, seed ${SEED})`, () => {
  it("is never exceeded while Redis and Postgres are lost; all that was stranded comes back, no reservation is lost", async () => {
    const limit = 3_000 * ROUNDS;
    world = await startWorld({ limit, design: DESIGN, servers: 3 });
    const reserved: string[] = [];
    let admitted = 0;
    const stop = startCallers(async () => {
      if (random() < 0.05) {
        const reservation = await world.ask(pick(world.servers), { do: "reserve", amount: 5 });
        if (reservation?.includes("-")) reserved.push(reservation);
      }
      const some = await checkSome();
      admitted += some;
    });
    await breakAll(Object.values(world.faults));
    await stop();
    const during = admitted + 5 * reserved.length;
    expect(during, `${during} were admitted of ${limit}`).toBeLessThanOrEqual(limit);
    await settle();
    const settled = await usedInPostgres();
    const total = during + (await useRest());
    const commits = await Promise.all(
      reserved.map((reservationId) => world.ask(pick(world.servers), { do: "commit", reservationId })),
    );
    await settle();
    console.log(JSON.stringify({ design: DESIGN, limit, during, settled, total, reservations: reserved.length }));
    expect(settled, "settled exactly").toBe(during);
    expect(new Set(commits)).toEqual(new Set(reserved.length > 0 ? ["COMMITTED"] : []));
    expect([total, await useRest(), await usedInPostgres()], "used to the last unit").toEqual([limit, 0, limit]);
  });

  it("is never exceeded while servers are killed too; what stays stranded is bounded", async () => {
    const [limit, servers] = [3_000 * ROUNDS, 3];
    world = await startWorld({ limit, design: DESIGN, servers });
    let admitted = 0;
    const stop = startCallers(async () => {
      const some = await checkSome();
      admitted += some;
    });
    const killOne = async () => {
      world.kill(pick(world.servers));
      await world.startServer();
    };
    const losses = Object.entries(world.faults).filter(([name]) => name.startsWith("redis"));
    await breakAll(losses.flatMap(([, lose]) => [lose, killOne]));
    await stop();
    await settle();
    const total = admitted + (await useRest());
    // A block is a tenth of what is left at most, and each server may just have asked for one.
    const bound = ROUNDS * losses.length * servers * (limit / 10);
    console.log(JSON.stringify({ design: DESIGN, limit, during: admitted, total, stranded: limit - total, bound }));
    expect([total <= limit, total >= limit - bound], `${total} of ${limit}`).toEqual([true, true]);
  });

  it("counts no retry twice, whichever server dies before it answers", async () => {
    const limit = 20_000 * ROUNDS;
    world = await startWorld({ limit, design: DESIGN, servers: 2 });
    let admitted = 0;
    const stop = startCallers(async () => {
      const ids = Array.from({ length: 5 }, () => crypto.randomUUID() as string);
      let told: string | undefined;
      // A third of the answers are lost on their way.
      for (let tries = 0; told === undefined || told.includes("U"); tries += 1) {
        const drop = tries === 0 && random() < 0.3;
        const asked = world.ask(pick(world.servers), { do: "check", ids, drop });
        told = await (drop ? pause(PAUSE_MS).then(() => undefined) : asked);
      }
      admitted += count(told, "A");
    });
    const killOne = async () => {
      world.kill(pick(world.servers));
      await world.startServer();
    };
    await breakAll([killOne, killOne]);
    await stop();
    const left = await useRest();
    console.log(JSON.stringify({ design: DESIGN, limit, admitted, left }));
    expect(admitted + left).toBe(limit);
  });
});
