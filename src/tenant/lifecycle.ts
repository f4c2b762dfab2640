import { illegalTransition } from "../errors.ts";

/** Where a tenant stands in its life. */
export const TENANT_STATES = ["CREATED", "ACTIVE", "SUSPENDED", "ARCHIVED", "DELETED"] as const;
export type TenantState = (typeof TENANT_STATES)[number];

/** Why a tenant is suspended; reasons stack. */
export const SUSPENSION_REASONS = ["BILLING", "POLICY", "SECURITY", "MAINTENANCE", "CUSTOMER"] as const;
export type SuspensionReason = (typeof SUSPENSION_REASONS)[number];

/** The steps of a tenant's life that a caller can ask for. */
export const TENANT_VERBS = ["activate", "suspend", "resume", "archive", "unarchive", "delete", "undelete"] as const;
export type TenantVerb = (typeof TENANT_VERBS)[number];

/** One reason of a suspension. */
export interface Suspension {
  readonly reason: SuspensionReason;
  readonly message: string;
  readonly suspendedAt: number;
}

/** The part of a tenant that its life is made of. */
export interface LifeState {
  readonly state: TenantState;
  readonly suspensions: readonly Suspension[];
  /** The state to which undelete returns. */
  readonly priorState: Exclude<TenantState, "DELETED"> | null;
  /** The state to which unarchive returns. */
  readonly archivedFrom: "ACTIVE" | "SUSPENDED" | null;
  readonly deletedAt: number | null;
  readonly purgeAt: number | null;
}

/** A verb with what it needs. */
export type LifeEvent =
  | { readonly verb: "activate" | "archive" | "unarchive" | "undelete" }
  | { readonly verb: "suspend"; readonly reason: SuspensionReason; readonly message: string }
  | { readonly verb: "resume"; readonly reason: SuspensionReason }
  | { readonly verb: "delete"; readonly retentionMs: number };

/** The verbs that each state allows. Everything else is ILLEGAL_TRANSITION. */
export const ALLOWED: Readonly<Record<TenantState, readonly TenantVerb[]>> = {
  CREATED: ["activate", "delete"],
  ACTIVE: ["suspend", "archive", "delete"],
  SUSPENDED: ["suspend", "resume", "archive", "delete"],
  ARCHIVED: ["unarchive", "delete"],
  DELETED: ["undelete"],
};

/**
 * Takes one step in a tenant's life. Pure: the same life, event and time give the same life.
 * Throws ILLEGAL_TRANSITION, naming the verbs that the state allows.
 */
export function step(name: string, life: LifeState, event: LifeEvent, now: number): LifeState {
  if (!ALLOWED[life.state].includes(event.verb)) {
    throw illegalTransition(name, life.state, event.verb, ALLOWED[life.state]);
  }
  switch (event.verb) {
    case "activate":
      return { ...life, state: "ACTIVE" };
    case "suspend":
      return suspend(life, event, now);
    case "resume":
      return resume(name, life, event.reason);
    case "archive":
      return { ...life, state: "ARCHIVED", archivedFrom: life.state === "SUSPENDED" ? "SUSPENDED" : "ACTIVE" };
    case "unarchive":
      return { ...life, state: life.archivedFrom ?? "ACTIVE", archivedFrom: null };
    case "delete":
      return remove(life, event.retentionMs, now);
    case "undelete":
      return { ...life, state: life.priorState ?? "CREATED", priorState: null, deletedAt: null, purgeAt: null };
    default:
      return event satisfies never;
  }
}

/** True when a deleted tenant may be purged: its time has come and nothing holds it. */
export function mayPurge(life: LifeState & { legalHolds: readonly unknown[] }, now: number): boolean {
  return life.state === "DELETED" && life.purgeAt !== null && life.purgeAt <= now && life.legalHolds.length === 0;
}

// A reason that is there already is refreshed: suspending twice for unpaid bills is one suspension.
function suspend(life: LifeState, event: { reason: SuspensionReason; message: string }, now: number): LifeState {
  const others = life.suspensions.filter((suspension) => suspension.reason !== event.reason);
  const suspensions = [...others, { reason: event.reason, message: event.message, suspendedAt: now }];
  return { ...life, state: "SUSPENDED", suspensions };
}

function resume(name: string, life: LifeState, reason: SuspensionReason): LifeState {
  const suspensions = life.suspensions.filter((suspension) => suspension.reason !== reason);
  if (suspensions.length === life.suspensions.length) {
    const reasons = life.suspensions.map((suspension) => suspension.reason).join(", ");
    throw illegalTransition(name, `SUSPENDED for ${reasons}`, `resume ${reason}`, ALLOWED.SUSPENDED);
  }
  return { ...life, suspensions, state: suspensions.length > 0 ? "SUSPENDED" : "ACTIVE" };
}

function remove(life: LifeState, retentionMs: number, now: number): LifeState {
  const priorState = life.state === "DELETED" ? life.priorState : life.state;
  return { ...life, state: "DELETED", priorState, deletedAt: now, purgeAt: now + retentionMs };
}
