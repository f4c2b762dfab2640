import { diffFields } from "./aip/field-mask.ts";
import { insertAuditEntry, type NewAuditEntry } from "./audit/store.ts";
import { insertChange, type Noun } from "./change/store.ts";
import { type Ctx, rowScope } from "./context.ts";
import { DomainError } from "./errors.ts";
import { cancellable } from "./platform/cancel.ts";
import type { Clock, Ids } from "./platform/clock.ts";
import { applyScope, type Json, type Queryable, readAs, type Sql, type Tx } from "./platform/postgres.ts";

/** What a write works with. */
export interface MutationDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Wakes the readers of the change log after a commit; they would find the change by themselves a little later. */
  readonly nudge: () => void;
}

/** A write under way. */
export interface Mutation {
  readonly tx: Tx;
  readonly now: number;
  /** Sends a statement without waiting for its answer. All are awaited before the commit; one that fails, fails the write. */
  send(statement: Promise<unknown>): void;
  /** Sends the audit row and the change row of one resource; every write calls it for each resource it changes. */
  record<T extends object>(change: Recorded<T>): void;
}

export interface Recorded<T extends object> {
  readonly noun: Noun;
  readonly resource: string;
  readonly tenantUid: string | null;
  readonly integratorUid: string | null;
  readonly before: T | null;
  readonly after: T | null;
  /** The resource as the audit log tells of it: its fields by their names in the API, and no secret among them. */
  readonly auditView: (resource: T) => object;
}

/** What a write answers: its value, and the transaction by which readers can tell whether they have it. */
export interface Written<T> {
  readonly value: T;
  readonly revision: bigint;
}

/**
 * The way of every write: one transaction holds the business rows, their audit rows and change rows, and the record that
 * makes a retry safe. `root` names what is written under ("tenants/acme"): writes under one root take turns, and each
 * draws its transaction id within its turn, so the order of ids is the order of writes.
 * `T` must survive JSON. With `secret` the answer is not kept, and a retry is refused.
 * Throws REQUEST_ID_REUSED, REQUEST_IN_PROGRESS, WRITE_CONFLICT, DEADLINE_EXCEEDED, and what `fn` throws.
 */
export async function mutate<T extends Json | object>(
  deps: MutationDeps,
  ctx: Ctx,
  root: string,
  fn: (mutation: Mutation) => Promise<T>,
  options: { secret?: boolean } = {},
): Promise<Written<T>> {
  const timeoutMs = remainingMs(deps.clock, ctx);
  const outcome = await deps.sql
    .begin((plain) =>
      cancellable(plain as unknown as Tx, ctx.signal, async (tx) => {
        const turn = applyScope(tx, rowScope(ctx.principal), timeoutMs, root);
        // Sent along, read once it is our turn.
        const answer = findAnswer<T>(tx, ctx);
        answer.catch(() => {});
        await turn;
        const replayed = await answer;
        if (replayed) return replayed;
        const written = await run(deps, ctx, tx, fn, options.secret ?? false);
        if (ctx.validateOnly) throw new RolledBack(written);
        return written;
      }),
    )
    .catch((error: unknown) => {
      if (error instanceof RolledBack) return error.written as Written<T>;
      throw writeError(error);
    });
  if (!ctx.validateOnly) deps.nudge();
  return outcome as Written<T>;
}

/** Reads what the caller may see, from one snapshot, while the call lasts. Throws DEADLINE_EXCEEDED and what `fn` throws. */
export function read<T>(
  deps: Pick<MutationDeps, "sql" | "clock">,
  ctx: Ctx,
  fn: (tx: Queryable) => Promise<T>,
): Promise<T> {
  return readAs(deps.sql, rowScope(ctx.principal), remainingMs(deps.clock, ctx), fn, ctx.signal);
}

/** How long the call may still take; throws DEADLINE_EXCEEDED when that is nothing. */
export function remainingMs(clock: Clock, ctx: Ctx): number {
  const left = ctx.deadline - clock.monotonic();
  if (left <= 0) throw new DomainError("DEADLINE_EXCEEDED", "the deadline has passed");
  return Math.min(left, STATEMENT_TIMEOUT_MS);
}

/** Jobs and streams have no deadline; a statement of theirs that takes this long is stuck. */
const STATEMENT_TIMEOUT_MS = 60_000;

// Statements go out together wherever one need not know another's answer: each wait is a way to the database and back.
async function run<T>(
  deps: MutationDeps,
  ctx: Ctx,
  tx: Tx,
  fn: (m: Mutation) => Promise<T>,
  secret: boolean,
): Promise<Written<T>> {
  const now = deps.clock.now();
  const sent: Promise<unknown>[] = [];
  let changed: Promise<bigint> | undefined;
  const send = (statement: Promise<unknown>) => {
    statement.catch(() => {});
    sent.push(statement);
  };
  const record: Mutation["record"] = (change) => {
    send(insertAuditEntry(tx, entryOf(ctx, change, now)));
    changed = insertChange(tx, { ...change, at: now });
    send(changed);
  };
  const value = await fn({ tx, now, send, record }).catch(async (error: unknown) => {
    throw (await firstFailure(sent)) ?? error;
  });
  if (ctx.idempotency && !ctx.validateOnly) {
    send(keepAnswer(tx, ctx, ctx.idempotency, { value: secret ? undefined : value, changed: !!changed, at: now }));
  }
  const failure = await firstFailure(sent);
  if (failure) throw failure;
  return { value, revision: (await changed) ?? 0n };
}

// The cause, rather than what it made of the statements after it: they fail because the transaction has.
async function firstFailure(sent: readonly Promise<unknown>[]): Promise<unknown> {
  const failures = (await Promise.allSettled(sent)).flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
  return failures.find((error) => (error as { code?: string }).code !== IN_FAILED_TRANSACTION);
}

const IN_FAILED_TRANSACTION = "25P02";

function entryOf<T extends object>(ctx: Ctx, change: Recorded<T>, now: number): NewAuditEntry {
  return {
    tenantUid: change.tenantUid,
    integratorUid: change.integratorUid,
    at: now,
    actor: ctx.principal.actor,
    method: ctx.method,
    resource: change.resource,
    requestId: ctx.callId,
    outcome: "OK",
    changes: changesOf(change),
    reason: ctx.reason,
    callerAddress: ctx.callerAddress,
  };
}

function changesOf<T extends object>({ before, after, auditView }: Recorded<T>): NewAuditEntry["changes"] {
  const view = (resource: T | null) => (resource === null ? {} : auditView(resource));
  return diffFields(view(before), view(after)) as { field: string; before: Json; after: Json }[];
}

async function findAnswer<T>(tx: Tx, ctx: Ctx): Promise<Written<T> | undefined> {
  if (!ctx.idempotency || ctx.validateOnly) return undefined;
  const { requestId, hash } = ctx.idempotency;
  const [row] = await tx<{ hash: string; response: { value: T; revision: string } | null }[]>`
    select request_hash as hash, response from idempotency
    where actor = ${ctx.principal.actor} and method = ${ctx.method} and request_id = ${requestId}`;
  if (!row) return undefined;
  if (row.hash !== hash) {
    throw new DomainError("REQUEST_ID_REUSED", `request id ${requestId} was used with another request`, { requestId });
  }
  if (!row.response) {
    throw new DomainError("RESOURCE_EXISTS", `request ${requestId} was carried out; its secret is not kept`, {
      requestId,
    });
  }
  return { value: row.response.value, revision: BigInt(row.response.revision) };
}

async function keepAnswer(
  tx: Tx,
  ctx: Ctx,
  { requestId, hash }: NonNullable<Ctx["idempotency"]>,
  answer: { readonly value: unknown; readonly changed: boolean; readonly at: number },
): Promise<void> {
  const { value, changed, at } = answer;
  const kept = value === undefined ? null : tx.json(value as Json);
  await tx`insert into idempotency (actor, method, request_id, request_hash, response, at)
    select ${ctx.principal.actor}, ${ctx.method}, ${requestId}, ${hash}, case when kept is not null then
      jsonb_build_object('value', kept, 'revision', case when ${changed} then pg_current_xact_id()::text else '0' end)
      end, ${at}
    from (select ${kept}::jsonb as kept) answer`;
}

// Carries the answer of a validate_only call out of the transaction that it rolls back.
class RolledBack extends Error {
  override name = "RolledBack";
  readonly written: Written<unknown>;
  constructor(written: Written<unknown>) {
    super("validate_only");
    this.written = written;
  }
}

function writeError(error: unknown): unknown {
  const { code, constraint_name: constraint } = (error ?? {}) as { code?: string; constraint_name?: string };
  if (code === "23505" && constraint === "idempotency_pkey") {
    return new DomainError("REQUEST_IN_PROGRESS", "the same request is being carried out", {}, { cause: error });
  }
  if (code === "40001" || code === "40P01") {
    return new DomainError("WRITE_CONFLICT", "the write met another one", {}, { cause: error });
  }
  return databaseError(error);
}

/** Turns a violated foreign key into HAS_DEPENDENTS; for `.catch` of a delete. */
export function throwDependents(resource: string): (error: unknown) => never {
  return (error) => {
    if ((error as { code?: string }).code !== "23503") throw error;
    throw new DomainError("HAS_DEPENDENTS", `${resource} still has tenants`, { resource }, { cause: error });
  };
}

/** Tells a stuck or unreachable database from a fault of ours; other errors are answered unchanged. */
export function databaseError(error: unknown): unknown {
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code !== "string") return error;
  if (code === "57014") return new DomainError("DEADLINE_EXCEEDED", "the deadline has passed", {}, { cause: error });
  if (UNREACHABLE.has(code) || code.startsWith("08")) {
    return new DomainError("DATABASE_UNAVAILABLE", "the database can't be reached", {}, { cause: error });
  }
  return error;
}

/** The driver's and Postgres' words for a database that is away, starting or stopping. */
const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "57P01",
  "57P02",
  "57P03",
  "53300",
]);
