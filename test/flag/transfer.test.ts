import { createEvaluator } from "@tenantplane/sdk/evaluate";
import { createReplica, type Replica, type TransferPiece } from "@tenantplane/sdk/replica";
import { describe, expect, it } from "vitest";
import type { ChangeRow, Position } from "../../src/change/store.ts";
import { createFlagTable, type FlagTable, type TableContent } from "../../src/flag/table.ts";
import { createTransfers, type FlagScope, type Transfers } from "../../src/flag/transfer.ts";
import type { Tenant } from "../../src/tenant/tenant.ts";
import { seeded } from "../support/seeded.ts";

const SEED = Number(process.env.SEED ?? 20_260_404);
const SCOPES: readonly FlagScope[] = ["all", { tenantId: "acme" }, { tenantId: "blue" }];

const EMPTY: TableContent = {
  flags: [],
  segments: [],
  groups: [],
  overrides: [],
  plans: [],
  tenants: [],
  memberPatches: [],
};

/** A table with a platform whose changes come at random, as rows of the change log. */
function createPlatform(seed: number) {
  const random = seeded(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const table = createFlagTable(createEvaluator());
  table.load(EMPTY, { xid: 1n, seq: 0 });
  const there = new Map<string, unknown>();
  let xid = 1n;
  const row = (noun: ChangeRow["noun"], resource: string, after: unknown): ChangeRow => {
    xid += 1n;
    const before = there.get(resource) ?? null;
    if (noun !== "flagMembership") {
      if (after === null) there.delete(resource);
      else there.set(resource, after);
    }
    return { xid, seq: 1, noun, resource, tenantUid: null, integratorUid: null, before, after, at: 0 };
  };
  const makers: (() => ChangeRow)[] = [
    () => row("flag", "flags/a", flag("a", pick([true, false]))),
    () => row("flag", "flags/b", pick([null, flag("b", true), flag("b", false)])),
    () => row("flag", "flags/c", flag("c", true, pick(["x", "y"]))),
    () => row("flagSegment", "flagSegments/s", pick([null, segment("s"), segment("s", "email")])),
    () => row("flagSegment", "flagSegments/t", segment("t")),
    () => row("flagGroup", "flagGroups/g", pick([null, group("g")])),
    () => row("flagOverride", "acme/a", pick([null, override("acme", "a", pick(["on", "off"]))])),
    () => row("flagOverride", "blue/c", pick([null, override("blue", "c", pick(["on", "off"]))])),
    () => row("tenant", "tenants/acme", tenant("acme", pick(["ACTIVE", "SUSPENDED"]))),
    () => row("tenant", "tenants/blue", tenant("blue", pick(["ACTIVE", "ARCHIVED"]))),
    () => row("plan", "plans/p", { planId: "p", version: 1, entitlements: { sso: { type: "bool", value: true } } }),
    () => row("user", "tenants/acme/users/u", {}),
    () => {
      const name = pick(["s", "t"]);
      const keys = [pick(["k1", "k2"]), pick(["k3", "k4"])];
      const lists = pick([{ include: keys }, { exclude: keys }, { remove: keys }]);
      return row(
        "flagMembership",
        `flagSegments/${name}`,
        there.has(`flagSegments/${name}`) ? { segment: name, ...lists } : { segment: "t" },
      );
    },
  ];
  const advance = (rows: number) => {
    const changes = Array.from({ length: rows }, () => pick(makers)());
    // Removing what is not there changes nothing, and is never logged.
    const real = changes.filter(({ before, after }) => before !== null || after !== null);
    table.apply({ changes: real, position: { xid: xid + 1n, seq: 0 } });
  };
  return { table, advance, random, pick };
}

function flag(key: string, enabled: boolean, salt = key) {
  const variants = { on: true, off: false };
  const definition = {
    key,
    kind: "boolean",
    state: enabled ? "ENABLED" : "DISABLED",
    variants,
    salt,
    bucketing: 1,
    defaultServe: { variant: "on" },
  };
  return { definition, tenantOverridable: false };
}
function segment(key: string, memberBy?: string) {
  return { definition: { key, ...(memberBy ? { memberBy } : {}) } };
}
function group(key: string) {
  return { definition: { key, salt: key, bucketing: 1 } };
}
function override(tenantId: string, flagKey: string, variant: string) {
  return { tenantId, tenantUid: `uid-${tenantId}`, flagKey, serve: { variant } };
}
function tenant(tenantId: string, state: string) {
  return {
    tenantId,
    uid: `uid-${tenantId}`,
    state,
    planId: "p",
    planVersion: 1,
    integratorId: null,
    labels: {},
  } as unknown as Tenant;
}

/** What a replica says of everything there is in its scope. */
function contentOf(replica: Replica, scope: FlagScope) {
  const own = (key: string) => scope === "all" || key === scope.tenantId || key.startsWith(`${scope.tenantId}/`);
  const of = (kind: "flag" | "segment" | "group" | "override" | "tenant") =>
    [...replica.keys(kind)]
      .filter((key) => (kind === "override" || kind === "tenant" ? own(key) : true))
      .sort()
      .map((key) => [kind, key, replica.document({ kind, key })]);
  const lists = [...replica.lists()].map(([name, { keys }]) => [name, [...keys].sort()]).sort();
  return [...of("flag"), ...of("segment"), ...of("group"), ...of("override"), ...of("tenant"), lists];
}

/** Whoever follows: applies what it is sent, and says with what it was not content. */
function createWatcher(table: FlagTable, transfers: Transfers, scope: FlagScope) {
  const replica = createReplica(createEvaluator());
  let position: Position | undefined;
  const counts = { full: 0, changes: 0, pieces: [] as TransferPiece[] };
  return {
    replica,
    counts,
    scope,
    catchUp() {
      const since = position && transfers.since(position, scope);
      const pieces = since ?? transfers.full(scope);
      if (since === undefined) counts.full += 1;
      else if (since.length > 0) counts.changes += 1;
      counts.pieces = [...pieces];
      position = table.position();
      const outcomes = pieces.map((piece) => replica.apply(piece));
      return outcomes.filter(({ kind }) => kind === "broken");
    },
  };
}

describe("what is sent to those who follow the flags", () => {
  it(`makes every replica what the table is, whatever it has missed (SEED=${SEED})`, () => {
    const { table, advance, random, pick } = createPlatform(SEED);
    const transfers = createTransfers(table, ({ xid, seq }) => `${xid}.${seq}`);
    const watchers = [...SCOPES, ...SCOPES].map((scope) => createWatcher(table, transfers, scope));
    for (let turn = 0; turn < 600; turn += 1) {
      advance(1 + Math.floor(random() * 4));
      const watcher = pick(watchers);
      expect(watcher.catchUp()).toEqual([]);
      expect(contentOf(watcher.replica, watcher.scope)).toEqual(contentOf(table.replica, watcher.scope));
      const heartbeat = watcher.replica.apply(transfers.heartbeat());
      expect(heartbeat.kind).toBe("heartbeat");
    }
    // Deltas are the rule; only a segment that came back makes a replica start over.
    const total = watchers.reduce(
      (sum, { counts }) => ({ full: sum.full + counts.full, changes: sum.changes + counts.changes }),
      { full: 0, changes: 0 },
    );
    expect(total.changes).toBeGreaterThan(total.full);
  });

  it("makes a change once for all who are at the same step, whichever their scope", () => {
    const { table, advance } = createPlatform(SEED + 1);
    for (let turn = 0; turn < 30; turn += 1) advance(2);
    const transfers = createTransfers(table, ({ xid }) => String(xid));
    const watchers = [...SCOPES, ...SCOPES].map((scope) => createWatcher(table, transfers, scope));
    for (const watcher of watchers) watcher.catchUp();
    const definition = {
      key: "new",
      kind: "boolean",
      state: "ENABLED",
      variants: { on: true },
      salt: "new",
      bucketing: 1,
    };
    const xid = table.position().xid + 5n;
    const change = { xid, seq: 1, noun: "flag" as const, resource: "flags/new", tenantUid: null, integratorUid: null };
    table.apply({
      changes: [{ ...change, before: null, after: { definition }, at: 0 }],
      position: { xid: xid + 1n, seq: 0 },
    });
    for (const watcher of watchers) watcher.catchUp();
    const [first] = watchers;
    for (const { counts } of watchers) expect(counts.pieces[0]).toBe(first?.counts.pieces[0]);
    expect(first?.counts.pieces).toEqual([
      {
        begin: { full: false },
        puts: [{ kind: "flag", key: "new", json: JSON.stringify(definition) }],
        deletes: [],
        memberPatches: [],
        commit: { platformChecksum: table.replica.checksums().platformChecksum, tenantChecksum: "" },
        resumeToken: String(xid + 1n),
      },
    ]);
  });

  it("says nothing to a tenant's watcher of what is another's", () => {
    const { table, advance } = createPlatform(SEED + 2);
    for (let turn = 0; turn < 30; turn += 1) advance(2);
    const transfers = createTransfers(table, ({ xid }) => String(xid));
    const position = table.position();
    const after = override("blue", "c", "on");
    const xid = position.xid + 5n;
    const change = {
      seq: 1,
      noun: "flagOverride" as const,
      resource: "x",
      tenantUid: null,
      integratorUid: null,
      at: 0,
    };
    table.apply({
      changes: [{ ...change, xid, before: null, after: { ...after, serve: { variant: "zz" } } }],
      position: { xid: xid + 1n, seq: 0 },
    });
    expect(transfers.since(position, { tenantId: "acme" })).toEqual([]);
    expect(transfers.since(position, { tenantId: "blue" })?.[0]?.puts.map(({ key }) => key)).toEqual(["blue/c"]);
    const full = transfers.full({ tenantId: "acme" }).flatMap(({ puts }) => puts);
    expect(full.filter(({ key }) => key.startsWith("blue"))).toEqual([]);
  });

  it("cuts what is large into pieces, lists of segments too", () => {
    const table = createFlagTable(createEvaluator());
    const keys = Array.from({ length: 60_000 }, (_, index) => `member-${index}-${"x".repeat(20)}`);
    const flags = Array.from({ length: 3_000 }, (_, index) => flag(`flag-${index}-${"y".repeat(200)}`, true));
    const content = { ...EMPTY, flags, segments: [segment("s")], memberPatches: [{ segment: "s", include: keys }] };
    table.load(content as unknown as TableContent, { xid: 1n, seq: 0 });
    const pieces = createTransfers(table, () => "t").full("all");
    const sizes = pieces.map((piece) => JSON.stringify(piece).length);
    const replica = createReplica(createEvaluator());
    const outcomes = pieces.map((piece) => replica.apply(piece).kind);
    expect(Math.max(...sizes)).toBeLessThan(600_000);
    expect(outcomes.slice(0, -1).every((kind) => kind === "pending")).toBe(true);
    expect(outcomes.at(-1)).toBe("committed");
    expect([...replica.lists()].map(([name, list]) => [name, list.keys.size])).toEqual([["s", 60_000]]);
    expect(replica.evaluator.size).toBe(3_000);
  });
});
