/**
 * The migration tool, `deno task migrate`. Its options are told by `--help`.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-write \
 *   --allow-env=HOME,NEO_CA,NEO_CERT,NEO_KEY filestorage/main.ts \
 *   Data.fs neo://test@127.0.0.1:10000
 * ```
 *
 * | permission | for |
 * |---|---|
 * | `--allow-net` | connecting to a cluster |
 * | `--allow-read` | the source, certificates |
 * | `--allow-write` | the destination if it is a file, the log |
 * | `--allow-env` | `HOME` for paths that start with `~`, `NEO_CA`, `NEO_CERT` and `NEO_KEY` |
 *
 * @module
 */

import { POSError } from "../client/mod.ts";
import { errorText, LogLevel } from "../network/log.ts";
import { ConsoleLog } from "../node/console_log.ts";
import { ConfigError } from "../node/errors.ts";
import { NodeLog } from "../node/node_log.ts";
import { listenToStop } from "../node/stop_signals.ts";
import { CopyError, FileStorageError, UsageError } from "./errors.ts";
import { migrate } from "./migrate.ts";
import { ExitCode, HELP, type MigrateOptions, parseArguments } from "./options.ts";
import { Progress } from "./progress.ts";

/** Someone asked the tool to stop. */
class Interruption extends Error {
  override readonly name = "Interruption";
}

/** Writes all of a text at once. */
function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch {
    // Nobody reads it any more.
  }
}

/** Log records for people, without date and origin. */
class PlainConsole extends ConsoleLog {
  constructor(level: LogLevel, private readonly tell: (message: string) => void) {
    super(level);
  }

  override show(...[, , , , message]: Parameters<ConsoleLog["show"]>): void {
    this.tell(message);
  }
}

async function run(options: MigrateOptions): Promise<number> {
  const progress = new Progress({
    write: (text) => write(Deno.stderr, text),
    now: () => performance.now(),
    columns: Deno.stderr.isTerminal() ? Deno.consoleSize().columns : null,
    quiet: options.quiet,
  });
  const interruption = interrupted(progress);
  const log = new NodeLog({
    database: options.logfile ?? null,
    console: new PlainConsole(LogLevel.WARNING, (message) => progress.warn(message)),
  });
  try {
    return await migrate(options, {
      log,
      progress,
      signal: interruption,
      print: (line) => options.quiet || write(Deno.stdout, `${line}\n`),
      now: () => performance.now(),
    });
  } finally {
    log.close();
  }
}

/** Aborts at the first signal that asks to stop. */
function interrupted(progress: Progress): AbortSignal {
  const stop = new AbortController();
  listenToStop(["SIGINT", "SIGTERM"], (signal) => {
    progress.warn(
      "stopping after the current transaction; once more, a little later, to stop at once",
    );
    stop.abort(new Interruption(`stopped by ${signal}`));
  }, () => progress.end());
  return stop.signal;
}

/** What went wrong, for the person who runs the tool. */
function describe(error: unknown): string {
  const expected = [CopyError, FileStorageError, POSError, ConfigError, Interruption]
    .some((type) => error instanceof type) || isSystemError(error);
  return expected || !(error instanceof Error) ? errorText(error) : error.stack ?? errorText(error);
}

/** Whether the system refused something: its text tells what. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error &&
    (Object.values(Deno.errors).some((type) => error instanceof type) || "code" in error);
}

async function main(): Promise<number> {
  let options: MigrateOptions | "help";
  try {
    options = parseArguments(Deno.args, (name) => Deno.env.get(name));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    write(Deno.stderr, `migrate: error: ${error.message}\nTry 'migrate --help'.\n`);
    return ExitCode.USAGE;
  }
  if (options === "help") {
    write(Deno.stdout, HELP);
    return ExitCode.OK;
  }
  try {
    return await run(options);
  } catch (error) {
    write(Deno.stderr, `migrate: error: ${describe(error)}\n`);
    return ExitCode.FAILED;
  }
}

if (import.meta.main) Deno.exit(await main());
