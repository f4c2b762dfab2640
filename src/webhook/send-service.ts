import { readChanges } from "../change/service.ts";
import { selectBound } from "../change/store.ts";
import type { Ctx } from "../context.ts";
import { PLATFORM_SCOPE, readAs, writeAs } from "../platform/postgres.ts";
import { RequestFailure, type SafeAnswer, type SafeRequest } from "../platform/safe-request.ts";
import {
  finishAttempt,
  insertDeliveries,
  lockCursor,
  moveCursor,
  type NewDelivery,
  PARKED_AT,
  type TakenDelivery,
  takeDue,
} from "./delivery-store.ts";
import { eventOf, payloadOf, type WebhookEvent } from "./event.ts";
import { FAILING_MAX_MS, judge, retryAfterMs, type Verdict } from "./schedule.ts";
import { disableEndpoint, secretContext, type WebhookDeps } from "./service.ts";
import { hasEndpoints, type Listener, noteOutcome, type Sender, selectListeners, selectSenders } from "./store.ts";
import { type Attempt, wants } from "./webhook.ts";

export interface SendDeps extends WebhookDeps {
  /** Tells the ids of this database's events from those of others. */
  readonly database: string;
  readonly request: (request: SafeRequest) => Promise<SafeAnswer>;
  readonly hmacSha256: (key: Uint8Array, text: string) => string;
  readonly signEd25519: (privateKey: string, text: string) => string;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** Changes of one step: what they make of deliveries is one transaction. */
const DISPATCH_LIMIT = 500;
/** Deliveries of one step. */
const DELIVER_LIMIT = 100;
/** A slow endpoint gets a quarter of a step at most. */
const DELIVER_PER_ENDPOINT = 25;
/** As long as Standard Webhooks lets a receiver take. */
const ANSWER_TIMEOUT_MS = 20_000;
/** Enough for an error page's first words. */
const ANSWER_MAX_BYTES = 4_096;
/** A node that took a delivery and died has it taken over after this. */
const HOLD_MS = 3 * ANSWER_TIMEOUT_MS;
/** Statements of a step take milliseconds; a database this slow is as good as away. */
const STEP_TIMEOUT_MS = 30_000;

/**
 * Turns changes into deliveries: in one transaction with the cursor, so each change becomes one delivery to each endpoint
 * that wants it, whatever crashes. One node at a time does it. Answers true when there may be more.
 */
export async function dispatchChanges(deps: SendDeps): Promise<boolean> {
  return writeAs(deps.sql, PLATFORM_SCOPE, STEP_TIMEOUT_MS, async (tx) => {
    const from = await lockCursor(tx);
    if (!from) return false;
    if (!(await hasEndpoints(tx))) {
      // Nobody would hear of them, and an endpoint hears only of what comes after it.
      await moveCursor(tx, { xid: (await selectBound(tx)) - 1n, seq: 0 });
      return false;
    }
    const { changes, position, complete } = await readChanges(deps.sql, from, DISPATCH_LIMIT);
    const events = changes.flatMap((change) => eventOf(deps.database, change) ?? []);
    const tenantUids = [...new Set(events.flatMap(({ tenantUid }) => tenantUid ?? []))];
    const integratorUids = [...new Set(events.flatMap(({ integratorUid }) => integratorUid ?? []))];
    const listeners = events.length === 0 ? [] : await selectListeners(tx, tenantUids, integratorUids);
    const now = deps.clock.now();
    await insertDeliveries(tx, deliveriesOf(events, listeners, now), now);
    if (changes.length > 0) await moveCursor(tx, position);
    return !complete;
  });
}

function deliveriesOf(events: readonly WebhookEvent[], listeners: readonly Listener[], now: number): NewDelivery[] {
  return events.flatMap((event) => {
    const hearing = listeners.filter((listener) => hears(listener, event) && wants(listener.eventTypes, event.type));
    if (hearing.length === 0) return [];
    const payload = payloadOf(event);
    return hearing.map((listener) => ({
      endpointUid: listener.uid,
      tenantUid: listener.tenantUid,
      integratorUid: listener.integratorUid,
      eventId: event.eventId,
      eventType: event.type,
      resource: event.resource,
      payload,
      eventAt: event.at,
      dueAt: listener.disableReason === null ? now : PARKED_AT,
    }));
  });
}

function hears(listener: Listener, event: WebhookEvent): boolean {
  // An endpoint does not hear of what happened before it was there.
  if (event.at < listener.createdAt) return false;
  if (listener.scope === "platform") return true;
  if (listener.tenantUid !== null) return listener.tenantUid === event.tenantUid;
  return listener.integratorUid !== null && listener.integratorUid === event.integratorUid;
}

/** Sends what is due, side by side. Answers true when there may be more. */
export async function sendDue(deps: SendDeps, ctx: Ctx): Promise<boolean> {
  const input = { holdMs: HOLD_MS, limit: DELIVER_LIMIT, perEndpoint: DELIVER_PER_ENDPOINT };
  const taken = await writeAs(deps.sql, PLATFORM_SCOPE, STEP_TIMEOUT_MS, (tx) =>
    takeDue(tx, { ...input, now: deps.clock.now() }),
  );
  const uids = [...new Set(taken.map(({ endpointUid }) => endpointUid))];
  const rows = await readAs(deps.sql, PLATFORM_SCOPE, STEP_TIMEOUT_MS, (tx) => selectSenders(tx, uids));
  const senders = new Map(rows.map((sender) => [sender.uid, sender]));
  await Promise.all(
    taken.map(async (delivery) => {
      const sender = senders.get(delivery.endpointUid);
      if (sender) await send(deps, ctx, sender, delivery);
    }),
  );
  return taken.length > 0;
}

async function send(deps: SendDeps, ctx: Ctx, sender: Sender, delivery: TakenDelivery): Promise<void> {
  const startedAt = deps.clock.now();
  const begun = deps.clock.monotonic();
  const answer = await post(deps, ctx, sender, delivery, startedAt);
  // The stop of a node is no failure of the receiver: the delivery becomes due again by itself.
  if (ctx.signal.aborted && answer.statusCode === 0) return;
  const verdict = judge(answer, delivery.attempt, deps.random());
  const durationMs = Math.round(deps.clock.monotonic() - begun);
  const attempt = { startedAt, durationMs, statusCode: answer.statusCode, error: answer.error };
  await finish(deps, sender, delivery, verdict, attempt);
  if (verdict.kind === "gone") await disableEndpoint(deps, ctx, sender.endpointId, "GONE");
  const { failingSinceAt } = sender;
  const failing = verdict.kind !== "delivered" && failingSinceAt !== null;
  if (failing && startedAt - failingSinceAt >= FAILING_MAX_MS) {
    await disableEndpoint(deps, ctx, sender.endpointId, "FAILING");
  }
}

interface Answer {
  readonly statusCode: number;
  readonly error: string;
  readonly retryAfterMs: number | undefined;
}

async function post(deps: SendDeps, ctx: Ctx, sender: Sender, delivery: TakenDelivery, at: number): Promise<Answer> {
  const timestamp = String(Math.floor(at / 1_000));
  const headers = {
    "content-type": "application/json",
    "user-agent": "Tenantplane-Webhooks/1",
    "webhook-id": delivery.eventId,
    "webhook-timestamp": timestamp,
    "webhook-signature": signatures(deps, sender, `${delivery.eventId}.${timestamp}.${delivery.payload}`, at),
  };
  const limits = { timeoutMs: ANSWER_TIMEOUT_MS, answerMaxBytes: ANSWER_MAX_BYTES, signal: ctx.signal };
  const request = { url: sender.url, method: "POST" as const, headers, body: delivery.payload, ...limits };
  return deps.request(request).then(
    (answer) => ({
      statusCode: answer.statusCode,
      error: answer.statusCode >= 200 && answer.statusCode < 300 ? "" : firstWords(answer.body),
      retryAfterMs: retryAfterMs(answer.header("retry-after"), at),
    }),
    (error: unknown) => {
      if (!(error instanceof RequestFailure)) throw error;
      return { statusCode: 0, error: error.message, retryAfterMs: undefined };
    },
  );
}

// During a rotation receivers may know either secret: both sign.
function signatures(deps: SendDeps, sender: Sender, text: string, at: number): string {
  const previousSigns = sender.previousExpiresAt !== null && sender.previousExpiresAt > at;
  const sealed = [sender.secret, ...(previousSigns && sender.previousSecret !== null ? [sender.previousSecret] : [])];
  return sealed
    .map((secret) => {
      const key = deps.seal.open(secret, secretContext(sender.endpointId));
      if (key === undefined) throw new Error(`the secret of webhook endpoint ${sender.endpointId} can't be opened`);
      if (sender.signing === "ED25519") return `v1a,${deps.signEd25519(key, text)}`;
      return `v1,${deps.hmacSha256(Buffer.from(key, "base64"), text)}`;
    })
    .join(" ");
}

async function finish(deps: SendDeps, sender: Sender, delivery: TakenDelivery, verdict: Verdict, attempt: Attempt) {
  const now = deps.clock.now();
  const delivered = verdict.kind === "delivered";
  const state = delivered ? "DELIVERED" : verdict.kind === "failed" ? "FAILED" : "PENDING";
  const nextAttemptAt = verdict.kind === "retry" ? now + verdict.afterMs : verdict.kind === "gone" ? PARKED_AT : null;
  const end = { state, nextAttemptAt, deliveredAt: delivered ? now : null, attempt } as const;
  await writeAs(deps.sql, PLATFORM_SCOPE, STEP_TIMEOUT_MS, async (tx) => {
    // The endpoint before its deliveries, as all writes take them: otherwise one that is being deleted could cross this.
    await noteOutcome(tx, sender.uid, now, delivered);
    await finishAttempt(tx, delivery, end);
  });
}

function firstWords(body: string): string {
  return body
    .replace(/[\p{Cc}\p{Cs}]+/gu, " ")
    .trim()
    .slice(0, ERROR_MAX_CHARACTERS)
    .toWellFormed();
}

/** What an operator reads at a glance. */
const ERROR_MAX_CHARACTERS = 200;
