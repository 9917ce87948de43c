/**
 * The command line of `deno task simulate`.
 *
 * @module
 */

import { readOptions, wholeNumber } from "./command_line.ts";

/** Exit statuses. */
export const ExitCode = {
  OK: 0,
  /** Some run violated what must hold, or a mutant survived. */
  VIOLATION: 1,
  /** The command line is wrong. */
  USAGE: 2,
} as const;

/** Text of `--help`. */
export const HELP = `\
usage: simulate [options]

Runs whole clusters, with the code of the real nodes, on virtual machines: virtual time, network and
disks. What happens is all drawn from a seed: sizes, delays, faults, what clients do. Each run is
checked: nothing acknowledged is lost, nothing is half visible, replicas are the same, and all works
again when faults stop. A run that fails is repeated exactly with its seed.

Options:
      --seed N      first seed (default: drawn at random)
      --runs N      number of seeds to run, one after the other (default: 1 if a seed is given,
                    else 1000)
      --story N     show the last N lines of what happened in runs that fail (default: 40);
                    0 for all of them
      --show        show it for all runs, and what was drawn
      --mutants     check the checks: break the nodes on purpose, in each way that is known, and
                    run seeds until it is noticed
  -h, --help        show this help

Exit status: 0 if all is well, 1 if something is wrong, 2 if the command line is.
`;

/** What the command line asks for. */
export interface Options {
  readonly seed: number;
  readonly runs: number;
  readonly story: number;
  readonly show: boolean;
  readonly mutants: boolean;
}

/**
 * Reads the command line.
 *
 * @param draw a seed, for who gives none.
 * @throws {UsageError} if it is wrong.
 */
export function parseOptions(args: readonly string[], draw: () => number): Options | "help" {
  const { seed, runs, story, show, mutants, help } = readOptions(args, {
    seed: { type: "string" },
    runs: { type: "string" },
    story: { type: "string", default: "40" },
    show: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  });
  if (help) return "help";
  return {
    seed: seed === undefined ? draw() : wholeNumber("seed", seed, 0),
    runs: runs !== undefined ? wholeNumber("runs", runs, 1) : seed === undefined ? 1000 : 1,
    story: wholeNumber("story", story, 0),
    show,
    mutants,
  };
}
