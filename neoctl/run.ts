/**
 * Runs a command, from its words to what is printed.
 *
 * @module
 */

import type { Environment } from "../network/environment.ts";
import { InvalidValueError } from "../node/errors.ts";
import { ExitStatus } from "../node/supervise.ts";
import { type AdminEndpoint, withAdmin } from "./admin_session.ts";
import { Arguments } from "./arguments.ts";
import type { Action, Command } from "./command.ts";
import { asksHelp, describeCommands, findCommand, isTree, usageOf } from "./commands.ts";
import { CommandError } from "./errors.ts";

/** How a command is run. */
export interface RunOptions extends AdminEndpoint {
  /** Whether to print JSON, for programs. */
  readonly json?: boolean;
  /** Whether to wait until what was ordered is done. */
  readonly wait?: boolean;
}

/** What a command prints, and the exit status. */
export interface Outcome {
  readonly status: ExitStatus;
  readonly stdout: string;
  readonly stderr: string;
  /** What a person may want to know. */
  readonly note: string | null;
}

/**
 * Runs the command made of some words. Without words, lists the commands.
 *
 * @example
 * ```ts ignore
 * const options = { address: { host: "127.0.0.1", port: 9999 }, timeout: 10 };
 * const { stdout } = await runCommand(env, options, ["print", "cluster"]); // "RUNNING\n"
 * ```
 */
export async function runCommand(
  env: Environment,
  options: RunOptions,
  words: readonly string[],
): Promise<Outcome> {
  try {
    const found = findCommand(words);
    const { path, entry, rest } = found;
    if (words.length === 0 || rest.some(asksHelp)) return success(describeCommands(found) + "\n");
    if (isTree(entry)) {
      throw new CommandError(
        `ERROR: incomplete command: ${path.join(" ")}\n${describeCommands(found)}`,
      );
    }
    const action = parse(path, entry, rest);
    const { output, json, note, refused } = await withAdmin(env, options, async (admin) => {
      const result = await action(admin);
      if (options.wait !== true) return result;
      return await result.done?.(admin) ?? result;
    });
    const outcome = options.json === true
      ? success(`${JSON.stringify(json)}\n`)
      : success(output === null ? "" : `${output}\n`, note ?? null);
    return refused === true ? { ...outcome, status: ExitStatus.FAILURE } : outcome;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { status: ExitStatus.FAILURE, stdout: "", stderr: `${error.message}\n`, note: null };
  }
}

function success(stdout: string, note: string | null = null): Outcome {
  return { status: ExitStatus.SUCCESS, stdout, stderr: "", note };
}

/** Reads the arguments, so that a mistake is told before anything is sent. */
function parse(path: readonly string[], command: Command, words: readonly string[]): Action {
  try {
    return command.parse(new Arguments(words));
  } catch (error) {
    if (!(error instanceof InvalidValueError)) throw error;
    const usage = usageOf(path, command);
    throw new CommandError(`ERROR: ${path.join(" ")}: ${error.message}\nusage: ${usage}`, {
      cause: error,
    });
  }
}
