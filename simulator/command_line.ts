/**
 * Reading the command lines of tests that people run.
 *
 * @module
 */

import { parseArgs, type ParseArgsConfig } from "node:util";
import { errorText } from "../network/log.ts";
import { UsageError } from "../node/errors.ts";

/**
 * The values of options. There is nothing else on the command line.
 *
 * @throws {UsageError} if it is wrong.
 */
export function readOptions<const T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError(errorText(error));
  }
}

/**
 * The value of an option that is a whole number.
 *
 * @throws {UsageError} if it is not, or less than `min`.
 */
export function wholeNumber(name: string, text: string, min: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= min) return number;
  throw new UsageError(`--${name} must be a whole number from ${min}, not '${text}'`);
}
