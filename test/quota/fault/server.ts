// A server process of the fault test: the deciding part of a node, asked by its parent over IPC.
import { Redis } from "ioredis";
import { DomainError } from "../../../src/errors.ts";
import { systemClock, systemIds } from "../../../src/platform/clock.ts";
import { openPostgres } from "../../../src/platform/postgres.ts";
import type { QuotaChecks } from "../../../src/quota/checks.ts";
import { startQuotaChecks } from "../../../src/quota/checks-service.ts";
import { createRedisState } from "../../../src/quota/hot/redis.ts";
import { quotasOf, type TestTenant } from "../support/tenants.ts";
import { startPlainChecks, withoutFence } from "./designs.ts";

/** How a server starts. */
export interface Start {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly tenant: TestTenant;
  readonly design: Design;
}

/** The design under test, and two that lack something. */
export type Design = "allotment" | "no-fence" | "plain";

/** What a caller asks, and what it is answered. */
export type Ask = { readonly call: number } & (
  | { readonly do: "check"; readonly ids: readonly (string | undefined)[]; readonly drop: boolean }
  | { readonly do: "reserve"; readonly amount: number }
  | { readonly do: "commit"; readonly reservationId: string }
  | { readonly do: "flush" | "settle" }
);
export interface Told {
  readonly call: number;
  /** How each check was decided, by its first letter; of a reservation its id, when it was made. */
  readonly outcomes: string;
}

// Prepared on the parent's side with structured clone, so that bigints survive.
process.once("message", async (start: Start) => {
  const { databaseUrl, redisUrl, tenant, design } = start;
  const sql = openPostgres(databaseUrl, { poolSize: 4, role: "tenantplane_app" });
  const client = new Redis(redisUrl, {
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 20,
  });
  client.on("error", () => {});
  await new Promise<void>((resolve) => client.once("ready", resolve));
  const known = quotasOf([tenant]);
  const checks =
    design === "plain"
      ? await startPlainChecks(client, tenant)
      : await startQuotaChecks({
          sql,
          clock: systemClock,
          ids: systemIds,
          hot: createRedisState(design === "no-fence" ? withoutFence(client) : client),
          quotasOf: known,
          onCrossing: () => {},
          onError: () => {},
          budgetMs: 100,
          grantBudgetMs: 500,
        });
  process.on("message", async (ask: Ask) => {
    const outcomes = await perform(checks, tenant, ask).catch((error: unknown) =>
      error instanceof DomainError ? "E" : `!${String(error)}`,
    );
    if (!(ask.do === "check" && ask.drop)) tell({ call: ask.call, outcomes });
  });
  tell({ call: -1, outcomes: "" });
});

function tell(told: Told): void {
  process.send?.(told);
}

type Checks = Pick<QuotaChecks, "check" | "reserve" | "commit"> & {
  settle(signal: AbortSignal): Promise<void>;
  flush(): Promise<void>;
};

async function perform(checks: Checks, tenant: TestTenant, ask: Ask): Promise<string> {
  const tenantId = tenant.id;
  const entries = (amount: number) => [{ meter: "messages", amount, slot: undefined }];
  switch (ask.do) {
    case "check": {
      const results = await checks.check(
        ask.ids.map((requestId) => ({
          tenantId,
          entries: entries(1),
          mode: "CONSUME",
          idempotency: requestId === undefined ? undefined : { requestId, hash: "h" },
        })),
      );
      return results.map((result) => (result instanceof DomainError ? "E" : letterOf(result))).join("");
    }
    case "reserve": {
      const { amount } = ask;
      const { reservation } = await checks.reserve({
        tenantId,
        entries: entries(amount),
        ttlMs: 600_000,
        idempotency: undefined,
      });
      return reservation?.reservationId ?? "D";
    }
    case "commit": {
      const { reservationId } = ask;
      const { reservation } = await checks.commit({
        tenantId,
        reservationId,
        actualEntries: [],
        idempotency: undefined,
      });
      return reservation.state;
    }
    case "flush":
      await checks.flush();
      return "ok";
    case "settle":
      await checks.settle(new AbortController().signal);
      return "ok";
    default:
      return ask satisfies never;
  }
}

// Denials by a policy are no denials by the limit.
function letterOf({ outcome, consistency }: { outcome: string; consistency: string }): string {
  return outcome === "ALLOW" ? "A" : consistency === "FALLBACK" ? "U" : "D";
}
