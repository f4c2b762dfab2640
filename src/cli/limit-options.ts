import type { Limit } from "@tenantplane/sdk/gen/tenantplane/v1/limit_pb";
import { type Command, InvalidArgumentError } from "commander";
import { several, wholeAmount } from "./options.ts";

/** What `withLimits` and `withLimitRemoval` add. */
export interface LimitOptions {
  readonly limit?: Readonly<Record<string, bigint>>;
  readonly removeLimit?: readonly string[];
}

/** Adds the option that sets amounts of limits; their rules and modes are set by a file. */
export function withLimits(command: Command): Command {
  return command.option(
    "--limit <limit=amount>",
    "the amount of a limit, by its id or meter; may be repeated",
    amounts,
  );
}

/** Adds the option that takes limits away. */
export function withLimitRemoval(command: Command): Command {
  return command.option("--remove-limit <limit>", "may be repeated", several);
}

function amounts(text: string, before: Readonly<Record<string, bigint>> = {}): Record<string, bigint> {
  const [, id, amount] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  if (id === undefined || amount === undefined) throw new InvalidArgumentError("Must be of the form limit=amount.");
  return Object.fromEntries([...Object.entries(before), [id, wholeAmount(amount)]]);
}

/** Limits with amounts set and some taken away; undefined when nothing is asked for. A limit keeps its rule and its mode. */
export function changedLimits(before: readonly Limit[], { limit, removeLimit = [] }: LimitOptions) {
  if (!limit && removeLimit.length === 0) return undefined;
  const left = new Map(Object.entries(limit ?? {}));
  const kept = before.flatMap((existing) => {
    const id = existing.limitId || existing.meter;
    const amount = left.get(id) ?? existing.amount;
    left.delete(id);
    return removeLimit.includes(id) ? [] : [{ ...existing, amount }];
  });
  return [...kept, ...[...left].map(([meter, amount]) => ({ meter, amount }))];
}

/** Limits for a table. */
export function limitsText(limits: readonly Limit[]): string {
  return limits.map(({ limitId, meter, amount }) => `${limitId || meter}=${amount}`).join(",");
}
