/**
 * Errors an operator can correct. Programs print their message, without a stack, and exit.
 *
 * @module
 */

/** The command line is wrong. Exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The configuration, or what it points to, can't be used. Exit status 1. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** The text of a value is wrong; the message follows the name of the option. */
export class InvalidValueError extends Error {
  override readonly name = "InvalidValueError";
}
