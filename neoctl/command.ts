/**
 * What a command is.
 *
 * @module
 */

import type { AdminSession } from "./admin_session.ts";
import type { Arguments } from "./arguments.ts";
import type { Json } from "./json.ts";

/** What a command that succeeded has to say. */
export interface Result {
  /** For standard output, without the final line break; `null` to print nothing at all. */
  readonly output: string | null;
  /** The same for programs. */
  readonly json: Json;
  /** What a person may want to know, and a script does not. */
  readonly note?: string;
  /** Whether the answer to what was asked is no, which the exit status tells. */
  readonly refused?: boolean;
  /** Waits until what was ordered is done, if that comes later, which may change what to say. */
  readonly done?: (admin: AdminSession) => Promise<Result | void>;
}

/** Does what was asked for, once connected. @throws {CommandError} if it can't be done. */
export type Action = (admin: AdminSession) => Promise<Result>;

/** A command. */
export interface Command {
  /** Its arguments, as shown in the usage. */
  readonly usage: string;
  readonly help: string;
  /** Reads the arguments, all of them. @throws {InvalidValueError} if they are wrong. */
  parse(args: Arguments): Action;
}

/** The result of an order that was answered with a text. */
export function told(message: string): Result {
  return { output: message, json: { message } };
}
