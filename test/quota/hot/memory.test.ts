import { createMemoryState } from "../../../src/quota/hot/memory.ts";
import { describeHotState } from "./contract.ts";

describeHotState("the hot state in memory", () => {
  let now = 1_700_000_000_000;
  return {
    state: createMemoryState({ now: () => now, fence: crypto.randomUUID() }),
    advance(ms) {
      now += ms;
    },
  };
});
