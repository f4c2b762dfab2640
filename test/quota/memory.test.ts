import { createMemoryState } from "../../src/quota/memory.ts";
import { describeHotState } from "./support/hot-contract.ts";

describeHotState("the hot state in memory", () => {
  let now = 1_700_000_000_000;
  return {
    state: createMemoryState({ now: () => now, fence: crypto.randomUUID() }),
    advance(ms) {
      now += ms;
    },
  };
});
