/**
 * The log viewer. Its options are told by `--help`.
 *
 * ```sh
 * deno run --allow-read --allow-write --allow-env=HOME,TMPDIR \
 *   --allow-run=gzip,bzip2,xz,zstd,kill neolog/main.ts -a /var/log/neo/*.log
 * ```
 *
 * | permission | for |
 * |---|---|
 * | `--allow-read` | the logs |
 * | `--allow-write` | copies of compressed logs among the temporary files |
 * | `--allow-env` | where temporary files are |
 * | `--allow-run` | decompressing; `kill` to send signals, with `--flush` |
 *
 * Exits with status 0 if everything was shown, 1 if a file can't be read and 2 if an option is wrong.
 *
 * @module
 */

import { errorText } from "../network/log.ts";
import { ConfigError, UsageError } from "../node/errors.ts";
import { localHost } from "../node/host.ts";
import { loadOptions } from "../node/options.ts";
import { print, refuse } from "../node/process.ts";
import { ExitStatus } from "../node/supervise.ts";
import { neolog } from "./options.ts";
import { showLogs, type Viewer } from "./run.ts";

/** Nobody reads the output any more. */
class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

const complain = (message: string) => print(Deno.stderr, `neolog: ${message}\n`);

const viewer: Viewer = {
  print(text) {
    let bytes = new TextEncoder().encode(text);
    try {
      while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
    } catch (cause) {
      throw new OutputClosed(errorText(cause), { cause });
    }
  },
  complain,
  async flush(pid) {
    let output;
    try {
      // By its number on Linux: not every runtime knows this signal by name.
      output = await new Deno.Command("kill", { args: ["-34", pid] }).output();
    } catch (error) {
      throw new ConfigError(`the program kill can't be run: ${errorText(error)}`);
    }
    if (!output.success) throw new ConfigError(new TextDecoder().decode(output.stderr).trim());
  },
};

async function main(): Promise<ExitStatus> {
  try {
    const loaded = await loadOptions(neolog, Deno.args, localHost);
    if (loaded.help !== null) {
      print(Deno.stdout, loaded.help);
      return ExitStatus.SUCCESS;
    }
    if (loaded.operands.length === 0) throw new UsageError("no log file is given");
    const whole = await showLogs(loaded.operands, loaded.options, viewer);
    return whole ? ExitStatus.SUCCESS : ExitStatus.FAILURE;
  } catch (error) {
    if (error instanceof OutputClosed) return ExitStatus.FAILURE;
    return refuse(neolog, error);
  }
}

if (import.meta.main) Deno.exit(await main());
