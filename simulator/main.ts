/**
 * `deno task simulate`: whole clusters under virtual time, network and disk. See `--help`.
 *
 * It needs no permission.
 *
 * @module
 */

import { UsageError } from "../node/errors.ts";
import { MUTANTS } from "./mutants.ts";
import { findingText, huntMutant } from "./mutation.ts";
import { ExitCode, HELP, type Options, parseOptions } from "./options.ts";
import { failureText, Progress, runText, storyText } from "./report.ts";
import { simulate } from "./simulation.ts";

async function run({ seed, runs, story, show }: Options): Promise<number> {
  const progress = new Progress(runs);
  let failed = 0;
  for (let i = 0; i < runs; i++) {
    const outcome = await simulate(seed + i);
    if (outcome.violations.length > 0) {
      failed++;
      progress.clear();
      console.log(failureText(outcome, story));
    } else if (show) console.log(`${storyText(outcome, story)}\n${runText(outcome)}`);
    progress.update(i + 1, failed);
  }
  progress.clear();
  const seeds = runs === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + runs - 1}`;
  console.log(`${seeds}: ${failed} of ${runs} runs failed (${progress.rate(runs)} a second)`);
  return failed === 0 ? ExitCode.OK : ExitCode.VIOLATION;
}

/** Runs that a mutant has to survive to be given up. */
const MUTANT_RUNS = 1000;

async function hunt({ seed, runs }: Options): Promise<number> {
  let survived = 0;
  console.log(`${"mutant".padEnd(68)} runs      seed  noticed`);
  for (const mutant of MUTANTS) {
    const finding = await huntMutant(mutant, seed, Math.max(runs, MUTANT_RUNS));
    if (finding.seed === null) survived++;
    console.log(findingText(finding));
  }
  console.log(`${survived} of ${MUTANTS.length} mutants survived`);
  return survived === 0 ? ExitCode.OK : ExitCode.VIOLATION;
}

async function main(): Promise<number> {
  let options;
  try {
    options = parseOptions(Deno.args, () => Math.floor(Math.random() * 2 ** 32));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`simulate: error: ${error.message}\nTry 'simulate --help'.`);
    return ExitCode.USAGE;
  }
  if (options === "help") {
    console.log(HELP);
    return ExitCode.OK;
  }
  return options.mutants ? await hunt(options) : await run(options);
}

if (import.meta.main) Deno.exit(await main());
