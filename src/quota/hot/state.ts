import type { Amount } from "./amount.ts";

/** The kinds of counts, as numbers because a script reads them. */
export const KIND = { PERIOD: 1, GAUGE: 2, GCRA: 3, SLIDING: 4, SLOTS: 5 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** What a run does. The last two are BEST_EFFORT and FORCE when there is nobody to grant more. */
export const MODE = {
  CONSUME: 1,
  CHECK_ONLY: 2,
  BEST_EFFORT: 3,
  FORCE: 4,
  HOLD: 5,
  RESOLVE: 6,
  RELEASE: 7,
  TAKE_GIVEN: 8,
  COUNT_ANYHOW: 9,
} as const;
export type Mode = (typeof MODE)[keyof typeof MODE];

/**
 * The state that every check asks: counts of limits, by holder. It may be lost at any moment, wholly or to an older state
 * of itself; what is in it counts only in the epoch that Postgres knows. Two twins have it: memory and Redis.
 */
export interface HotState {
  /** Decides runs in their order, in one step. Rejects when the state can't be reached; then anything may have happened. */
  decide(batch: HotBatch): Promise<HotReply>;
  /** Makes a holder live in a new epoch, with nothing counted. Refused when it is live in this or a newer one. */
  install(holder: HotHolder, epoch: number, wasLost: boolean): Promise<boolean>;
  /** Tells counts of what Postgres has given; answers those that a later mark ended. Older grants change nothing. */
  raise(holder: HotHolder, epoch: number, grants: readonly HotGrant[]): Promise<readonly EndedCount[]>;
  /** Takes back what was given and is not needed: leaves `keep` unspent. Undefined when there is nothing to take back. */
  lower(holder: HotHolder, epoch: number, field: string, keep: number): Promise<Lowered | undefined>;
  /** Forgets a holder that no longer exists. */
  forget(holder: HotHolder): Promise<void>;
  /** It ends with this process. */
  readonly isPrivate: boolean;
  /** Roots of the same lane may share a batch. */
  laneOf(rootUid: string): string;
  stop(): Promise<void>;
}

/** Whose counts they are, and the root under which all that one check touches is kept. */
export interface HotHolder {
  readonly uid: string;
  readonly rootUid: string;
}

/** A limit as the hot state needs it. */
export interface HotLimit {
  readonly kind: Kind;
  /** Names the count within its holder; another rule is another count. */
  readonly field: string;
  /** What may be used: of GCRA its burst, of slots their number. */
  readonly cap: Amount;
  /** Of PERIOD: its start. */
  readonly startAt: number;
  /** Of rates their window, of slots their time to live. */
  readonly windowMs: number;
  /** Of GCRA: what leaks in a window. */
  readonly amount: number;
  /** A rate or slots that refuse nothing. */
  readonly soft: boolean;
  /** A rate or slots that must not admit too much after a loss. */
  readonly strict: boolean;
}

/** Runs, and what they refer to by index. */
export interface HotBatch {
  readonly holders: readonly HotHolder[];
  readonly limits: readonly { readonly holder: number; readonly limit: HotLimit }[];
  readonly runs: readonly HotRun[];
}

/** One check, or several identical ones of which the first pass. */
export interface HotRun {
  readonly mode: Mode;
  readonly count: number;
  readonly parts: readonly HotPart[];
  /** Remembers the answer, or finds the one that the id got before. `holder` is the tenant. */
  readonly answer?: { readonly holder: number; readonly id: string; readonly hash: string; readonly signature: number };
  /** Of HOLD and RESOLVE. */
  readonly reservationId?: string;
}

/** An amount of a limit. */
export interface HotPart {
  readonly limit: number;
  /** Of RESOLVE: what is held. */
  readonly amount: number;
  /** Of RESOLVE: what was spent of it. */
  readonly spent?: number;
  /** Of SLOTS. */
  readonly slot?: string;
  /** Of BEST_EFFORT: parts of the same entry are neighbours. */
  readonly entry?: number;
  /** Of HOLD, RESOLVE and RELEASE: the count that it belongs to; any when 0. */
  readonly epoch?: number;
  readonly mark?: number;
}

/** What the state answered, all at one instant. */
export interface HotReply {
  readonly now: number;
  readonly fence: string;
  /** By holder; 0 is cold: what the state has of it counts for nothing. */
  readonly epochs: readonly number[];
  readonly limits: readonly HotFacts[];
  readonly outcomes: readonly HotOutcome[];
}

/** What is known of a limit's count, beside what is used. */
export interface HotFacts {
  /** Of PERIOD its start, of GAUGE its newest observation. */
  readonly mark: number;
  /** The number of the newest grant; 0 when none has reached this count. */
  readonly grant: number;
  readonly base: Amount;
  readonly given: number;
  /** Of GCRA: the remainder of the level. Of SLIDING: what the window before still weighs. */
  readonly rest: number;
  /** Of SLIDING: the count of the window before. Of SLOTS: until when only held ones are extended. */
  readonly before: number;
}

/** What became of a run. MOVED: the count is another one than the reservation's. FULL: no place for more request ids. */
export type HotOutcome =
  | {
      readonly status: "DECIDED" | "REPLAYED";
      /** How many of the checks passed. */
      readonly fit: number;
      /** How many would have passed if more had been given. */
      readonly capFit: number;
      readonly found: readonly HotFound[];
      /** Of REPLAYED: of which limits the answer was, when, and the base of each part's count then. */
      readonly replay?: { readonly signature: number; readonly at: number; readonly bases: readonly Amount[] };
    }
  | { readonly status: "COLD" | "REUSED" | "MOVED" | "FULL" };

/** What a part found before it counted anything. */
export interface HotFound {
  readonly used: number;
  /** Of PERIOD and GAUGE: what is held. Of SLOTS: when the next one expires, or -1 when the one asked for is held. */
  readonly held: number;
  /** Of BEST_EFFORT: what was admitted. Of RELEASE: what was given back. Of RESOLVE: 1 when it was known here. */
  readonly done: number;
}

/** What Postgres has given to a count. */
export interface HotGrant {
  readonly field: string;
  readonly kind: Kind;
  readonly mark: number;
  readonly grant: number;
  readonly base: Amount;
  readonly given: number;
}

/** What is given after some of it was taken back, and the newest grant that it was taken from. */
export interface Lowered {
  readonly mark: number;
  readonly grant: number;
  readonly given: number;
}

/** What was spent since a mark, when the next period or observation took its place. */
export interface EndedCount {
  readonly field: string;
  readonly mark: number;
  readonly spent: number;
}
