import { OperatorError } from "../../platform/operator-error.ts";
import { readRedisInfo } from "../../platform/redis.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** BullMQ's scripts and ours need its commands. */
const VERSION_MIN = [6, 2] as const;

/** Checks the Redis that joins the nodes. */
export async function checkRedis(url: string): Promise<Finding> {
  if (url === "") return ok("redis", "none: a single node");
  try {
    return judgeRedis(await readRedisInfo(url), new URL(url).host);
  } catch (error) {
    if (error instanceof OperatorError) return fail("redis", error.message);
    throw error;
  }
}

/** What the fields of INFO mean for a node. */
export function judgeRedis(info: ReadonlyMap<string, string>, place: string): Finding {
  const version = info.get("redis_version") ?? "0";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const name = info.has("valkey_version") ? `Valkey ${info.get("valkey_version")}` : `version ${version}`;
  const found = `${name} at ${place}`;
  const policy = info.get("maxmemory_policy") ?? "unknown";
  if (major < VERSION_MIN[0] || (major === VERSION_MIN[0] && minor < VERSION_MIN[1])) {
    return fail("redis", found, `use Redis ${VERSION_MIN.join(".")} or newer, or Valkey`);
  }
  if (info.get("role") === "slave") return fail("redis", `${found}: a replica`, "point REDIS_URL at the primary");
  if (info.get("loading") === "1") return warn("redis", `${found}: still loads its data`, "wait, then look again");
  if (policy !== "noeviction") {
    const advice = "set maxmemory-policy to noeviction: what is evicted are counters and jobs";
    // Without a limit nothing is evicted yet.
    const judge = (info.get("maxmemory") ?? "0") === "0" ? warn : fail;
    return judge("redis", `${found}: maxmemory-policy is ${policy}`, advice);
  }
  return ok("redis", `${found}, maxmemory-policy ${policy}`);
}
