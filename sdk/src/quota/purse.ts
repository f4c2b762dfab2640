import { checkAmount } from "./use.ts";

/** What a lease lets this client spend, and what it has spent of it. */
export interface Purse {
  /** Spends, and tells whether so much was there. Throws a RangeError for what is no amount. */
  spend(amount: number): boolean;
  /** What can be spent now. */
  available(): number;
  /** All that was spent since the purse was last emptied. */
  spent(): number;
  /** Sets what the lease gives in all, and until when it may be spent. */
  fill(total: number, usableUntil: number): void;
  /** Begins anew, with another lease or none. */
  empty(): void;
  /** True when little has been left, or too little was there, since the last filling. */
  isLow(): boolean;
  /** True when too little was there since this was last called. */
  wasShort(): boolean;
}

/** When so much of what was there is spent, little is left. */
const LOW_SHARE = 0.5;

/** Makes an empty purse; `onLow` is called when it becomes low. */
export function createPurse(now: () => number, onLow: () => void): Purse {
  let total = 0;
  let spent = 0;
  let usableUntil = Number.NEGATIVE_INFINITY;
  let lowAt = 0;
  let low = false;
  let short = false;
  const becomeLow = () => {
    if (low) return;
    low = true;
    onLow();
  };
  return {
    spend(amount) {
      checkAmount(amount);
      if (amount > total - spent || now() >= usableUntil) {
        short ||= amount > total - spent;
        becomeLow();
        return false;
      }
      spent += amount;
      if (spent >= lowAt) becomeLow();
      return true;
    },
    available: () => (now() < usableUntil ? total - spent : 0),
    spent: () => spent,
    fill(all, until) {
      total = all;
      usableUntil = until;
      lowAt = spent + Math.ceil((total - spent) * LOW_SHARE);
      low = false;
    },
    empty() {
      total = 0;
      spent = 0;
      usableUntil = Number.NEGATIVE_INFINITY;
      low = false;
    },
    isLow: () => low,
    wasShort() {
      const was = short;
      short = false;
      return was;
    },
  };
}
