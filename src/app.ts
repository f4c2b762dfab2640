import { createEvaluator } from "@tenantplane/sdk/evaluate";
import { re2 } from "@tenantplane/sdk/regex";
import packageJson from "../package.json" with { type: "json" };
import { auditRpc } from "./audit/rpc.ts";
import { recordDenied } from "./audit/service.ts";
import type { Role } from "./auth/permission.ts";
import { createApiKey, loadKey } from "./auth/service.ts";
import { countPlatformKeys, selectSecrets, touchKeys } from "./auth/store.ts";
import { type Batch, createHub } from "./change/hub.ts";
import { changeJobs } from "./change/jobs.ts";
import { type Feed, startFeed } from "./change/service.ts";
import { type ChangeRow, selectBound } from "./change/store.ts";
import { formatPosition } from "./change/token.ts";
import { envoyRpc } from "./compat/envoy-rpc.ts";
import { flagdEvaluationV1, flagdEvaluationV2 } from "./compat/flagd-evaluation-rpc.ts";
import { flagdSync } from "./compat/flagd-sync-rpc.ts";
import { manifestRoute } from "./compat/manifest-rpc.ts";
import { ofrepRoutes } from "./compat/ofrep-rpc.ts";
import type { Config } from "./config.ts";
import { systemCtx } from "./context.ts";
import { flagJobs } from "./flag/jobs.ts";
import { type LoadDeps, loadFlags } from "./flag/load-service.ts";
import { flagRpc } from "./flag/rpc.ts";
import { createFlagTable, type FlagTable } from "./flag/table.ts";
import { createTransfers } from "./flag/transfer.ts";
import { createUsageCounter } from "./flag/usage.ts";
import { flushUsage } from "./flag/usage-service.ts";
import { integratorRpc } from "./integrator/rpc.ts";
import { selectIntegrator } from "./integrator/store.ts";
import { migrate } from "./migrations/migrate.ts";
import type { MutationDeps } from "./mutation.ts";
import { planRpc } from "./plan/rpc.ts";
import { startBullJobs } from "./platform/bull-jobs.ts";
import { type Clock, every, type Ids, sleep, systemClock, systemIds, systemRandom } from "./platform/clock.ts";
import { createEd25519, createSeal, hmacSha256, sha256, signEd25519, uuidOf } from "./platform/crypto.ts";
import { startEmbeddedPostgres } from "./platform/embedded-postgres.ts";
import type { Jobs, JobsOptions, QueueHealth } from "./platform/job.ts";
import { startLocalJobs } from "./platform/local-jobs.ts";
import type { Log } from "./platform/log.ts";
import { createMetrics } from "./platform/metrics.ts";
import { OperatorError } from "./platform/operator-error.ts";
import { openPostgres, PLATFORM_SCOPE, readAs, type Sql, writeAs } from "./platform/postgres.ts";
import { openBell, openCache, openRedis } from "./platform/redis.ts";
import { createSafeRequest } from "./platform/safe-request.ts";
import { knowAbsence } from "./quota/absence.ts";
import { allotmentJobs } from "./quota/allotment-jobs.ts";
import { startQuotaChecks } from "./quota/checks-service.ts";
import { scanFacts } from "./quota/facts-store.ts";
import { createMemoryState } from "./quota/hot/memory.ts";
import { createRedisState } from "./quota/hot/redis.ts";
import type { HotState } from "./quota/hot/state.ts";
import { quotaJobs, SETTLE_PERIODS } from "./quota/jobs.ts";
import { selectUsedInWindow } from "./quota/ledger-store.ts";
import { quotaRpc } from "./quota/rpc.ts";
import { takeSeat } from "./quota/seat-service.ts";
import { createQuotaTable, type QuotaTable } from "./quota/table.ts";
import { accessRpc } from "./server/access-rpc.ts";
import { type Authenticator, createAuthenticator } from "./server/authenticate.ts";
import { guardAll } from "./server/chain.ts";
import { createDenials } from "./server/denials.ts";
import { startGrpcListener } from "./server/grpc-listener.ts";
import type { Mount } from "./server/handlers.ts";
import { readTls, startHttpListener } from "./server/http-listener.ts";
import { createPages, readiness } from "./server/pages.ts";
import { guardRoutes } from "./server/route.ts";
import type { Denied } from "./server/run.ts";
import { ALL_SERVICES } from "./server/services.ts";
import { tenantJobs } from "./tenant/jobs.ts";
import { createTenantReader } from "./tenant/read-service.ts";
import { tenantRpc } from "./tenant/rpc.ts";
import type { TenantDeps } from "./tenant/service.ts";
import { scanTenants, selectTenant, selectTenantByUid } from "./tenant/store.ts";
import { createTenantTable, type TenantTable } from "./tenant/table.ts";
import type { Tenant } from "./tenant/tenant.ts";
import { createIngest } from "./usage/ingest-service.ts";
import { FOLD_USAGE, RECOUNT_USAGE, usageJobs } from "./usage/jobs.ts";
import { usageRpc } from "./usage/rpc.ts";
import { userRpc } from "./user/rpc.ts";
import { addUser } from "./user/service.ts";
import { selectUserByEmail } from "./user/store.ts";
import { userName } from "./user/user.ts";
import { selectCursor } from "./webhook/delivery-store.ts";
import { webhookJobs } from "./webhook/jobs.ts";
import { webhookRpc } from "./webhook/rpc.ts";

/** What tests and tools replace. */
export interface Overrides {
  readonly clock?: Clock;
  readonly ids?: Ids;
  /** Puts the first admin key where its owner finds it; nothing is created when it throws. */
  readonly keepFirstKey?: (secret: string) => void;
  /** Batches that a slow watcher may be behind. */
  readonly watchQueueMax?: number;
  readonly log: Log;
  /** A worker does background work alone: it answers probes and metrics, and no RPCs. */
  readonly role?: "server" | "worker";
}

/** A running node. */
export interface App {
  /** 0 of a worker. */
  readonly grpcPort: number;
  readonly httpPort: number;
  /** The first admin key, when this start created it. */
  readonly firstKey: string | undefined;
  /** Runs the background work now: purge, compaction, last-used times. */
  tick(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a node: the one place that constructs things. Throws OperatorError for what an operator must mend. */
export async function startApp(config: Config, overrides: Overrides): Promise<App> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const step of stops.splice(0).reverse()) await step();
  };
  try {
    return await construct(config, overrides, stops, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function construct(
  config: Config,
  overrides: Overrides,
  stops: (() => Promise<void>)[],
  stop: () => Promise<void>,
) {
  const { log, clock = systemClock, ids = systemIds } = overrides;
  const tls = readTls(config.TLS_CERT_FILE, config.TLS_KEY_FILE);
  const sql = await openDatabase(config, stops);
  const secrets = await readAs(sql, PLATFORM_SCOPE, START_TIMEOUT_MS, selectSecrets);
  const seal = createSeal(secrets.get("page-token-key") ?? new Uint8Array(32));
  const database = Buffer.from(secrets.get("database-id") ?? [])
    .toString("hex")
    .slice(0, 8);
  const token = (position: Parameters<typeof formatPosition>[1]) => formatPosition(database, position);
  const table = createTenantTable();
  let jobs: Jobs | undefined;
  const onReplaced = (tenantId: string) => jobs?.wake(SETTLE_PERIODS, tenantId);
  const quotas = createQuotaTable({ tenants: table, now: clock.now, onReplaced });
  const flags = createFlagTable(createEvaluator({ regex: re2 }));
  const hub = createHub(overrides.watchQueueMax);
  const onError = (error: unknown) => log.warn("background work failed", { error });

  let feed: Feed | undefined;
  const bell = config.REDIS_URL
    ? await openBell(config.REDIS_URL, `tenantplane:${database}`, () => feed?.nudge())
    : undefined;
  if (bell) stops.push(() => bell.stop());
  const cache = config.REDIS_URL ? openCache(config.REDIS_URL) : undefined;
  stops.push(async () => cache?.stop());
  const nudge = () => {
    feed?.nudge();
    bell?.ring();
  };
  const deps = { sql, clock, ids, nudge, seal, sha256, takeSeat };
  const find = finders(sql, table);
  const authenticator = createAuthenticator({
    ...deps,
    ...find,
    loadKey: (id) => loadKey(deps, id),
    oidc: oidcOf(config),
  });
  const memory = memoryOf(sql, { table, quotas, flags, loading: { flags, cache, database, onError }, authenticator });
  const apply = (batch: Batch) => {
    memory.apply(batch);
    if (batch.changes.length > 0) jobs?.wake("dispatch-webhooks");
  };
  const { monotonic } = clock;
  const feedDeps = { sql, hub, pollMs: config.CHANGE_POLL_MS, onError, monotonic, ...memory, apply };
  const started = startFeed(feedDeps, await memory.reload());
  feed = started;
  stops.push(() => started.stop());

  const queueHealth = async () => jobs?.health() ?? NO_QUEUE;
  const metrics = createMetrics({
    tenants: table.size,
    watchers: () => hub.watchers() + flags.watchers(),
    queue: queueHealth,
  });
  const tenantDeps: TenantDeps = {
    ...deps,
    onCreate: async (mutation, _, tenant, email) => {
      await addUser(deps, mutation, tenant, { email, displayName: "", role: "tenant.admin", disabled: false });
    },
  };
  const usageDeps = {
    ...deps,
    keyOf: uuidOf,
    wakeFold: () => jobs?.wake(FOLD_USAGE),
    wakeRecount: () => jobs?.wake(RECOUNT_USAGE),
  };
  const webhookDeps = {
    ...deps,
    database,
    createEd25519,
    signEd25519,
    hmacSha256,
    random: systemRandom,
    request: createSafeRequest({ allowPrivate: config.ALLOW_PRIVATE_ADDRESSES }),
    wakeDeliveries: () => jobs?.wake("send-webhooks"),
  };
  const checks = await startQuotaChecks({
    ...deps,
    hot: await openHotState(config, clock, ids),
    quotasOf: quotas.quotasOf,
    onCrossing: () => {},
    onError: (error) => log.warn("quotas are degraded", { error }),
    budgetMs: config.QUOTA_BUDGET_MS,
    grantBudgetMs: config.QUOTA_GRANT_BUDGET_MS,
  });
  stops.push(() => checks.stop());
  const flagDeps = { ...deps, regex: re2, flags, usage: createUsageCounter() };
  const watch = { hub, table, position: started.position, refresh: started.refresh, token, database };
  const quotaDeps = {
    ...deps,
    ...find,
    ...watch,
    through: started.through,
    quotas,
    checks,
    usedOf: selectUsedInWindow,
  };
  const asked = { ...quotaDeps, checks: knowAbsence(checks, { ...find, monotonic }) };
  const flagRpcDeps = {
    ...flagDeps,
    findTenant: find.findTenant,
    ...watch,
    through: started.through,
    transfers: createTransfers(flags, token),
    tenants: table,
  };
  const draining = new AbortController();
  const flagdDeps = { ...flagRpcDeps, ...find, draining: draining.signal, random: systemRandom };
  const mounts = [
    quotaRpc(asked),
    envoyRpc(asked),
    tenantRpc({
      ...tenantDeps,
      ...watch,
      readTenant: createTenantReader(sql),
      through: started.through,
      deleteRetentionMs: config.DELETE_RETENTION_MS,
    }),
    planRpc(deps),
    integratorRpc(deps),
    userRpc(deps),
    accessRpc({ ...deps, ...find }),
    auditRpc(deps),
    usageRpc({ ...usageDeps, ingest: createIngest(usageDeps), findTenant: find.findTenant }),
    flagRpc(flagRpcDeps),
    flagdEvaluationV1(flagdDeps),
    flagdEvaluationV2(flagdDeps),
    flagdSync(flagdDeps),
    webhookRpc({ ...webhookDeps, ...find, allowPrivate: config.ALLOW_PRIVATE_ADDRESSES }),
  ];
  const chain = {
    ...deps,
    ...find,
    log,
    draining: draining.signal,
    authenticator,
    observe: metrics.observe,
    onDenied: createDenials({ clock, record: (denied) => recordDenial(deps, table, denied), onError }),
    deadlineDefaultMs: config.DEADLINE_DEFAULT_MS,
    deadlineMaxMs: config.DEADLINE_MAX_MS,
  };
  requireAllServices(mounts);
  const signKey = secrets.get("page-token-key") ?? new Uint8Array(32);
  const sign = (text: string) => Buffer.from(hmacSha256(signKey, text), "base64").toString("base64url");
  const routes = [...ofrepRoutes({ ...flagdDeps, sign }), manifestRoute(flagDeps)];
  const guarded = guardAll(chain, mounts);
  let leaving = false;
  const probes = {
    checks: {
      postgres: () => sql`select 1`,
      changes: async () => {
        if (started.ageMs() > CHANGES_STALE_MS) throw new Error("the change log was not read lately");
      },
    },
    notes: {
      ...(bell ? { redis: async () => bell.probe().then(() => "connected") } : {}),
      jobs: async () => describeQueue(await queueHealth()),
    },
    draining: () => leaving,
  };
  const pages = createPages({
    ...probes,
    metrics: metrics.render,
    version: packageJson.version,
  });
  const listen = { host: config.LISTEN_HOST, tls, messageMaxBytes: config.MESSAGE_MAX_BYTES };
  const worker = overrides.role === "worker";
  const grpc = worker ? undefined : await startGrpcListener(guarded, { ...listen, port: config.GRPC_PORT });
  const stopGrpc = once(async () => grpc?.stop(config.DRAIN_TIMEOUT_MS));
  stops.push(stopGrpc);
  const http = await startHttpListener(worker ? [] : guarded, {
    ...listen,
    port: config.HTTP_PORT,
    corsOrigins: config.CORS_ORIGINS,
    routes: worker ? [] : guardRoutes(chain, routes),
    pages,
  });
  const stopHttp = once(() => http.stop(config.DRAIN_TIMEOUT_MS));
  stops.push(stopHttp);

  const background = [
    ...tenantJobs(tenantDeps),
    ...quotaJobs(quotaDeps),
    ...allotmentJobs(checks),
    ...usageJobs({ ...usageDeps, eventRetentionMs: config.USAGE_EVENT_RETENTION_MS }),
    ...flagJobs(flagDeps),
    ...webhookJobs({ ...webhookDeps, deliveryRetentionMs: config.WEBHOOK_RETENTION_MS }),
    ...changeJobs({
      ...deps,
      readThrough: () => readAs(sql, PLATFORM_SCOPE, START_TIMEOUT_MS, selectCursor),
      changeRetentionMs: config.CHANGE_RETENTION_MS,
      idempotencyRetentionMs: config.IDEMPOTENCY_RETENTION_MS,
    }),
  ];
  const working = await startJobs(config, database, {
    jobs: background,
    observe: metrics.observeJob,
    onError: (error, job) => log.warn("background work failed", { job, error }),
    monotonic: clock.monotonic,
    drainTimeoutMs: config.DRAIN_TIMEOUT_MS,
  });
  jobs = working;
  const stopJobs = once(() => working.stop());
  stops.push(stopJobs);
  const touchUsedKeys = async () => {
    const used = authenticator.takeUsedKeys();
    if (used.length > 0) await writeAs(sql, PLATFORM_SCOPE, START_TIMEOUT_MS, (tx) => touchKeys(tx, used, clock.now()));
  };
  const stopTouching = every(TOUCH_KEYS_MS, touchUsedKeys, onError);
  const stopFlushing = every(FLUSH_USAGE_MS, () => flushUsage(flagDeps, flagDeps.usage), onError);
  const tellHealth = async () => grpc?.setServing((await readiness(probes)).ok);
  const stopTelling = every(TELL_HEALTH_MS, tellHealth, onError);
  stops.push(async () => {
    // First nobody sends new calls here; then those under way end, on all sides at once.
    leaving = true;
    stopTelling();
    grpc?.setServing(false);
    await sleep(config.DRAIN_DELAY_MS);
    draining.abort();
    hub.shutdown();
    await Promise.all([stopGrpc(), stopHttp(), stopJobs()]);
    stopTouching();
    stopFlushing();
    await touchUsedKeys().catch(onError);
    await flushUsage(flagDeps, flagDeps.usage).catch(onError);
  });
  const firstKey = await createFirstKey(deps, sql, overrides.keepFirstKey);
  const tick = async () => {
    await checks.flush();
    await working.runAll();
    await touchUsedKeys();
    await flushUsage(flagDeps, flagDeps.usage);
  };
  return { grpcPort: grpc?.port ?? 0, httpPort: http.port, firstKey, tick, stop };
}

/** Reading the state of a new node, and other work of the node itself. */
const START_TIMEOUT_MS = 60_000;
/** Last-used times are exact to within it. */
const TOUCH_KEYS_MS = 30_000;
/** As fast as a prober asks. */
const TELL_HEALTH_MS = 1_000;
/** Five times what a suspension may take to arrive: this node decides on what it knew before. */
const CHANGES_STALE_MS = 5_000;
/** What a crash may lose of the counts of evaluations. */
const FLUSH_USAGE_MS = 10_000;
/** Rows of one step while the table is loaded. */
const LOAD_BATCH = 2_000;
/** The lock on its database that a node without Redis holds alone, and nodes with Redis share. */
const SINGLE_NODE_LOCK = 7_315_002;
/** The lock under which a new database gets its first admin key. */
const FIRST_KEY_LOCK = 7_315_003;

function once(stop: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= stop();
    return done;
  };
}

function requireAllServices(mounts: readonly Mount[]): void {
  const missing = ALL_SERVICES.filter((service) => !mounts.some((mounted) => mounted.service === service));
  if (missing.length > 0) throw new Error(`not mounted: ${missing.map((service) => service.typeName).join(", ")}`);
}

async function openDatabase(config: Config, stops: (() => Promise<void>)[]): Promise<Sql> {
  let url: string = config.DATABASE_URL;
  if (url === "") {
    const embedded = await startEmbeddedPostgres({ dataFolder: config.DATA_FOLDER });
    stops.push(() => embedded.stop());
    url = embedded.url;
  }
  await migrate({ url });
  await claimDatabase(url, config.REDIS_URL === "", stops);
  const sql = openPostgres(url, { poolSize: config.DATABASE_POOL_SIZE, role: "tenantplane_app" });
  stops.push(() => sql.end({ timeout: 2 }));
  return sql;
}

/** A node that is still starting. */
const NO_QUEUE: QueueHealth = { waiting: 0, active: 0, delayed: 0, failed: 0, workers: 0 };

function describeQueue({ waiting, active, delayed, failed, workers }: QueueHealth): string {
  return `${waiting} waiting, ${active} active, ${delayed} to be retried, ${failed} given up, ${workers} workers`;
}

function startJobs(config: Config, database: string, options: JobsOptions): Promise<Jobs> | Jobs {
  if (config.REDIS_URL === "") return startLocalJobs(options);
  return startBullJobs({
    ...options,
    redisUrl: config.REDIS_URL,
    prefix: `{tenantplane:${database}}`,
    work: config.RUN_JOBS,
  });
}

async function openHotState(config: Config, clock: Clock, ids: Ids): Promise<HotState> {
  if (config.REDIS_URL === "") return createMemoryState({ now: clock.now, fence: ids.uuid() });
  const state = createRedisState(await openRedis(config.REDIS_URL));
  // A Redis that refuses what the scripts need says so now.
  await state.decide({ holders: [], limits: [], runs: [] });
  return state;
}

// Without Redis nodes can't wake each other, and jobs run in process: one node a database.
async function claimDatabase(url: string, alone: boolean, stops: (() => Promise<void>)[]): Promise<void> {
  const sql = openPostgres(url, { poolSize: 1, name: "tenantplane node" });
  stops.push(() => sql.end({ timeout: 1 }));
  const [row] = alone
    ? await sql<{ ok: boolean }[]>`select pg_try_advisory_lock(${SINGLE_NODE_LOCK}) as ok`
    : await sql<{ ok: boolean }[]>`select pg_try_advisory_lock_shared(${SINGLE_NODE_LOCK}) as ok`;
  if (row?.ok) return;
  throw new OperatorError(
    alone
      ? "Another node uses this database: stop it, or set the same REDIS_URL on all nodes."
      : "Another node without Redis uses this database: stop it, or set the same REDIS_URL on all nodes.",
  );
}

interface Memory {
  readonly table: TenantTable;
  readonly quotas: QuotaTable;
  readonly flags: FlagTable;
  readonly loading: LoadDeps;
  readonly authenticator: Authenticator;
}

// What the node keeps of the database in memory, and how changes reach it.
function memoryOf(sql: Sql, parts: Memory) {
  const { table, quotas, flags, authenticator } = parts;
  const forget = (change: ChangeRow) => {
    if (change.noun === "apiKey") authenticator.forgetKey(change.resource.slice("apiKeys/".length));
    // Their keys went with them, without a change of their own.
    const gone =
      change.noun === "tenant" ? change.tenantUid : change.noun === "integrator" ? change.integratorUid : null;
    if (gone !== null && change.after === null) authenticator.forgetKeysOf(gone);
  };
  return {
    apply(batch: Batch) {
      for (const change of batch.changes) {
        forget(change);
        if (change.noun === "tenant" && change.after) table.put(change.after as Tenant);
        else if (change.noun === "tenant" && change.tenantUid) table.remove(change.tenantUid);
        quotas.apply(change);
      }
      flags.apply(batch);
    },
    hasten(changes: readonly ChangeRow[]) {
      for (const change of changes) {
        forget(change);
        if (change.noun === "tenant" && change.after) table.note(change.after as Tenant);
        quotas.apply(change);
      }
    },
    // The bound is read before the rows: what commits in between is applied twice, which the tables don't mind.
    async reload() {
      const xid = await readAs(sql, PLATFORM_SCOPE, START_TIMEOUT_MS, async (tx) => {
        const bound = await selectBound(tx);
        const uids = new Set<string>();
        for await (const tenants of scanTenants(tx, LOAD_BATCH)) {
          for (const tenant of tenants) {
            uids.add(tenant.uid);
            table.put(tenant);
          }
        }
        table.retain(uids);
        quotas.clear();
        await scanFacts(tx, LOAD_BATCH, (noun, after) => quotas.apply({ noun, before: null, after, tenantUid: null }));
        await loadFlags(parts.loading, tx, table.all(), bound);
        return bound;
      });
      authenticator.forgetKeysOf(undefined);
      return { xid, seq: 0 };
    },
  };
}

// The table may be some milliseconds behind for what was made on another node: then the database knows.
function finders(sql: Sql, table: TenantTable) {
  const read = <T>(fn: Parameters<typeof readAs<T>>[3]) => readAs(sql, PLATFORM_SCOPE, START_TIMEOUT_MS, fn);
  const findTenant = (id: string) => table.byId(id) ?? read((tx) => selectTenant(tx, id));
  return {
    findTenant,
    findTenantByUid: (uid: string) => table.newest(uid) ?? read((tx) => selectTenantByUid(tx, uid)),
    findIntegrator: (id: string) => read((tx) => selectIntegrator(tx, id)),
    findUser: async (tenantId: string, email: string) => {
      const user = await read((tx) => selectUserByEmail(tx, tenantId, email));
      if (!user) return undefined;
      const scope = { kind: "tenant" as const, tenantId, tenantUid: user.tenantUid };
      return { actor: userName(user), disabled: user.disabled, binding: { role: user.role as Role, scope } };
    },
  };
}

// The refused caller's own tenant must not learn of others: the entry belongs to whom it was tried on.
function recordDenial(
  deps: MutationDeps & { seal: ReturnType<typeof createSeal> },
  table: TenantTable,
  denied: Denied,
) {
  const tenant = denied.resource.startsWith("tenants/") ? table.byId(denied.resource.split("/")[1] ?? "") : undefined;
  const owner = { tenantUid: tenant?.uid ?? null, integratorUid: tenant?.integratorUid ?? null };
  return recordDenied(deps, { ...denied, actor: denied.principal.actor }, owner);
}

async function createFirstKey(
  deps: Parameters<typeof createApiKey>[0],
  sql: Sql,
  keep: ((secret: string) => void) | undefined,
): Promise<string | undefined> {
  // Of nodes that start together on a new database one makes the key, and the others see it.
  const turn = await sql.reserve();
  try {
    await turn`select pg_advisory_lock(${FIRST_KEY_LOCK})`;
    return await createMissingKey(deps, sql, keep);
  } finally {
    await turn`select pg_advisory_unlock(${FIRST_KEY_LOCK})`;
    turn.release();
  }
}

async function createMissingKey(
  deps: Parameters<typeof createApiKey>[0],
  sql: Sql,
  keep: ((secret: string) => void) | undefined,
): Promise<string | undefined> {
  if ((await readAs(sql, PLATFORM_SCOPE, START_TIMEOUT_MS, countPlatformKeys)) > 0) return undefined;
  const platform = { scope: { kind: "platform" }, target: { kind: "platform" }, integratorUid: null } as const;
  const input = { ...platform, displayName: "first admin key", role: "platform.admin", expiresAt: null } as const;
  const kept = keep ? { ...input, keep } : input;
  return (await createApiKey(deps, systemCtx("system/start", "start"), kept)).secret;
}

function oidcOf(config: Config) {
  if (config.OIDC_ISSUER === "") return undefined;
  return {
    issuer: config.OIDC_ISSUER,
    audience: config.OIDC_AUDIENCE,
    jwksUrl: config.OIDC_JWKS_URL,
    rolesClaim: config.OIDC_ROLES_CLAIM,
  };
}
