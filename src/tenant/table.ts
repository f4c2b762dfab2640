import type { Tenant } from "./tenant.ts";

/** All tenants in the node's memory, fed by the change log. */
export interface TenantTable {
  byId(tenantId: string): Tenant | undefined;
  byUid(uid: string): Tenant | undefined;
  /** The newest known state of a tenant; it may be ahead of the table's position. */
  newest(uid: string): Tenant | undefined;
  all(): Tenant[];
  size(): number;
  /** Takes in a tenant, unless a newer state of it is known. */
  put(tenant: Tenant): void;
  /** Takes note of a state whose place in the order of changes is not known yet. */
  note(tenant: Tenant): void;
  /** Takes out a purged tenant. */
  remove(uid: string): void;
  /** Takes out all tenants but these. */
  retain(uids: ReadonlySet<string>): void;
}

/** Makes an empty table. */
export function createTenantTable(): TenantTable {
  const byUid = new Map<string, Tenant>();
  const byId = new Map<string, Tenant>();
  // Short: what is noted here arrives in the table as soon as it is decided.
  const noted = new Map<string, Tenant>();
  const remove = (uid: string) => {
    const known = byUid.get(uid);
    byUid.delete(uid);
    noted.delete(uid);
    // The name may have been given to a new tenant meanwhile.
    if (known && byId.get(known.tenantId)?.uid === uid) byId.delete(known.tenantId);
  };
  return {
    byId: (tenantId) => byId.get(tenantId),
    byUid: (uid) => byUid.get(uid),
    newest: (uid) => noted.get(uid) ?? byUid.get(uid),
    all: () => [...byUid.values()],
    size: () => byUid.size,
    put(tenant) {
      const known = byUid.get(tenant.uid);
      if (known && known.revision >= tenant.revision) return;
      const kept = compact(tenant);
      byUid.set(kept.uid, kept);
      byId.set(kept.tenantId, kept);
      if ((noted.get(tenant.uid)?.revision ?? 0) <= tenant.revision) noted.delete(tenant.uid);
    },
    note(tenant) {
      const known = noted.get(tenant.uid) ?? byUid.get(tenant.uid);
      if (!known || known.revision < tenant.revision) noted.set(tenant.uid, tenant);
    },
    remove,
    retain(uids) {
      for (const uid of [...byUid.keys()]) if (!uids.has(uid)) remove(uid);
    },
  };
}

// The same tenant as an object of fixed shape: the driver's rows are hash tables of three times the size.
function compact(tenant: Tenant): Tenant {
  return {
    uid: tenant.uid,
    tenantId: tenant.tenantId,
    displayName: tenant.displayName,
    state: tenant.state,
    priorState: tenant.priorState,
    archivedFrom: tenant.archivedFrom,
    suspensions: tenant.suspensions,
    legalHolds: tenant.legalHolds,
    integratorUid: tenant.integratorUid,
    integratorId: tenant.integratorId,
    planUid: tenant.planUid,
    planId: tenant.planId,
    planVersion: tenant.planVersion,
    labels: tenant.labels,
    region: tenant.region,
    settings: tenant.settings,
    timeZone: tenant.timeZone,
    epoch: tenant.epoch,
    revision: tenant.revision,
    createdAt: tenant.createdAt,
    updatedAt: tenant.updatedAt,
    deletedAt: tenant.deletedAt,
    purgeAt: tenant.purgeAt,
  };
}
