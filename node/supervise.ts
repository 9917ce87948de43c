/**
 * Runs a node to its end and turns whatever happens into an exit status. Works in a process and in a
 * worker alike.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { ConfigError, UsageError } from "./errors.ts";
import type { NodeLog } from "./node_log.ts";

/** How programs end. */
export enum ExitStatus {
  SUCCESS = 0,
  /** A fatal error. */
  FAILURE = 1,
  /** The command line is wrong. */
  USAGE = 2,
}

/**
 * Waits for the end of a node, then closes its log. A {@linkcode ConfigError} is reported in a line;
 * anything else that is thrown is unexpected: the state of the node goes to the log first.
 *
 * @returns the exit status.
 */
export async function supervise(log: NodeLog, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof ConfigError) log.error(error.message);
    else if (error instanceof UsageError) {
      log.error(error.message);
      return ExitStatus.USAGE;
    } else reportCrash(log, error);
    return ExitStatus.FAILURE;
  } finally {
    log.close();
  }
}

/** Records why a node dies, and the state it is in. */
export function reportCrash(log: NodeLog, error: unknown): void {
  log.dumpState("Pre-mortem data:");
  const stack = error instanceof Error ? error.stack ?? error.message : errorText(error);
  const cause = error instanceof Error && error.cause !== undefined
    ? `\ncaused by: ${errorText(error.cause)}`
    : "";
  log.error(`unexpected failure: ${stack}${cause}`);
  log.flush();
}
