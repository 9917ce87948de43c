/**
 * The command-line tool of operators.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-env neoctl/main.ts -a 127.0.0.1:9999 print summary
 * ```
 *
 * | permission | for |
 * |---|---|
 * | `--allow-net` | connecting to the admin |
 * | `--allow-read` | certificates |
 * | `--allow-write` | the log database, with `--logfile` |
 * | `--allow-env`, `--allow-sys` | the home directory, for paths that start with `~` |
 *
 * Exits with status 0 if the command succeeded, 1 if it did not and 2 if an option is wrong.
 *
 * @module
 */

import { realEnvironment } from "../network/real.ts";
import { localHost } from "../node/host.ts";
import { loadOptions } from "../node/options.ts";
import { openLog, print, refuse } from "../node/process.ts";
import { neoctl, type ProgramOptions } from "../node/programs.ts";
import { ExitStatus, supervise } from "../node/supervise.ts";
import { readTlsFiles } from "../node/tls_files.ts";
import { COMMANDS, describeCommands } from "./commands.ts";
import { runCommand } from "./run.ts";

/** Runs the command, with everything that is exchanged in the log. */
async function run(
  options: ProgramOptions<typeof neoctl>,
  words: readonly string[],
): Promise<ExitStatus> {
  const log = openLog(options, { immediate: true });
  return await supervise(log, async () => {
    const tls = await readTlsFiles(options, localHost, (message) => log.warning(message));
    const env = realEnvironment({ log, ...tls !== null && { tls } });
    const { status, stdout, stderr, note } = await runCommand(env, options, words);
    print(Deno.stdout, stdout);
    print(Deno.stderr, stderr);
    // For people: to programs, a success is a silent standard error.
    if (note !== null && Deno.stderr.isTerminal()) print(Deno.stderr, `${note}\n`);
    return status;
  });
}

async function main(): Promise<ExitStatus> {
  try {
    const loaded = await loadOptions(neoctl, Deno.args, localHost);
    if (loaded.help === null) return await run(loaded.options, loaded.operands);
    print(Deno.stdout, `${loaded.help}\n${describeCommands({ path: [], entry: COMMANDS })}\n`);
    return ExitStatus.SUCCESS;
  } catch (error) {
    return refuse(neoctl, error);
  }
}

if (import.meta.main) Deno.exit(await main());
