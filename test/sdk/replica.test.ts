import { createEvaluator } from "@tenantplane/sdk/evaluate";
import {
  createReplica,
  formatChecksum,
  hashOf,
  hashOfMember,
  type TransferPiece,
  toggle,
} from "@tenantplane/sdk/replica";
import { beforeEach, describe, expect, it } from "vitest";

const EMPTY: TransferPiece = { puts: [], deletes: [], memberPatches: [], resumeToken: "" };
const UNCHECKED = { platformChecksum: "", tenantChecksum: "" };
const flag = (key: string, variant = "on") => {
  const definition = {
    key,
    kind: "boolean",
    state: "ENABLED",
    variants: { on: true, off: false },
    salt: key,
    bucketing: 1,
    defaultServe: { variant },
  };
  return { kind: "flag" as const, key, json: JSON.stringify(definition) };
};
const tenant = (key: string, state = "ACTIVE") => ({
  kind: "tenant" as const,
  key,
  json: JSON.stringify({ id: key, state }),
});

let replica: ReturnType<typeof createReplica>;
beforeEach(() => {
  replica = createReplica(createEvaluator());
  replica.apply({
    ...EMPTY,
    begin: { full: true },
    puts: [flag("a"), flag("b"), tenant("acme")],
    commit: UNCHECKED,
    resumeToken: "1",
  });
});

const variantOf = (key: string, tenantId = "acme") =>
  replica.evaluator.evaluate(key, {}, replica.facts(tenantId), 0).variant;

describe("a replica", () => {
  it("shows nothing of a transfer before its commit, and then all of it", () => {
    expect(replica.apply({ ...EMPTY, begin: { full: false }, puts: [flag("a", "off")] })).toEqual({ kind: "pending" });
    expect(replica.apply({ ...EMPTY, puts: [flag("c")], deletes: [{ kind: "flag", key: "b" }] })).toEqual({
      kind: "pending",
    });
    expect([variantOf("a"), variantOf("b"), variantOf("c"), replica.token()]).toEqual(["on", "on", undefined, "1"]);
    const outcome = replica.apply({ ...EMPTY, commit: UNCHECKED, resumeToken: "2" });
    expect(outcome).toMatchObject({ kind: "committed", tenants: [] });
    expect([variantOf("a"), variantOf("b"), variantOf("c"), replica.token()]).toEqual(["off", undefined, "on", "2"]);
  });

  it("keeps what it has when a checksum differs, and takes nothing but everything from then on", () => {
    const wrong = { platformChecksum: "0123456789abcdef", tenantChecksum: "" };
    const piece = { ...EMPTY, begin: { full: false }, puts: [flag("a", "off")], commit: wrong, resumeToken: "2" };
    expect(replica.apply(piece)).toEqual({ kind: "broken", why: "the checksum of the platform's part differs" });
    expect([variantOf("a"), replica.token()]).toEqual(["on", ""]);
    const { platformChecksum } = replica.checksums();
    const unchanged = { ...EMPTY, begin: { full: true }, puts: [flag("a"), flag("b"), tenant("acme")] };
    const outcome = replica.apply({ ...unchanged, commit: { platformChecksum, tenantChecksum: "" }, resumeToken: "3" });
    expect([outcome, replica.token()]).toEqual([{ kind: "committed", flags: [], tenants: [] }, "3"]);
  });

  it("drops what a full transfer does not bring, and tells only what changed", () => {
    const piece = {
      ...EMPTY,
      begin: { full: true },
      puts: [flag("a"), flag("c"), tenant("blue")],
      commit: UNCHECKED,
      resumeToken: "2",
    };
    const outcome = replica.apply(piece);
    const changed = outcome.kind === "committed" ? [[...outcome.flags].sort(), [...outcome.tenants].sort()] : outcome;
    expect(changed).toEqual([
      ["b", "c"],
      ["acme", "blue"],
    ]);
    expect([variantOf("b"), replica.facts("acme"), replica.facts("blue")?.state]).toEqual([
      undefined,
      undefined,
      "ACTIVE",
    ]);
  });

  it("checks heartbeats, and goes on to their token", () => {
    const commit = { platformChecksum: replica.checksums().platformChecksum, tenantChecksum: "" };
    expect(replica.apply({ ...EMPTY, commit, resumeToken: "5" })).toEqual({ kind: "heartbeat" });
    expect(replica.token()).toBe("5");
    expect(replica.apply({ ...EMPTY, commit: { ...commit, platformChecksum: "00" }, resumeToken: "6" }).kind).toBe(
      "broken",
    );
  });

  it("forgets a transfer that a new one cuts off", () => {
    replica.apply({ ...EMPTY, begin: { full: false }, puts: [flag("a", "off")] });
    replica.apply({ ...EMPTY, begin: { full: false }, puts: [flag("b", "off")], commit: UNCHECKED, resumeToken: "2" });
    expect([variantOf("a"), variantOf("b")]).toEqual(["on", "off"]);
  });

  it("lets one flag fail that it can't read, and no other", () => {
    const broken = { kind: "flag" as const, key: "b", json: '{"key":"b","kind":"from the future"}' };
    const nonsense = { kind: "flag" as const, key: "c", json: "{" };
    replica.apply({ ...EMPTY, begin: { full: false }, puts: [broken, nonsense], commit: UNCHECKED, resumeToken: "2" });
    const codes = ["a", "b", "c"].map((key) => replica.evaluator.evaluate(key, {}, replica.facts("acme"), 0).errorCode);
    expect(codes).toEqual([undefined, "PARSE_ERROR", "PARSE_ERROR"]);
  });

  it("knows facts by tenant, as they are now", () => {
    expect(replica.facts("acme")).toEqual({ id: "acme", state: "ACTIVE" });
    replica.apply({
      ...EMPTY,
      begin: { full: false },
      puts: [tenant("acme", "SUSPENDED")],
      commit: UNCHECKED,
      resumeToken: "2",
    });
    expect([replica.facts("acme")?.state, replica.facts("none"), replica.facts("__proto__")]).toEqual([
      "SUSPENDED",
      undefined,
      undefined,
    ]);
  });
});

describe("lists of segments", () => {
  const segment = { kind: "segment" as const, key: "s", json: '{"key":"s"}' };
  const patch = (lists: { include?: string[]; exclude?: string[]; remove?: string[] }) => ({ segment: "s", ...lists });
  const send = (piece: Partial<TransferPiece>, full = false) =>
    replica.apply({ ...EMPTY, ...piece, begin: { full }, commit: UNCHECKED, resumeToken: "9" });
  const keys = () => Object.fromEntries(replica.lists().get("s")?.keys ?? []);

  it("take patches in order, and go with their segment even if it comes back", () => {
    send({
      puts: [segment],
      memberPatches: [patch({ include: ["a", "b"] }), patch({ exclude: ["b", "c"] }), patch({ remove: ["a"] })],
    });
    expect(keys()).toEqual({ b: true, c: true });
    send({ memberPatches: [patch({ include: ["c"] })] });
    expect(keys()).toEqual({ b: true, c: false });
    replica.apply({ ...EMPTY, begin: { full: false }, deletes: [{ kind: "segment", key: "s" }] });
    replica.apply({
      ...EMPTY,
      puts: [segment],
      memberPatches: [patch({ include: ["z"] })],
      commit: UNCHECKED,
      resumeToken: "10",
    });
    expect(keys()).toEqual({ z: false });
  });

  it("come to the same checksum however they were made", () => {
    send({ puts: [segment], memberPatches: [patch({ include: ["a", "b"], exclude: ["c"] })] });
    const direct = replica.checksums().platformChecksum;
    send({ memberPatches: [patch({ exclude: ["a"], remove: ["b"] }), patch({ include: ["d"] })] });
    expect(replica.checksums().platformChecksum).not.toBe(direct);
    send({ memberPatches: [patch({ include: ["a", "b"], remove: ["d"] })] });
    expect(replica.checksums().platformChecksum).toBe(direct);
    send(
      {
        puts: [flag("a"), flag("b"), segment],
        memberPatches: [patch({ include: ["b", "a"] }), patch({ exclude: ["c"] })],
      },
      true,
    );
    expect(replica.checksums().platformChecksum).toBe(direct);
  });
});

describe("the checksum", () => {
  it("is what other implementations must come to", () => {
    const sum = { high: 0, low: 0 };
    expect(formatChecksum(sum)).toBe("0000000000000000");
    toggle(sum, hashOf("flag", "a", '{"key":"a"}'));
    const one = formatChecksum(sum);
    toggle(sum, hashOf("tenant", "ünï", "{}"));
    toggle(sum, hashOfMember("s", "u1", false));
    toggle(sum, hashOfMember("s", "u1", true));
    const all = formatChecksum(sum);
    expect([one, all]).toMatchInlineSnapshot(`
      [
        "ac0687d2c6b367aa",
        "2cfc532cfecda37d",
      ]
    `);
  });
});
