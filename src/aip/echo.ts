/** Quotes a caller's text for an error message, cut: an error must fit into the headers that carry it. */
export function echo(text: string): string {
  return JSON.stringify(text.slice(0, ECHO_MAX_CHARACTERS).toWellFormed());
}

/** Enough to find the place by; gRPC clients take 8 KiB of headers for everything. */
const ECHO_MAX_CHARACTERS = 64;
