import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createNetServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createSafeRequest, isPublic, type SafeRequest, urlProblem } from "../../src/platform/safe-request.ts";

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  stops.push(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((resolve) => server.once("listening", resolve));
  return (server.address() as AddressInfo).port;
}

function post(url: string, fields: Partial<SafeRequest> = {}): SafeRequest {
  const signal = new AbortController().signal;
  return { url, method: "POST", headers: {}, body: "x", timeoutMs: 5_000, answerMaxBytes: 100, signal, ...fields };
}

/** A resolver of the test's own; the real one is asked for nothing. */
function resolver(...addresses: string[]) {
  return ((_: string, __: object, done: (error: null, found: object[]) => void) => {
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  }) as never;
}

describe("addresses that a stranger names", () => {
  it.each([
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "nonsense",
  ])("%s is not public", (address) => {
    expect(isPublic(address)).toBe(false);
  });

  it.each(["1.1.1.1", "93.184.216.34", "2606:4700::1111"])("%s is public", (address) => {
    expect(isPublic(address)).toBe(true);
  });

  it.each([
    "http://example.com/",
    "ftp://example.com/",
    "https://user:secret@example.com/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://017700000001/",
    "nothing",
    "",
    `https://example.com/${"a".repeat(2_050)}`,
  ])("the URL %s is refused", (url) => {
    expect(urlProblem(url, false)).toBeTypeOf("string");
  });

  it("the URL of a public host is taken, a local one only when it is allowed", () => {
    expect(urlProblem("https://example.com/hook?x=1", false)).toBeUndefined();
    expect(urlProblem("http://127.0.0.1:8080/hook", true)).toBeUndefined();
  });
});

describe("a safe request", () => {
  it("is never sent to a name that leads to a private network, nor if only one of its addresses does", async () => {
    let reached = false;
    const port = await listen((_, answer) => {
      reached = true;
      answer.end();
    });
    for (const addresses of [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:7f00:1"]]) {
      const request = createSafeRequest({ allowPrivate: false, lookup: resolver(...addresses) });
      await expect(request(post(`https://rebind.example:${port}/`))).rejects.toThrow("private network");
    }
    expect(reached).toBe(false);
  });

  it("connects to the address that was checked: the name is looked up once", async () => {
    let looked = 0;
    const port = await listen((_, answer) => answer.end("hello"));
    const lookup = ((name: string, options: object, done: never) => {
      looked += 1;
      (resolver("127.0.0.1") as unknown as (...args: unknown[]) => void)(name, options, done);
    }) as never;
    const request = createSafeRequest({ allowPrivate: true, lookup });
    const answer = await request(post(`http://somewhere.example:${port}/`));
    expect([answer.statusCode, answer.body, looked]).toEqual([200, "hello", 1]);
  });

  it("does not follow a redirect: that is the answer", async () => {
    const port = await listen((_, answer) => answer.writeHead(302, { location: "http://127.0.0.1:1/" }).end());
    const answer = await createSafeRequest({ allowPrivate: true })(post(`http://127.0.0.1:${port}/`));
    expect([answer.statusCode, answer.header("location")]).toEqual([302, "http://127.0.0.1:1/"]);
  });

  it("reads no more of an endless answer than it was told to", async () => {
    const port = await listen((_, answer) => {
      const more = () => answer.write("a".repeat(1_000)) || answer.once("drain", more);
      const timer = setInterval(more, 1);
      answer.once("close", () => clearInterval(timer));
    });
    const answer = await createSafeRequest({ allowPrivate: true })(post(`http://127.0.0.1:${port}/`));
    expect(answer.body).toBe("a".repeat(100));
  });

  it("gives up on a host that says nothing, or answers for ever without an end", async () => {
    const silent = createNetServer(() => {}).listen(0, "127.0.0.1");
    stops.push(() => silent.close());
    await new Promise((resolve) => silent.once("listening", resolve));
    const { port } = silent.address() as AddressInfo;
    const slow = await listen((_, answer) => void answer.write("a"));
    const request = createSafeRequest({ allowPrivate: true });
    for (const url of [`http://127.0.0.1:${port}/`, `http://127.0.0.1:${slow}/`]) {
      await expect(request(post(url, { timeoutMs: 150 }))).rejects.toThrow("no answer in time");
    }
  });

  it("says in plain words what went wrong, and nothing of our network", async () => {
    const request = createSafeRequest({ allowPrivate: true });
    await expect(request(post("http://127.0.0.1:1/"))).rejects.toThrow(/^the connection was refused$/);
    const port = await listen((_, answer) => void answer.socket?.destroy());
    await expect(request(post(`http://127.0.0.1:${port}/`))).rejects.toThrow(/^the connection was cut$/);
    await expect(request(post(`https://127.0.0.1:${port}/`))).rejects.toThrow(/^the conne|^the certificate/);
  });
});
