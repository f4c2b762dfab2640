import { isoTime } from "../audit/view.ts";
import type { Role, Scope } from "./permission.ts";

/** An API key, without its secret. */
export interface ApiKey {
  readonly keyId: string;
  readonly displayName: string;
  readonly role: Role;
  /** "platform", "integrators/{integrator}" or "tenants/{tenant}". */
  readonly scope: string;
  readonly tenantUid: string | null;
  readonly integratorUid: string | null;
  readonly expiresAt: number | null;
  readonly previousExpiresAt: number | null;
  readonly createdAt: number;
  readonly revokedAt: number | null;
  readonly lastUsedAt: number | null;
  /** Raised by every write but those of `lastUsedAt`. */
  readonly revision: number;
}

/** A key as the audit log tells of it. */
export function auditView(key: ApiKey): Record<string, unknown> {
  return {
    name: `apiKeys/${key.keyId}`,
    display_name: key.displayName,
    role: key.role,
    scope: key.scope,
    expire_time: isoTime(key.expiresAt),
    previous_expire_time: isoTime(key.previousExpiresAt),
    revoke_time: isoTime(key.revokedAt),
  };
}

/** What is kept of a key's secrets: SHA-256 of the one in force and of the one before the last rotation. */
export interface KeyHashes {
  readonly secretHash: Uint8Array;
  readonly previousHash: Uint8Array | null;
}

/** The form of a secret: a prefix that scanners know, the key's id, and 32 random bytes in hexadecimal. */
const SECRET = /^tpk_([a-z0-9]{16})_([0-9a-f]{64})$/;

/** Writes a secret. */
export function formatSecret(keyId: string, random: Uint8Array): string {
  return `tpk_${keyId}_${hex(random)}`;
}

/** The id of the key that a secret claims to be of; undefined when it has not the form of a secret. */
export function keyIdOf(secret: string): string | undefined {
  return SECRET.exec(secret)?.[1];
}

/** Bytes in hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** True when a hash is one of the key's and the key is in force at `now`. Takes the same time for every wrong hash. */
export function isValidAt(key: ApiKey & KeyHashes, hash: Uint8Array, now: number): boolean {
  if (!isInForceAt(key, now)) return false;
  if (equalBytes(key.secretHash, hash)) return true;
  const previousWorks = key.previousExpiresAt !== null && key.previousExpiresAt > now;
  return previousWorks && key.previousHash !== null && equalBytes(key.previousHash, hash);
}

/** True when the key is neither revoked nor expired at `now`. */
export function isInForceAt(key: Pick<ApiKey, "revokedAt" | "expiresAt">, now: number): boolean {
  return key.revokedAt === null && (key.expiresAt === null || key.expiresAt > now);
}

/** The scope that a key is bound to. */
export function scopeOf(key: Pick<ApiKey, "scope" | "tenantUid" | "integratorUid">): Scope {
  const id = key.scope.slice(key.scope.indexOf("/") + 1);
  if (key.tenantUid !== null) return { kind: "tenant", tenantId: id, tenantUid: key.tenantUid };
  if (key.integratorUid !== null && key.scope.startsWith("integrators/")) {
    return { kind: "integrator", integratorId: id, integratorUid: key.integratorUid };
  }
  return { kind: "platform" };
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i += 1) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}
