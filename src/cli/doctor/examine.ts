import packageJson from "../../../package.json" with { type: "json" };
import { tryConfig } from "../../config.ts";
import { systemClock } from "../../platform/clock.ts";
import type { GlobalOptions } from "../client.ts";
import { checkCall } from "./call-check.ts";
import { type Finding, skip } from "./finding.ts";
import { checkListeners } from "./listener-checks.ts";
import { checkDataFolder, checkEmbedded, checkKeyFile, checkNode, checkSettings, checkTls } from "./local-checks.ts";
import { checkPostgres } from "./postgres-checks.ts";
import { checkRedis } from "./redis-checks.ts";

type Environment = Record<string, string | undefined>;

/** Checks everything that a node needs, part by part, the ground first. */
export async function* examine(options: GlobalOptions, environment: Environment): AsyncGenerator<Finding[]> {
  yield [checkNode(process.versions.node, packageJson.engines.node)];
  const { config, problems } = tryConfig(environment);
  yield checkSettings(environment, problems);
  if (problems.length > 0) {
    yield [skip("the rest", "can't be looked at before the settings are right")];
    return;
  }
  yield [checkTls(config, systemClock.now()), checkDataFolder(config), checkKeyFile(config)];
  yield* examineDatabase(config);
  yield [await checkRedis(config.REDIS_URL)];
  const listeners = await checkListeners(config, packageJson.version);
  yield listeners;
  const isLocal = listeners.some(({ check, status }) => check === "readiness" && status === "ok");
  const isNamed = (options.server ?? environment.TENANTPLANE_SERVER) !== undefined;
  yield [await checkCall(options, isLocal || isNamed)];
}

async function* examineDatabase(config: ReturnType<typeof tryConfig>["config"]): AsyncGenerator<Finding[]> {
  const { DATABASE_URL: url, DATABASE_POOL_SIZE: poolSize } = config;
  if (url !== "") {
    yield await checkPostgres(url, poolSize);
    return;
  }
  const { finding, url: embedded } = checkEmbedded(config);
  yield [finding];
  if (embedded !== undefined) yield await checkPostgres(embedded, poolSize);
  else yield [skip("postgres", "is looked at while it runs")];
}
