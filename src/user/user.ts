import type { Role } from "../auth/permission.ts";

/** A user of a tenant, as plain data. */
export interface User {
  readonly userId: string;
  readonly tenantUid: string;
  readonly tenantId: string;
  readonly email: string;
  readonly displayName: string;
  readonly role: Role;
  readonly disabled: boolean;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** The name of a user. */
export function userName(user: Pick<User, "tenantId" | "userId">): string {
  return `tenants/${user.tenantId}/users/${user.userId}`;
}

/** A user as the audit log tells of it. */
export function auditView(user: User): Record<string, unknown> {
  const { email, displayName, role, disabled } = user;
  return { name: userName(user), email, display_name: displayName, role, disabled };
}
