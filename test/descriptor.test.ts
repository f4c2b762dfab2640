import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createFileRegistry } from "@bufbuild/protobuf";
import { afterAll, describe, expect, it } from "vitest";
import { SERVICES } from "../src/server/services.ts";
import { checkServices } from "./support/descriptor/check.ts";
import { buildImage, commentsOf } from "./support/descriptor/image.ts";
import { golden } from "./support/golden.ts";

/**
 * The protos follow Google's AIPs for meaning and buf's rules for form, so every answer is a message of its own. What
 * departs from a rule is listed here, "<rule> <Service.Rpc or Message.field>", with its reason; a `*` at the end takes in
 * all that begins so.
 */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "155 UsageService.ReportUsage": "each event has an id of its own",
  "access AccessService.TestPermissions": "asks what the caller may do: everybody may ask that",
  "155 QuotaService.BatchCheckQuota": "each of its checks has its own",
  "155 QuotaService.RenewLease": "reports all that was ever spent: a report that comes twice counts once",
  "155 QuotaService.ReturnLease": "reports all that was ever spent: a report that comes twice counts once",
  "163 QuotaService.CheckQuota": "QUOTA_MODE_CHECK_ONLY is its dry run",
  "163 QuotaService.BatchCheckQuota": "QUOTA_MODE_CHECK_ONLY is its dry run",
  "163 QuotaService.ReserveQuota": "CheckQuota with QUOTA_MODE_CHECK_ONLY is its dry run",
  "163 QuotaService.CommitReservation": "tells what has happened: there is nothing to try",
  "163 QuotaService.CancelReservation": "gives back: there is nothing to try",
  "163 QuotaService.ExtendReservation": "is refused only when the reservation is over",
  "163 QuotaService.ReleaseQuota": "gives back: there is nothing to try",
  "163 QuotaService.SetGauge": "tells what is so: there is nothing to try",
  "163 QuotaService.AcquireLease": "CheckQuota with QUOTA_MODE_CHECK_ONLY is its dry run",
  "163 QuotaService.RenewLease": "tells what has happened: there is nothing to try",
  "163 QuotaService.ReturnLease": "gives back: there is nothing to try",
  "131 QuotaService.GetTenantQuotas": "its resource is the tenant; what it answers are the tenant's limits",
  "141 StreamedQuota*": "an id that the caller chooses and gets back, of any 64 bits",
  "216 QuotaMode": "is of every message that asks for a decision, not of one of them",
};

const METHODS = SERVICES.flatMap((service) => service.methods);
const comments = commentsOf(buildImage());
const folder = mkdtempSync(join(tmpdir(), "protos-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the protos", () => {
  it("follow the AIPs, or say why not", () => {
    const found = checkServices(SERVICES, comments).map((finding) => ({
      ...finding,
      excuse: Object.keys(EXCEPTIONS).find((name) => covers(name, `${finding.rule} ${finding.subject}`)),
    }));
    const wrong = found.filter(({ excuse }) => excuse === undefined);
    expect(wrong.map(({ rule, subject, remedy }) => `${subject}: ${remedy} [${rule}]`)).toEqual([]);
    const idle = Object.keys(EXCEPTIONS).filter((name) => !found.some(({ excuse }) => excuse === name));
    expect(idle, "these exceptions excuse nothing any more: take them out").toEqual([]);
  });

  it("give every resource that can be created its Get and List", () => {
    const names = new Set(METHODS.map(({ name }) => name));
    const created = [...names].filter((name) => name.startsWith("Create")).map((name) => name.slice("Create".length));
    const lacking = created.filter((noun) => !names.has(`Get${noun}`) || !names.has(`List${noun}s`));
    expect(lacking, "add Get and List for these").toEqual([]);
  });

  it("name nested resources under a parent, which their Create and List take first", () => {
    const wrong = METHODS.filter(({ name }) => /^(Create|List)/.test(name)).filter((method) => {
      const resource = method.output.fields[0]?.message;
      const form = comments.get(`${resource?.typeName}.name`) ?? "";
      const nested = /"[a-zA-Z]+\/\{[a-z]+\}\/[a-zA-Z]+\/\{/.test(form);
      return nested && method.input.fields.find(({ name }) => name === "parent")?.number !== 1;
    });
    expect(wrong.map(({ name }) => `${name}: start its request with \`string parent = 1\` [132, 133]`)).toEqual([]);
  });
});

describe("the rules", () => {
  it("each catch what breaks them", () => {
    const protos = join(folder, "bad/proto/tenantplane/v1");
    mkdirSync(protos, { recursive: true });
    writeFileSync(join(folder, "bad/buf.yaml"), "version: v2\nmodules:\n  - path: proto\n");
    cpSync("proto/tenantplane/v1/options.proto", join(protos, "options.proto"));
    cpSync("test/support/descriptor/bad.proto", join(protos, "bad.proto"));
    const image = buildImage(join(folder, "bad"));
    const service = createFileRegistry(image).getService("tenantplane.v1.BadService");
    const found = checkServices(service ? [service] : [], commentsOf(image));
    const lines = found.map(({ rule, subject, remedy }) => `[${rule}] ${subject}: ${remedy}\n`).sort();
    golden("descriptor-rules.txt", lines.join(""));
  });
});

function covers(exception: string, subject: string): boolean {
  return exception.endsWith("*") ? subject.startsWith(exception.slice(0, -1)) : subject === exception;
}

describe("a change that would break a client of the last release", () => {
  /** Checks a copy of the protos, with `file` edited, against the image of the last release. */
  function breaking(file: string, edit: (text: string) => string) {
    const copy = join(folder, "copy");
    rmSync(copy, { recursive: true, force: true });
    cpSync("proto", join(copy, "proto"), { recursive: true });
    cpSync("buf.yaml", join(copy, "buf.yaml"));
    for (const linked of ["node_modules", "src"]) symlinkSync(resolve(linked), join(copy, linked));
    const path = join(copy, "proto/tenantplane/v1", file);
    writeFileSync(path, edit(readFileSync(path, "utf8")));
    const run = spawnSync(
      resolve("node_modules/.bin/buf"),
      ["breaking", "proto", "--against", resolve("proto/released.binpb")],
      {
        cwd: copy,
        encoding: "utf8",
      },
    );
    return { code: run.status, text: run.stdout + run.stderr };
  }

  it("is refused: a field that goes, an RPC that goes, a number that moves", () => {
    const removed = breaking("tenant.proto", (text) => text.replace("  string time_zone = 12;\n", ""));
    const moved = breaking("user.proto", (text) => text.replace("string role = 4;", "string role = 14;"));
    const gone = breaking("audit.proto", (text) => text.replace(/ {2}rpc ExportAuditEntries[^}]*\}[^}]*\}\n/, ""));
    expect([removed.code, moved.code, gone.code], removed.text + moved.text + gone.text).toEqual([100, 100, 100]);
    expect(removed.text).toContain('Previously present field "12" with name "time_zone"');
  });

  it("is not made by what is only added", () => {
    const added = breaking("user.proto", (text) =>
      text.replace("string role = 4;", "string role = 4;\n  string phone = 90;"),
    );
    expect(added).toEqual({ code: 0, text: "" });
  });
});
