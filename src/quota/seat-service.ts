import type { Ctx } from "../context.ts";
import { DomainError } from "../errors.ts";
import { SEATS_METER } from "../meter/meter.ts";
import { type Mutation, type MutationDeps, remainingMs } from "../mutation.ts";
import { PLATFORM_SCOPE, readAs, type Tx, takeTurn } from "../platform/postgres.ts";
import { type Tenant, tenantName } from "../tenant/tenant.ts";
import { type LimitState, stateOf } from "./decision.ts";
import type { EffectiveLimit } from "./effective.ts";
import { selectFacts, selectIntegratorSeats, selectSeats } from "./facts-store.ts";
import { windowAt } from "./period.ts";
import { resolveLimits } from "./resolve.ts";

/**
 * Makes sure that one more user of the tenant finds a seat, within the write that adds it and so before anybody else does:
 * the tenant's turn is the write's own, and the integrator's is taken where it has a limit. A limit that was lowered
 * below what is taken evicts nobody and lets nobody in. Throws SEAT_LIMIT_REACHED.
 */
export async function takeSeat({ tx, now }: Pick<Mutation, "tx" | "now">, tenant: Tenant): Promise<void> {
  const facts = await selectFacts(tx, tenant);
  const limits = resolveLimits(facts, { now, windowAt })
    .map(({ effective }) => effective)
    .filter(({ limit }) => limit.meter === SEATS_METER);
  const full = [];
  for (const effective of limits) {
    const taken = await seatsOf(tx, effective);
    if (BigInt(taken) >= effective.cap) full.push({ effective, taken });
  }
  if (full.length === 0) return;
  const violations = full.map(({ effective, taken }) => violationOf(effective, taken));
  const [first] = full;
  const name = tenantName(tenant.tenantId);
  throw new DomainError(
    "SEAT_LIMIT_REACHED",
    `${name}: ${violations.map(({ subject, description }) => `${subject}: ${description}`).join(", ")}`,
    { tenant: name, limit: first?.effective.limit.limitId ?? "", taken: String(first?.taken ?? 0) },
    { quota: violations },
  );
}

/** Limits of the meter that the server keeps itself, with the seats that are taken now. */
export function readSeats(
  { sql, clock }: Pick<MutationDeps, "sql" | "clock">,
  ctx: Ctx,
  limits: readonly EffectiveLimit[],
): Promise<LimitState[]> {
  if (limits.length === 0) return Promise.resolve([]);
  return readAs(sql, PLATFORM_SCOPE, remainingMs(clock, ctx), (tx) =>
    Promise.all(
      limits.map(async (effective) => {
        const { kind, uid } = effective.holder;
        const taken = kind === "tenant" ? await selectSeats(tx, uid) : await selectIntegratorSeats(tx, uid);
        return stateOf(effective, BigInt(taken), 0n);
      }),
    ),
  );
}

// The integrator's turn comes last, after the tenant's: turns can't cross.
async function seatsOf(tx: Tx, { holder }: EffectiveLimit): Promise<number> {
  if (holder.kind === "tenant") return selectSeats(tx, holder.uid);
  await takeTurn(tx, holder.name);
  return selectIntegratorSeats(tx, holder.uid);
}

function violationOf({ holder, limit, amount }: EffectiveLimit, taken: number) {
  const description = `${taken} of ${amount} seats are taken`;
  return { subject: holder.name, description, meter: limit.meter, limitId: limit.limitId, amount };
}
