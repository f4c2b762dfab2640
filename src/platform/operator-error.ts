/** What an operator must mend before we can go on: the message is one line that says what is wrong and what to do. */
export class OperatorError extends Error {
  override name = "OperatorError";
}
