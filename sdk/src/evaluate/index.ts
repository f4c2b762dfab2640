export * from "./clause.ts";
export * from "./context.ts";
export * from "./definition.ts";
export * from "./evaluation.ts";
export * from "./json.ts";
