import { type LookupAddress, lookup as systemLookup } from "node:dns";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

/** A request to an address that a stranger has named. */
export interface SafeRequest {
  readonly url: string;
  readonly method: "GET" | "HEAD" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** From the look-up of the name to the last byte that is read. */
  readonly timeoutMs: number;
  /** What is read of an answer; the rest is not waited for. */
  readonly answerMaxBytes: number;
  readonly signal: AbortSignal;
}

/** An answer; redirects are answers, never followed. */
export interface SafeAnswer {
  readonly statusCode: number;
  header(name: string): string | undefined;
  readonly body: string;
}

export interface SafeRequestOptions {
  /** For development: addresses of this machine and of private networks too, and clear text. */
  readonly allowPrivate: boolean;
  /** Looks names up; the system's resolver by default. */
  readonly lookup?: typeof systemLookup;
}

/** Why a request was not sent or not answered, in words that tell a stranger nothing of our network. */
export class RequestFailure extends Error {
  override name = "RequestFailure";
}

/** Says what is wrong with a URL that a stranger has named; undefined when nothing is. */
export function urlProblem(url: string, allowPrivate: boolean): string | undefined {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const schemes = allowPrivate ? ["https:", "http:"] : ["https:"];
  if (!parsed || !schemes.includes(parsed.protocol)) return "must be a URL that starts with https://";
  if (parsed.username !== "" || parsed.password !== "") return "must not hold a user or a password";
  if (url.length > URL_MAX) return `must have at most ${URL_MAX} characters`;
  const host = hostOf(parsed);
  if (isIP(host) !== 0 && !allowPrivate && !isPublic(host)) return "must not be an address of a private network";
  return undefined;
}

/** As long as browsers and proxies reliably take them. */
const URL_MAX = 2_048;

/**
 * Sends requests to public addresses alone. Every address of a name is checked, and the connection is made to an address
 * that was, so that a name can't change between the check and its use. Throws RequestFailure.
 */
export function createSafeRequest(options: SafeRequestOptions) {
  const lookup = pinnedLookup(options);
  return (input: SafeRequest): Promise<SafeAnswer> =>
    new Promise((resolve, reject) => {
      const problem = urlProblem(input.url, options.allowPrivate);
      if (problem) return reject(new RequestFailure(`the URL ${problem}`));
      const url = new URL(input.url);
      const signal = AbortSignal.any([input.signal, AbortSignal.timeout(input.timeoutMs)]);
      const send = url.protocol === "https:" ? requestHttps : requestHttp;
      const settings = { method: input.method, headers: { ...input.headers }, lookup, signal, agent: false } as const;
      const sent = send(url, settings, (answer) => {
        readBody(answer, input.answerMaxBytes).then(
          (body) => resolve({ statusCode: answer.statusCode ?? 0, header: headerOf(answer), body }),
          (error: unknown) => reject(failure(error)),
        );
      });
      sent.once("error", (error) => reject(failure(error)));
      sent.end(input.method === "POST" ? input.body : undefined);
    });
}

function pinnedLookup({ allowPrivate, lookup = systemLookup }: SafeRequestOptions): LookupFunction {
  return (host, settings, done) => {
    lookup(host, { all: true, family: settings.family ?? 0 }, (error, addresses: LookupAddress[]) => {
      if (error) return done(error, []);
      // One private address among public ones is no mistake but an attack.
      if (!allowPrivate && addresses.some(({ address }) => !isPublic(address))) {
        return done(new RequestFailure("the name leads to a private network"), []);
      }
      const [first] = addresses;
      if (!first) return done(new RequestFailure("the name has no address"), []);
      if (settings.all) done(null, addresses);
      else done(null, first.address, first.family);
    });
  };
}

/** True for addresses of the public internet: none that is private, local, reserved or wraps another one. */
export function isPublic(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  return ipaddr.process(address).range() === "unicast";
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function headerOf(answer: IncomingMessage) {
  return (name: string) => {
    const value = answer.headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
}

async function readBody(answer: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    // Leaving the loop destroys the connection: an endless answer ends here.
    if (bytes >= maxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes).toString("utf8");
}

function failure(error: unknown): RequestFailure {
  if (error instanceof RequestFailure) return error;
  const { name, code = "" } = (error ?? {}) as { name?: string; code?: string };
  if (name === "AbortError" || name === "TimeoutError")
    return new RequestFailure("no answer in time", { cause: error });
  const words =
    FAILURES[code] ??
    (code.includes("CERT") || code.includes("TLS") || code.includes("SSL")
      ? "the certificate is not valid for it"
      : "the connection failed");
  return new RequestFailure(words, { cause: error });
}

const FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  ENOTFOUND: "the name is unknown",
  EAI_AGAIN: "the name could not be looked up",
  ETIMEDOUT: "no answer in time",
  EHOSTUNREACH: "the host can't be reached",
  ENETUNREACH: "the host can't be reached",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is not valid for it",
};
