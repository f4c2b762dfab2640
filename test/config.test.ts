import { describe, expect, it } from "vitest";
import { parseConfig } from "../src/config.ts";

describe("the settings", () => {
  it("have defaults that work", () => {
    const config = parseConfig({});
    expect([config.GRPC_PORT, config.HTTP_PORT, config.DATABASE_URL, config.LISTEN_HOST]).toEqual([
      50051,
      8080,
      "",
      "127.0.0.1",
    ]);
  });

  it("report all problems at once, in one line, and repeat no secret", () => {
    const bad = {
      GRPC_PORT: "99999",
      LOG_LEVEL: "loud",
      DATABASE_URL: "mysql://root:hunter2@host/db",
      TLS_CERT_FILE: "a.pem",
    };
    const message = (() => {
      try {
        return parseConfig(bad) && "accepted";
      } catch (error) {
        return error instanceof Error ? error.message : "";
      }
    })();
    expect(message).toBe(
      "Settings are wrong: DATABASE_URL must be a URL that starts with postgres:// or postgresql://; " +
        "GRPC_PORT must be a whole number from 0 to 65535; LOG_LEVEL must be one of debug, info, warn, error, silent; " +
        "TLS_CERT_FILE and TLS_KEY_FILE must be set together.",
    );
  });
});
