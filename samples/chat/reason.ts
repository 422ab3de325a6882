/** What went wrong, for people. */

/** An error's message, and what was behind it: "The SQLite database failed: attempt to write a readonly database". */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  const behind = cause === undefined ? '' : reasonOf(cause);
  // Many an error repeats the one that it wraps.
  if (message.includes(behind)) return message;
  return behind.includes(message) ? behind : `${message}: ${behind}`;
}
