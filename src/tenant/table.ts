import type { Tenant } from "./tenant.ts";

/** All tenants in the node's memory, fed by the change log. */
export interface TenantTable {
  byId(tenantId: string): Tenant | undefined;
  byUid(uid: string): Tenant | undefined;
  all(): Tenant[];
  size(): number;
  /** Takes in a tenant, unless a newer state of it is known. */
  put(tenant: Tenant): void;
  /** Takes out a purged tenant. */
  remove(uid: string): void;
}

/** Makes an empty table. */
export function createTenantTable(): TenantTable {
  const byUid = new Map<string, Tenant>();
  const byId = new Map<string, Tenant>();
  return {
    byId: (tenantId) => byId.get(tenantId),
    byUid: (uid) => byUid.get(uid),
    all: () => [...byUid.values()],
    size: () => byUid.size,
    put(tenant) {
      const known = byUid.get(tenant.uid);
      if (known && known.revision >= tenant.revision) return;
      byUid.set(tenant.uid, tenant);
      byId.set(tenant.tenantId, tenant);
    },
    remove(uid) {
      const known = byUid.get(uid);
      byUid.delete(uid);
      // The name may have been given to a new tenant meanwhile.
      if (known && byId.get(known.tenantId)?.uid === uid) byId.delete(known.tenantId);
    },
  };
}
