import type { Duration } from "@bufbuild/protobuf/wkt";

/** Milliseconds as a Duration. */
export function durationOf(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1_000_000) };
}

/** A Duration in milliseconds; 0 when absent. */
export function millisecondsOf(duration: Duration | undefined): number {
  return duration ? Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000 : 0;
}
