import { createPrivateKey, X509Certificate } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, type Stats, statfsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { type Config, SETTINGS } from "../../config.ts";
import { type EmbeddedState, readEmbeddedState } from "../../platform/embedded-state.ts";
import { keyFileOf } from "../local-node.ts";
import { type Finding, fail, ok, skip, warn } from "./finding.ts";

/** Checks the Node that runs us. `version` is as process.versions.node has it. */
export function checkNode(version: string, needed: string): Finding {
  const major = Number(version.split(".")[0]);
  const least = Number(/\d+/.exec(needed)?.[0]);
  if (major >= least) return ok("node", `version ${version}`);
  return fail("node", `version ${version}`, `use Node ${needed}: \`npx tenantplane\` brings its own`);
}

/** Says which settings are in effect, by name alone, or all that is wrong with them. */
export function checkSettings(environment: Record<string, string | undefined>, problems: readonly string[]): Finding[] {
  if (problems.length > 0)
    return problems.map((problem) => fail("settings", problem, "see `tenantplane serve --help`"));
  const set = Object.keys(SETTINGS).filter((name) => environment[name]?.trim());
  return [ok("settings", set.length === 0 ? "all are the defaults" : `set are ${set.join(", ")}`)];
}

/** Less, and a day of changes may fill the disk. */
const FREE_WARN_BYTES = 1024 ** 3;
/** Less, and Postgres will stop soon. */
const FREE_FAIL_BYTES = 128 * 1024 ** 2;

/** Checks the folder that keeps the embedded Postgres and the first admin key. */
export function checkDataFolder({ DATA_FOLDER: folder }: Pick<Config, "DATA_FOLDER">): Finding {
  const check = "data folder";
  if (!existsSync(folder)) return ok(check, `${resolve(folder)} is not there yet: the first start makes it`);
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code = "unknown" } = error as NodeJS.ErrnoException;
    return fail(check, `${resolve(folder)} can't be used (${code})`, "make it yours, or set DATA_FOLDER");
  }
  if ((statSync(folder).mode & 0o002) !== 0) {
    return fail(check, `everybody may write to ${resolve(folder)}`, `chmod o-w ${folder}`);
  }
  const { bavail, bsize } = statfsSync(folder);
  const found = `${resolve(folder)}, ${((bavail * bsize) / 1024 ** 3).toFixed(1)} GiB free`;
  if (bavail * bsize >= FREE_WARN_BYTES) return ok(check, found);
  return (bavail * bsize < FREE_FAIL_BYTES ? fail : warn)(check, found, "make room, or set DATA_FOLDER");
}

/** Checks how it stands with the embedded Postgres; answers its URL while it runs. */
export function checkEmbedded(config: Pick<Config, "DATA_FOLDER">): { finding: Finding; url?: string } {
  const check = "embedded postgres";
  try {
    const state = readEmbeddedState(config.DATA_FOLDER);
    return { finding: judgeEmbedded(check, state), ...(state.kind === "running" ? { url: state.url } : {}) };
  } catch (error) {
    const { code = "unknown" } = error as NodeJS.ErrnoException;
    return { finding: fail(check, `its data can't be read (${code})`, "run this as the user that runs the node") };
  }
}

function judgeEmbedded(check: string, state: EmbeddedState): Finding {
  switch (state.kind) {
    case "absent":
      return ok(check, "not there yet: the first start makes it");
    case "stopped":
      return ok(check, `stopped; its data in ${state.data} are of Postgres ${state.version}`);
    case "running":
      return ok(check, `runs on the data in ${state.data}`);
    case "foreign": {
      const found = `the data in ${state.data} are of Postgres ${state.version}`;
      return fail(check, found, "move them away, or set DATA_FOLDER");
    }
    default:
      return state satisfies never;
  }
}

/** Checks that nobody else can read the first admin key. */
export function checkKeyFile(config: Pick<Config, "DATA_FOLDER">): Finding {
  const check = "admin key";
  const file = keyFileOf(config);
  let stats: Stats;
  try {
    stats = statSync(file);
  } catch {
    return skip(check, `there is no ${file}`);
  }
  const mode = (stats.mode & 0o777).toString(8).padStart(4, "0");
  if ((stats.mode & 0o077) !== 0) return fail(check, `others may read ${file} (mode ${mode})`, `chmod 600 ${file}`);
  return ok(check, `${file} is its owner's alone (mode ${mode})`);
}

/** Time enough to ask for a new certificate. */
const CERTIFICATE_WARN_MS = 14 * 24 * 3_600_000;

/** Checks the certificate of the listeners. */
export function checkTls(config: Pick<Config, "TLS_CERT_FILE" | "TLS_KEY_FILE" | "LISTEN_HOST">, now: number): Finding {
  const { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile, LISTEN_HOST: host } = config;
  const advice = "renew it, and name it by TLS_CERT_FILE and TLS_KEY_FILE";
  if (certFile === "") {
    if (/^(127\.|::1$|localhost$)/.test(host)) return ok("tls", "off; the listeners are this machine's alone");
    return warn(
      "tls",
      `off, and ${host} is no loopback: keys travel in clear text`,
      "set TLS_CERT_FILE and TLS_KEY_FILE",
    );
  }
  try {
    const certificate = new X509Certificate(readFileSync(certFile));
    const { validToDate, validFromDate } = certificate;
    if (!certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))) {
      return fail("tls", "the key is not the certificate's", advice);
    }
    if (validFromDate.getTime() > now) return fail("tls", `valid from ${validFromDate.toISOString()} on`, advice);
    const found = `the certificate is valid until ${validToDate.toISOString()}`;
    if (validToDate.getTime() > now + CERTIFICATE_WARN_MS) return ok("tls", found);
    return (validToDate.getTime() > now ? warn : fail)("tls", found, advice);
  } catch (error) {
    return fail(
      "tls",
      `can't be used: ${error instanceof Error ? error.message.split("\n")[0] : "unreadable"}`,
      advice,
    );
  }
}
