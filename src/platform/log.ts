/** Structured logging: one JSON object a line. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** The levels, from all to least. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A log that writes JSON lines; errors among the fields are written with their chain of causes, never with SQL parameters. */
export function createLog(level: LogLevel, write: (line: string) => void, now: () => number): Log {
  const least = LOG_LEVELS.indexOf(level);
  const at =
    (name: LogLevel) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      if (LOG_LEVELS.indexOf(name) < least) return;
      const plain = Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, describe(value)]));
      write(`${JSON.stringify({ time: new Date(now()).toISOString(), level: name, message, ...plain })}\n`);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** A log that keeps silent. */
export const silentLog: Log = createLog(
  "silent",
  () => {},
  () => 0,
);

function describe(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const cause = value.cause instanceof Error ? { cause: describe(value.cause) } : {};
  return { name: value.name, message: value.message, stack: value.stack?.split("\n").slice(1, 6).join("\n"), ...cause };
}
