/**
 * The command line of `deno task chaos`.
 *
 * @module
 */

import { UsageError } from "../../../node/errors.ts";
import { readOptions, wholeNumber } from "../../../simulator/command_line.ts";

/** Exit statuses. */
export const ExitCode = {
  OK: 0,
  /** Something is lost, visible that must not be, or never works again. */
  FAILURE: 1,
  /** The command line is wrong. */
  USAGE: 2,
} as const;

/** Kinds of databases. */
export type Kind = "sqlite" | "mariadb";

/** Text of `--help`. */
export const HELP = `\
usage: chaos [options]

Runs a cluster of real processes (3 masters, 4 storages, 1 replica, an admin) while clients commit and
read, kills, stops and restarts nodes at random, and cuts or freezes what is between them. Single
faults must not keep clients from committing; after faults of several nodes at once they must commit
again. What clients see is checked all the time; in the end, that nothing acknowledged is lost, that
nothing is half there, that nothing that failed is visible, and that all copies are the same.

The seed decides which faults happen, and how long; real processes are never twice as fast.

Options:
      --minutes N         how long things go wrong, may have a fraction (default: 1)
      --seed N            what the faults are drawn from (default: drawn at random)
      --database KIND     sqlite or mariadb, for which mariadbd must be installed (default: sqlite)
  -h, --help              show this help

Exit status: 0 if all is well, 1 if something is wrong, 2 if the command line is.
`;

/** What the command line asks for. */
export interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly database: Kind;
}

/**
 * Reads the command line.
 *
 * @param draw a seed, for who gives none.
 * @throws {UsageError} if it is wrong.
 */
export function parseOptions(args: readonly string[], draw: () => number): Options | "help" {
  const { minutes, seed, database, help } = readOptions(args, {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    database: { type: "string", default: "sqlite" },
    help: { type: "boolean", short: "h", default: false },
  });
  if (help) return "help";
  if (database !== "sqlite" && database !== "mariadb") {
    throw new UsageError(`--database must be sqlite or mariadb, not '${database}'`);
  }
  return {
    minutes: parseMinutes(minutes),
    seed: seed === undefined ? draw() : wholeNumber("seed", seed, 0),
    database,
  };
}

function parseMinutes(text: string): number {
  const minutes = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && minutes > 0) return minutes;
  throw new UsageError(`--minutes must be a number above 0, not '${text}'`);
}
