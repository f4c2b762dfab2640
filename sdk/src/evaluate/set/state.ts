import type { CompiledFlag, FlagTools } from "../compile/flag.ts";
import { type CompiledSegment, type MatchTools, unresolved } from "../compile/segment.ts";
import type { Metadata } from "../definition.ts";
import type { RegexCompiler } from "../operator/regex.ts";
import { createSlots, type FlagSlot, flagSlot, groupSlot, type Slots, segmentSlot } from "./slots.ts";

/** A set of flags in memory. */
export interface FlagState {
  readonly regex: RegexCompiler | undefined;
  readonly slots: Slots;
  /** What evaluations look up: every flag that was put, also one that can't be read. */
  readonly compiled: Map<string, CompiledFlag>;
  metadata: Metadata;
}

/** A set without flags. */
export function createState(regex: RegexCompiler | undefined): FlagState {
  return { regex: regex && remembering(regex), slots: createSlots(), compiled: new Map(), metadata: Object.freeze({}) };
}

/** What flags and segments need from the set. They hold on to the places of others, whose contents change without them. */
export function toolsOf(state: FlagState): Omit<FlagTools, "overrides" | "metadata"> {
  const segmentOf = (key: string): (() => CompiledSegment) => {
    const slot = segmentSlot(state.slots, key);
    return () => {
      if (slot.compiled === undefined) throw unresolved("segment", key);
      return slot.compiled;
    };
  };
  const matchTools: MatchTools = {
    regex: state.regex,
    segment: (key) => {
      const segment = segmentOf(key);
      return (scope) => segment().contains(scope);
    },
    refer: (key) => {
      const segment = segmentOf(key);
      return (data, scope) => segment().value(data, scope);
    },
  };
  return {
    ...matchTools,
    flag: (key) => {
      const slot: FlagSlot = flagSlot(state.slots, key);
      return () => {
        if (slot.definition === undefined || slot.compiled === undefined) throw unresolved("flag", key);
        return slot.compiled;
      };
    },
    group: (key) => {
      const slot = groupSlot(state.slots, key);
      return () => {
        if (slot.compiled === undefined) throw unresolved("group", key);
        return slot.compiled;
      };
    },
  };
}

/** Expressions that a set remembers: parsing one asks for it first, and compiling it asks again. */
const REMEMBERED_MAX = 1_000;

function remembering(regex: RegexCompiler): RegexCompiler {
  const tests = new Map<string, ReturnType<RegexCompiler>>();
  return (pattern) => {
    const known = tests.get(pattern);
    if (known !== undefined) return known;
    const test = regex(pattern);
    if (tests.size >= REMEMBERED_MAX) tests.clear();
    tests.set(pattern, test);
    return test;
  };
}
