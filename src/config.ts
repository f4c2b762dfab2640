import { LOG_LEVELS, type LogLevel } from "./platform/log.ts";
import { OperatorError } from "./platform/operator-error.ts";

/** Every setting: an environment variable, its default and what it does. The docs and a golden test are made of it. */
export const SETTINGS = {
  DATABASE_URL: {
    default: "",
    parse: url("postgres:", "postgresql:"),
    help: "Postgres to use; empty starts the embedded one.",
  },
  REDIS_URL: {
    default: "",
    parse: url("redis:", "rediss:"),
    help: "Redis that joins several nodes; empty means a single node.",
  },
  DATA_FOLDER: {
    default: ".tenantplane",
    parse: text,
    help: "Where the embedded Postgres and the first admin key are kept.",
  },
  LISTEN_HOST: { default: "127.0.0.1", parse: text, help: "Address both listeners bind to." },
  GRPC_PORT: { default: "50051", parse: integer(0, 65_535), help: "Port of the gRPC listener; 0 picks a free one." },
  HTTP_PORT: {
    default: "8080",
    parse: integer(0, 65_535),
    help: "Port of the Connect, gRPC-Web and HTTP listener; 0 picks a free one.",
  },
  TLS_CERT_FILE: {
    default: "",
    parse: text,
    help: "PEM certificate chain; with TLS_KEY_FILE both listeners speak TLS.",
  },
  TLS_KEY_FILE: { default: "", parse: text, help: "PEM private key of the certificate." },
  CORS_ORIGINS: { default: "*", parse: list, help: "Origins that browsers may call from, separated by commas." },
  LOG_LEVEL: {
    default: "info",
    parse: oneOf<LogLevel>(LOG_LEVELS),
    help: "Least level that is logged: debug, info, warn, error or silent.",
  },
  DATABASE_POOL_SIZE: { default: "10", parse: integer(2, 500), help: "Connections to Postgres." },
  DEADLINE_DEFAULT_MS: {
    default: "10000",
    parse: integer(10, 600_000),
    help: "Deadline of a unary call that brings none.",
  },
  DEADLINE_MAX_MS: {
    default: "60000",
    parse: integer(10, 600_000),
    help: "Longest deadline of a unary call; longer ones are cut to it.",
  },
  MESSAGE_MAX_BYTES: { default: "4194304", parse: integer(1_024, 67_108_864), help: "Largest request message." },
  DRAIN_TIMEOUT_MS: {
    default: "10000",
    parse: integer(0, 300_000),
    help: "How long a stop waits for calls under way.",
  },
  DRAIN_DELAY_MS: {
    default: "0",
    parse: integer(0, 300_000),
    help: "How long a stopping node serves on while its probes say it is not ready: the time of a balancer to notice.",
  },
  RUN_JOBS: {
    default: "on",
    parse: flag,
    help: "Whether this node does background work: on, or off to leave it to others (needs Redis).",
  },
  CHANGE_POLL_MS: {
    default: "200",
    parse: integer(10, 900),
    help: "How often a node looks for changes when nothing nudges it.",
  },
  CHANGE_RETENTION_MS: {
    default: "86400000",
    parse: integer(1_000, 31_536_000_000),
    help: "How long changes are kept for watchers to resume.",
  },
  IDEMPOTENCY_RETENTION_MS: {
    default: "86400000",
    parse: integer(60_000, 31_536_000_000),
    help: "How long a request id is remembered.",
  },
  DELETE_RETENTION_MS: {
    default: "2592000000",
    parse: integer(0, 31_536_000_000),
    help: "How long a deleted tenant can be undeleted.",
  },
  QUOTA_BUDGET_MS: {
    default: "20",
    parse: integer(1, 60_000),
    help: "How long a quota check waits for Redis before the limits' fail policies decide.",
  },
  QUOTA_GRANT_BUDGET_MS: {
    default: "250",
    parse: integer(1, 60_000),
    help: "How long a quota check that needs Postgres waits for it; the first of a tenant, and one in very many.",
  },
  ALLOW_PRIVATE_ADDRESSES: {
    default: "off",
    parse: flag,
    help: "For development: on lets webhooks go to this machine and private networks, and in clear text.",
  },
  USAGE_EVENT_RETENTION_MS: {
    default: "7776000000",
    parse: integer(2_764_800_000, 315_360_000_000),
    help: "How long usage events are kept one by one; their roll-ups stay. Dropped in eras of 32 days.",
  },
  WEBHOOK_RETENTION_MS: {
    default: "2592000000",
    parse: integer(86_400_000, 31_536_000_000),
    help: "How long webhook deliveries are kept.",
  },
  OIDC_ISSUER: { default: "", parse: url("https:", "http:"), help: "Issuer of accepted JWTs; empty accepts none." },
  OIDC_AUDIENCE: { default: "tenantplane", parse: text, help: "Audience that a JWT must name." },
  OIDC_JWKS_URL: {
    default: "",
    parse: url("https:", "http:"),
    help: "Key set of the issuer; found by its discovery document when empty.",
  },
  OIDC_ROLES_CLAIM: {
    default: "tenantplane_roles",
    parse: text,
    help: 'Claim that lists roles as "role" or "role@scope".',
  },
} as const satisfies Record<string, Setting>;

/** The settings, parsed. Names are those of the environment variables. */
export type Config = { readonly [K in keyof typeof SETTINGS]: ReturnType<(typeof SETTINGS)[K]["parse"]> };

/** Parses the settings out of an environment; throws one OperatorError that lists every problem. */
export function parseConfig(environment: Record<string, string | undefined>): Config {
  const { config, problems } = tryConfig(environment);
  if (problems.length > 0) throw new OperatorError(`Settings are wrong: ${problems.join("; ")}.`);
  return config;
}

/** Parses the settings and answers every problem; with problems, the config is not to be used. */
export function tryConfig(environment: Record<string, string | undefined>): { config: Config; problems: string[] } {
  const problems: string[] = [];
  const entries = Object.entries(SETTINGS).map(([name, setting]) => {
    try {
      return [name, setting.parse(environment[name]?.trim() || setting.default)];
    } catch (error) {
      problems.push(`${name} ${error instanceof Error ? error.message : "is invalid"}`);
      return [name, undefined];
    }
  });
  const config = Object.fromEntries(entries) as Config;
  if (Boolean(config.TLS_CERT_FILE) !== Boolean(config.TLS_KEY_FILE)) {
    problems.push("TLS_CERT_FILE and TLS_KEY_FILE must be set together");
  }
  if (config.DEADLINE_DEFAULT_MS > config.DEADLINE_MAX_MS) problems.push("DEADLINE_DEFAULT_MS exceeds DEADLINE_MAX_MS");
  if (config.RUN_JOBS === false && config.REDIS_URL === "") problems.push("RUN_JOBS can be off with REDIS_URL alone");
  return { config, problems };
}

/** The settings of this process. */
export function readConfig(overrides: Record<string, string> = {}): Config {
  return parseConfig({ ...process.env, ...overrides });
}

interface Setting {
  readonly default: string;
  readonly parse: (value: string) => unknown;
  readonly help: string;
}

function text(value: string): string {
  return value;
}

function flag(value: string): boolean {
  return oneOf(["on", "off"])(value) === "on";
}

function list(value: string): readonly string[] {
  return value.split(",").map((item) => item.trim());
}

function integer(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max)
      throw new Error(`must be a whole number from ${min} to ${max}`);
    return number;
  };
}

function oneOf<T extends string>(values: readonly T[]): (value: string) => T {
  return (value) => {
    const found = values.find((candidate) => candidate === value);
    if (!found) throw new Error(`must be one of ${values.join(", ")}`);
    return found;
  };
}

// The value is not repeated in the message: a URL may hold a password.
function url(...protocols: string[]): (value: string) => string {
  return (value) => {
    if (value === "") return value;
    if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) {
      throw new Error(`must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(" or ")}`);
    }
    return value;
  };
}
