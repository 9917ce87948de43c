/**
 * Errors of commands.
 *
 * @module
 */

/** A command can't be done. The message is all that the operator gets to read, on standard error. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
