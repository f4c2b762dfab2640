import type { FlagPatch } from "./flag.ts";

/** A change set that applies at a time, as plain data that survives JSON. */
export interface Schedule {
  readonly uid: string;
  readonly scheduleId: string;
  readonly description: string;
  readonly applyAt: number;
  readonly changes: readonly FlagChange[];
  readonly state: "PENDING" | "APPLIED" | "FAILED";
  readonly failure: string;
  readonly finishedAt: number | null;
  readonly creator: string;
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** What is done to one flag. */
export type FlagChange =
  | { readonly verb: "update"; readonly key: string; readonly patch: FlagPatch }
  | { readonly verb: "kill" | "revive"; readonly key: string };

/** The name of a schedule. */
export function scheduleName(scheduleId: string): string {
  return `flagSchedules/${scheduleId}`;
}
