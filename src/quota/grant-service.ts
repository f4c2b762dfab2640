import { requireEtag } from "../aip/name.ts";
import { cutPage, decodePageToken, encodePageToken, pageSize, type Seal } from "../aip/page.ts";
import { type Ctx, rowScope } from "../context.ts";
import { alreadyExists, DomainError, invalidField, notFound } from "../errors.ts";
import { type Mutation, mutate, remainingMs } from "../mutation.ts";
import { readAs, type Tx } from "../platform/postgres.ts";
import { requireKept, requireTenant } from "../tenant/service.ts";
import { type Tenant, tenantName } from "../tenant/tenant.ts";
import { selectFacts } from "./facts-store.ts";
import { auditView, grantName, isOver, type QuotaGrant } from "./grant.ts";
import { insertGrant, selectDueGrants, selectGrant, selectGrants } from "./grant-store.ts";
import { openPeriod, type PeriodDeps, settlementOf, writeGrant } from "./period-service.ts";
import type { QuotaFacts } from "./resolve.ts";
import { limitAsOf, usableAtEnd } from "./settle.ts";

export interface GrantDeps extends PeriodDeps {
  readonly seal: Seal;
}

/** Names a grant. */
export interface GrantRef {
  readonly tenantId: string;
  readonly grantId: string;
}

/** What a caller decides of a grant; it begins at once when `startsAt` is null. */
export interface NewGrant extends Pick<QuotaGrant, "limitId" | "amount" | "priority" | "expiresAt" | "reason"> {
  readonly startsAt: number | null;
}

/** Every node keeps them in memory, and each period's end goes through all of a limit. */
const GRANTS_MAX = 200;

/** Gives a tenant an extra amount. Throws RESOURCE_NOT_FOUND, RESOURCE_EXISTS, TENANT_DELETED and INVALID_FIELDS. */
export async function createGrant(deps: GrantDeps, ctx: Ctx, ref: GrantRef, input: NewGrant): Promise<QuotaGrant> {
  const { value } = await mutate(deps, ctx, tenantName(ref.tenantId), async (mutation) => {
    const { tx, now, record } = mutation;
    const tenant = await requireTenant(tx, ref.tenantId);
    requireKept(tenant);
    if (await selectGrant(tx, tenant.uid, ref.grantId)) throw alreadyExists("QuotaGrant", grantName(ref));
    const facts = await selectFacts(tx, tenant);
    const startsAt = Math.max(input.startsAt ?? now, now);
    requireUsable(facts, input, startsAt, now);
    const grant: QuotaGrant = {
      ...input,
      ...ref,
      startsAt,
      uid: deps.ids.uuid(),
      tenantUid: tenant.uid,
      usableAmount: input.amount,
      usedAmount: "0",
      voidedAt: null,
      ended: false,
      creator: ctx.principal.actor,
      revision: 1,
      createdAt: now,
      updatedAt: now,
    };
    await insertGrant(tx, grant);
    record({ ...noun(grant, tenant), before: null, after: grant });
    await openPeriod(mutation, tenant, { ...facts, grants: [...facts.grants, grant] }, grant.limitId);
    return grant;
  });
  return value;
}

/** Reads a grant. Throws RESOURCE_NOT_FOUND. */
export function getGrant(deps: GrantDeps, ctx: Ctx, ref: GrantRef): Promise<QuotaGrant> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), async (tx) => {
    const tenant = await requireTenant(tx, ref.tenantId);
    return requireGrant(tx, tenant, ref);
  });
}

/** Lists a tenant's grants in the order in which they are used up. Throws RESOURCE_NOT_FOUND and PAGE_TOKEN_INVALID. */
export async function listGrants(
  deps: GrantDeps,
  ctx: Ctx,
  input: { tenantId: string; pageSize: number; pageToken: string; showOver: boolean },
) {
  const { tenantId, showOver } = input;
  const size = pageSize(input.pageSize);
  const query = [ctx.method, tenantId, showOver];
  const now = deps.clock.now();
  const after = decodePageToken(deps.seal, query, input.pageToken, now);
  const rows = await readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), async (tx) => {
    const { uid } = await requireTenant(tx, tenantId);
    return selectGrants(tx, { tenantUid: uid, after, showOver, now, limit: size + 1 });
  });
  return cutPage(rows, size, ({ priority, expiresAt, createdAt, grantId }) =>
    encodePageToken(deps.seal, query, [priority, expiresAt, createdAt, grantId], now),
  );
}

/**
 * Takes back what is left of a grant; what the use of the running period has reached of it stays the tenant's.
 * Throws RESOURCE_NOT_FOUND, ETAG_MISMATCH and GRANT_OVER.
 */
export async function voidGrant(deps: GrantDeps, ctx: Ctx, ref: GrantRef, etag: string): Promise<QuotaGrant> {
  const { value } = await mutate(deps, ctx, tenantName(ref.tenantId), async (mutation) => {
    const { tx, now } = mutation;
    const tenant = await requireTenant(tx, ref.tenantId);
    const before = await requireGrant(tx, tenant, ref);
    requireEtag(etag, before.uid, before.revision, grantName(ref));
    if (before.ended || isOver(before) || (before.expiresAt !== null && before.expiresAt <= now)) {
      throw new DomainError("GRANT_OVER", `${grantName(ref)} is over`, { grant: grantName(ref) });
    }
    return end(deps, mutation, tenant, before, now);
  });
  return value;
}

/** Names of grants whose time has passed without being on record, at most `limit`, oldest first. */
export function dueGrants(deps: GrantDeps, ctx: Ctx, limit: number): Promise<GrantRef[]> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), (tx) =>
    selectDueGrants(tx, deps.clock.now(), limit),
  );
}

/** Puts on record that a grant's time has passed, and what of it stays usable in the running period. Safe to run twice. */
export async function endGrant(deps: GrantDeps, ctx: Ctx, ref: GrantRef): Promise<void> {
  await mutate(deps, ctx, tenantName(ref.tenantId), async (mutation) => {
    const tenant = await requireTenant(mutation.tx, ref.tenantId);
    const grant = await requireGrant(mutation.tx, tenant, ref);
    const due = grant.expiresAt !== null && grant.expiresAt <= mutation.now && !grant.ended;
    return due ? end(deps, mutation, tenant, grant, null) : {};
  });
}

async function end(
  deps: GrantDeps,
  mutation: Mutation,
  tenant: Tenant,
  grant: QuotaGrant,
  voidedAt: number | null,
): Promise<QuotaGrant> {
  const { periods } = await selectFacts(mutation.tx, tenant);
  const period = periods.find(({ limitId }) => limitId === grant.limitId);
  const settlement = period && (await settlementOf(deps, mutation, tenant, period));
  const ended = { ...grant, voidedAt, ended: true, usableAmount: usableAtEnd(settlement, grant) };
  return writeGrant(mutation, tenant, grant, ended);
}

function requireUsable(facts: QuotaFacts, input: NewGrant, startsAt: number, now: number): void {
  const limit = limitAsOf(facts.plan, facts.overrides, input.limitId, now);
  if (!limit) throw invalidField("quota_grant.limit_id", "must be a limit of the tenant's plan or overrides");
  if (limit.rule.kind !== "PERIOD" && limit.rule.kind !== "GAUGE") {
    throw invalidField("quota_grant.limit_id", "must be a limit of a meter of kind PERIOD or GAUGE");
  }
  if (input.expiresAt !== null && input.expiresAt <= startsAt) {
    throw invalidField("quota_grant.expire_time", "must be in the future, and after start_time");
  }
  if (facts.grants.length >= GRANTS_MAX) throw invalidField("parent", `has ${GRANTS_MAX} grants that are not used up`);
}

async function requireGrant(tx: Tx, tenant: Tenant, ref: GrantRef): Promise<QuotaGrant> {
  const grant = await selectGrant(tx, tenant.uid, ref.grantId);
  if (!grant) throw notFound("QuotaGrant", grantName(ref));
  return grant;
}

function noun(grant: QuotaGrant, { uid, integratorUid }: Tenant) {
  return { noun: "quotaGrant" as const, resource: grantName(grant), tenantUid: uid, integratorUid, auditView };
}
