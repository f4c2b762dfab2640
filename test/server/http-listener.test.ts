import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent as HttpAgent, get as httpGet } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { Agent as HttpsAgent, get as httpsGet } from "node:https";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type HttpListenerOptions, readTls, startHttpListener } from "../../src/server/http-listener.ts";

let folder: string;
let tls: { cert: Buffer; key: Buffer };
const ends: (() => unknown)[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "http-listener-"));
  const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", ...subject, ...files], {
    stdio: "ignore",
  });
  tls = { cert: readFileSync(join(folder, "cert.pem")), key: readFileSync(join(folder, "key.pem")) };
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function start(options: Partial<HttpListenerOptions> = {}) {
  const listener = await startHttpListener([], {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    messageMaxBytes: 1_000,
    corsOrigins: ["*"],
    pages: async (path) => (path === "/page" ? { status: 200, type: "text/plain", body: "here" } : undefined),
    ...options,
  });
  ends.push(() => listener.stop(100));
  return listener;
}

/** Sends pieces of bytes, each in a packet of its own, and answers what comes back first. */
async function sendSlowly(port: number, pieces: (string | Buffer)[]): Promise<Buffer> {
  const socket: Socket = connect({ port, host: "127.0.0.1", noDelay: true });
  ends.push(() => socket.destroy());
  const answer = new Promise<Buffer>((resolve, reject) => {
    socket.once("data", resolve);
    socket.once("close", () => reject(new Error("closed without an answer")));
  });
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return answer;
}

describe("the HTTP port", () => {
  it("tells HTTP/1.1 from HTTP/2 however the first bytes arrive", async () => {
    const { port } = await start();
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    for (const cut of [1, 2, 3, 10]) {
      const found = await sendSlowly(port, [preface.slice(0, cut), preface.slice(cut), settings]);
      // The first frame that a server sends is of type SETTINGS.
      expect([cut, found[3]]).toEqual([cut, 4]);
    }
    for (const cut of [1, 2, 3, 10]) {
      const request = "GET /page HTTP/1.1\r\nhost: a\r\n\r\n";
      const found = await sendSlowly(port, [request.slice(0, cut), request.slice(cut)]);
      expect(found.toString()).toMatch(/^HTTP\/1\.1 200 OK/);
    }
    // Begins as a preface does, and is none.
    expect(
      (await sendSlowly(port, ["P", "OST /nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"])).toString(),
    ).toMatch(/^HTTP\/1\.1 404/);
  });

  it("answers whatever stands in the place of a path, and goes on", async () => {
    const { port } = await start();
    for (const path of ["//", "///page", "http://[", "/%", "*", "/page?%zz=%"]) {
      const found = await sendSlowly(port, [`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`]);
      expect([path, found.toString().slice(0, 10)]).toEqual([path, expect.stringMatching(/^HTTP\/1\.1 [24]/)]);
    }
  });

  it("ends a connection of HTTP/2 whose peer does not answer pings, and no other", async () => {
    const { port } = await start({ keepaliveMs: 100 });
    const alive = connectHttp2(`http://127.0.0.1:${port}`);
    ends.push(() => alive.destroy());
    await new Promise((resolve) => alive.once("remoteSettings", resolve));
    const mute = connect({ port, host: "127.0.0.1" });
    mute.write(
      Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]),
    );
    mute.resume();
    await new Promise((resolve) => mute.once("close", resolve));
    expect(alive.closed || alive.destroyed).toBe(false);
  });

  it("closes a connection whose request never ends", async () => {
    const { port } = await start({ headersTimeoutMs: 300 });
    const socket = connect({ port, host: "127.0.0.1" });
    ends.push(() => socket.destroy());
    socket.write("GET /page HTTP/1.1\r\nhost: a\r\n");
    const answer = await new Promise<string>((resolve) => {
      let text = "";
      socket.on("data", (data: Buffer) => {
        text += data;
      });
      socket.once("close", () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 408/);
  });
});

describe.each(["clear text", "TLS"])("a stop, over %s", (kind) => {
  const secure = kind === "TLS";

  it("does not wait for connections that are only kept alive", async () => {
    const listener = await start(secure ? { tls } : {});
    const agent = secure ? new HttpsAgent({ keepAlive: true, ca: tls.cert }) : new HttpAgent({ keepAlive: true });
    ends.push(() => agent.destroy());
    await new Promise<void>((resolve, reject) => {
      const options = { port: listener.port, path: "/page", host: "localhost", family: 4, agent };
      const request = secure ? httpsGet(options as never) : httpGet(options as never);
      request.once("response", (response) => response.resume().once("end", resolve));
      request.once("error", reject);
    });
    const session = connectHttp2(`${secure ? "https" : "http"}://localhost:${listener.port}`, {
      ca: tls.cert,
      family: 4,
    } as never);
    session.on("error", () => {});
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    const startedAt = performance.now();
    await listener.stop(10_000);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe("a certificate", () => {
  it.each([
    ["is no certificate", () => [join(folder, "nonsense.pem"), join(folder, "key.pem")]],
    ["does not fit the key", () => [join(folder, "cert.pem"), join(folder, "other.pem")]],
  ])("that %s is one line that says what to check", async (_, files) => {
    writeFileSync(join(folder, "nonsense.pem"), "nonsense");
    execFileSync("openssl", ["genrsa", "-out", join(folder, "other.pem"), "2048"], { stdio: "ignore" });
    const [cert = "", key = ""] = files();
    expect(() => readTls(cert, key)).toThrow(/^TLS can't start: [^\n]+ Check TLS_CERT_FILE and TLS_KEY_FILE\.$/);
  });
});
