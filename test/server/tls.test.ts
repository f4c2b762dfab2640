import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { TenantService } from "@tenantplane/sdk/gen/tenantplane/v1/tenant_pb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDatabase, startTestApp, type TestApp } from "../support/app.ts";
import { run } from "../support/cli.ts";

let folder: string;
let database: Awaited<ReturnType<typeof createDatabase>>;
let app: TestApp;
const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tenantplane-tls-"));
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", file("key.pem"), "-out", file("cert.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", ...subject, ...files], {
    stdio: "ignore",
  });
  database = await createDatabase();
  app = await startTestApp(database, { settings: { TLS_CERT_FILE: file("cert.pem"), TLS_KEY_FILE: file("key.pem") } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

describe("with a certificate", () => {
  it("both listeners speak TLS, over HTTP/1.1 and HTTP/2", async () => {
    const nodeOptions = { ca: readFileSync(file("cert.pem")) };
    const http = `https://localhost:${app.httpPort}`;
    const transports = [
      createGrpcTransport({ baseUrl: `https://localhost:${app.grpcPort}`, nodeOptions }),
      createConnectTransport({ baseUrl: http, httpVersion: "1.1", nodeOptions }),
      createConnectTransport({ baseUrl: http, httpVersion: "2", nodeOptions }),
    ];
    const headers = { authorization: `Bearer ${app.adminKey}` };
    const answers = await Promise.all(
      transports.map((transport) => createClient(TenantService, transport).listTenants({}, { headers })),
    );
    expect(answers.map((answer) => answer.tenants)).toEqual([[], [], []]);
  });

  it("the command line trusts it when it is told to, and the doctor knows the node", async () => {
    const reach = { TENANTPLANE_SERVER: `https://localhost:${app.grpcPort}`, TENANTPLANE_KEY: app.adminKey };
    const trusting = await run(["tenants", "list", "--ca-file", file("cert.pem")], reach);
    const wary = await run(["tenants", "list"], reach);
    const ports = { GRPC_PORT: String(app.grpcPort), HTTP_PORT: String(app.httpPort), DATABASE_URL: database.url };
    const tls = {
      TLS_CERT_FILE: file("cert.pem"),
      TLS_KEY_FILE: file("key.pem"),
      TENANTPLANE_CA_FILE: file("cert.pem"),
    };
    const doctor = await run(["doctor"], { ...reach, ...ports, ...tls });
    expect([trusting.code, wary.code, wary.err]).toEqual([
      0,
      1,
      expect.stringMatching(/^No server answers at https:\/\/localhost:\d+ \(.*certificate.*\): /),
    ]);
    expect(doctor.out.match(/^ok +(grpc port|http port|readiness|call)/gm)).toHaveLength(4);
  });

  it("refuses clear text", async () => {
    await expect(fetch(`http://localhost:${app.httpPort}/livez`)).rejects.toThrow();
  });
});

describe("without a readable certificate", () => {
  it("does not start, and says in a line what to check", async () => {
    const settings = { TLS_CERT_FILE: file("none.pem"), TLS_KEY_FILE: file("key.pem") };
    await expect(startTestApp(database, { settings })).rejects.toThrow(
      /^TLS can't start: .*Check TLS_CERT_FILE and TLS_KEY_FILE\.$/,
    );
  });
});
