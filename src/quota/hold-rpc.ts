import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type QuotaEntrySchema,
  type QuotaLeaseSchema,
  QuotaReservation_State,
  type QuotaReservationSchema,
} from "@tenantplane/sdk/gen/tenantplane/v1/quota_check_pb";
import type { QuotaService } from "@tenantplane/sdk/gen/tenantplane/v1/quota_pb";
import { parseId, parseName } from "../aip/name.ts";
import type { Ctx } from "../context.ts";
import { Problems } from "../errors.ts";
import { fromTimestamp, toDuration, toTimestamp } from "../server/convert.ts";
import type { Handlers } from "../server/handlers.ts";
import { checkMeter, parseAmount, parseEntries, parseHoldTtl, parseLeaseTtl } from "./check-parse-rpc.ts";
import { type CheckRpcDeps, settle } from "./check-rpc.ts";
import { toDecision } from "./check-write-rpc.ts";
import type { Lease, Reservation } from "./checks.ts";
import type { Entry } from "./decision.ts";

type Deps = Pick<CheckRpcDeps, "checks" | "clock">;
type QuotaHandlers = Handlers<typeof QuotaService>;
type ReservationRpcs = "reserveQuota" | "commitReservation" | "cancelReservation" | "extendReservation";

/** The handlers of QuotaService that set amounts aside. */
export function reservationRpc({ checks, clock }: Deps): Pick<QuotaHandlers, ReservationRpcs> {
  return {
    reserveQuota: async ({ parent, entries, ttl, enforce }, ctx) => {
      const problems = new Problems();
      const tenantId = parseId(parent, "tenants", "parent");
      const parsed = parseEntries(problems, "entries", entries);
      const ttlMs = parseHoldTtl(problems, ttl);
      problems.throwIfAny();
      const { idempotency } = ctx;
      const { decision, reservation } = await checks.reserve({ tenantId, entries: parsed, ttlMs, idempotency });
      settle(ctx, parent, decision, { enforce, now: clock.now() });
      return { decision: toDecision(decision), ...(reservation ? { reservation: toReservation(reservation) } : {}) };
    },
    commitReservation: async ({ name, actualEntries }, ctx) => {
      const problems = new Problems();
      const actual = actualEntries.length > 0 ? parseEntries(problems, "actual_entries", actualEntries) : [];
      problems.throwIfAny();
      const { decision, reservation } = await checks.commit({ ...reservationOf(ctx, name), actualEntries: actual });
      return { decision: toDecision(decision), reservation: toReservation(reservation) };
    },
    cancelReservation: async ({ name }, ctx) => ({
      reservation: toReservation(await checks.cancel(reservationOf(ctx, name))),
    }),
    extendReservation: async ({ name, ttl }, ctx) => {
      const problems = new Problems();
      if (!ttl) problems.add("ttl", "must be set");
      const ttlMs = parseHoldTtl(problems, ttl);
      problems.throwIfAny();
      return { reservation: toReservation(await checks.extend({ ...reservationOf(ctx, name), ttlMs })) };
    },
  };
}

/** The handlers of QuotaService that give back, and that say what is in use. */
export function releaseRpc({ checks, clock }: Deps): Pick<QuotaHandlers, "releaseQuota" | "setGauge"> {
  return {
    releaseQuota: async ({ tenant, entries }, ctx) => {
      const problems = new Problems();
      const tenantId = parseId(tenant, "tenants", "tenant");
      const parsed = parseEntries(problems, "entries", entries);
      problems.throwIfAny();
      return {
        decision: toDecision(await checks.release({ tenantId, entries: parsed, idempotency: ctx.idempotency })),
      };
    },
    setGauge: async ({ tenant, meter, usedAmount, observeTime }, ctx) => {
      const problems = new Problems();
      const tenantId = parseId(tenant, "tenants", "tenant");
      checkMeter(problems, "meter", meter);
      if (usedAmount < 0n) problems.add("used_amount", "must not be negative");
      const observedAt = observeTime && fromTimestamp(observeTime);
      // It would make all later observations look old.
      if (observedAt !== undefined && observedAt > clock.now() + CLOCK_SKEW_MS) {
        problems.add("observe_time", "must not be in the future");
      }
      problems.throwIfAny();
      const { idempotency } = ctx;
      return {
        decision: toDecision(await checks.setGauge({ tenantId, meter, used: usedAmount, observedAt, idempotency })),
      };
    },
  };
}

/** The handlers of QuotaService that lease amounts. */
export function leaseRpc({ checks }: Deps): Pick<QuotaHandlers, "acquireLease" | "renewLease" | "returnLease"> {
  return {
    acquireLease: async ({ parent, meter, wantedAmount, ttl }, ctx) => {
      const problems = new Problems();
      const tenantId = parseId(parent, "tenants", "parent");
      checkMeter(problems, "meter", meter);
      const wanted = parseAmount(problems, "wanted_amount", wantedAmount, 1n);
      const ttlMs = parseLeaseTtl(problems, ttl);
      problems.throwIfAny();
      const { idempotency } = ctx;
      const { decision, lease } = await checks.acquireLease({
        tenantId,
        meter,
        wantedAmount: wanted,
        ttlMs,
        idempotency,
      });
      return { decision: toDecision(decision), ...(lease ? { lease: toLease(lease) } : {}) };
    },
    renewLease: async ({ name, spentAmount, wantedAmount, ttl }) => {
      const problems = new Problems();
      const spent = parseAmount(problems, "spent_amount", spentAmount);
      const wanted = parseAmount(problems, "wanted_amount", wantedAmount);
      const ttlMs = ttl && parseLeaseTtl(problems, ttl);
      problems.throwIfAny();
      const renewal = { ...leaseOf(name), spentAmount: spent, wantedAmount: wanted, ttlMs };
      const { decision, lease } = await checks.renewLease(renewal);
      return { decision: toDecision(decision), lease: toLease(lease) };
    },
    returnLease: async ({ name, spentAmount }) => {
      const problems = new Problems();
      const spent = parseAmount(problems, "spent_amount", spentAmount);
      problems.throwIfAny();
      return { returnedAmount: BigInt(await checks.returnLease({ ...leaseOf(name), spentAmount: spent })) };
    },
  };
}

/** Clocks of services differ by so much when they are well kept. */
const CLOCK_SKEW_MS = 60_000;

function reservationOf({ idempotency }: Ctx, name: string) {
  const [tenantId = "", reservationId = ""] = parseName(name, ["tenants", "reservations"], "name");
  return { tenantId, reservationId, idempotency };
}

function leaseOf(name: string) {
  const [tenantId = "", leaseId = ""] = parseName(name, ["tenants", "leases"], "name");
  return { tenantId, leaseId };
}

function toReservation(reservation: Reservation): MessageInitShape<typeof QuotaReservationSchema> {
  return {
    name: `tenants/${reservation.tenantId}/reservations/${reservation.reservationId}`,
    entries: reservation.entries.map(toEntry),
    state: QuotaReservation_State[reservation.state],
    expireTime: toTimestamp(reservation.expiresAt),
    late: reservation.late,
  };
}

function toLease(lease: Lease): MessageInitShape<typeof QuotaLeaseSchema> {
  return {
    name: `tenants/${lease.tenantId}/leases/${lease.leaseId}`,
    meter: lease.meter,
    amount: BigInt(lease.amount),
    spentAmount: BigInt(lease.spentAmount),
    ttl: toDuration(lease.ttlMs),
    refreshAfter: toDuration(lease.refreshAfterMs),
    version: lease.version,
  };
}

function toEntry({ meter, amount, slot = "" }: Entry): MessageInitShape<typeof QuotaEntrySchema> {
  return { meter, amount: BigInt(amount), slot };
}
