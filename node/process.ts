/**
 * What every program does around its node: options, log, signals and exit status.
 *
 * @module
 */

import { errorText, LogLevel } from "../network/log.ts";
import { ConsoleLog, type LogFormat } from "./console_log.ts";
import { ControlSocket } from "./control_socket.ts";
import { ConfigError, UsageError } from "./errors.ts";
import { usageText } from "./help.ts";
import { localHost } from "./host.ts";
import { NodeLog } from "./node_log.ts";
import type { Option, OptionsOf, OptionTable } from "./option_kinds.ts";
import { loadOptions } from "./options.ts";
import type { Program } from "./programs.ts";
import { watchSignals } from "./signals.ts";
import { ExitStatus, reportCrash, supervise } from "./supervise.ts";

/** The options that the log of a program is made of. */
export type LogOptionTable = OptionTable & {
  readonly logfile: Option<string | null>;
  readonly logSize: Option<number>;
  readonly logKeep: Option<number>;
  readonly logFormat: Option<LogFormat>;
  readonly verbose: Option<boolean>;
};

/** The options of a node's process. */
export type ProcessOptionTable = LogOptionTable & { readonly control: Option<string | null> };

/**
 * Runs a node until it ends or `signal` aborts.
 *
 * @returns the exit status.
 * @throws {ConfigError} if it can't start because of its configuration.
 */
export type StartNode<Table extends OptionTable> = (
  options: OptionsOf<Table>,
  log: NodeLog,
  signal: AbortSignal,
  operands: readonly string[],
) => Promise<number>;

/** How a program differs from a node. */
export interface ProgramSettings {
  /**
   * It is run by hand and ends soon: it writes each log record at once instead of keeping the recent
   * past, and does not bother people with the signals that operators send to nodes.
   */
  readonly tool?: boolean;
}

/** The log that the options of a program ask for. @throws {ConfigError} if it can't be opened. */
export function openLog(
  options: OptionsOf<LogOptionTable>,
  settings: { readonly name?: string; readonly immediate?: boolean } = {},
): NodeLog {
  return new NodeLog({
    ...settings,
    database: options.logfile,
    maxSize: options.logSize * 2 ** 20,
    keep: options.logKeep,
    console: new ConsoleLog(
      options.verbose ? LogLevel.INFO : LogLevel.WARNING,
      options.logFormat,
    ),
  });
}

/** Takes orders through a socket, as by signals. @throws {ConfigError} if it can't be created. */
export function openControl(path: string, log: NodeLog): Promise<ControlSocket> {
  const succeed = () => {
    if (log.failure !== null) throw new Error(`can't write to the log database: ${log.failure}`);
  };
  return ControlSocket.open(path, {
    flush: () => (log.flush(), succeed()),
    reopen: () => (log.reopen(), succeed()),
    state: () => log.state(),
  });
}

/**
 * Runs a program in this process, then exits.
 *
 * @example
 * ```ts ignore
 * if (import.meta.main) {
 *   await runNode(neostorage, async (options, log, signal) => {
 *     const storage = new Storage(options, log);
 *     await storage.run(signal);
 *     return ExitStatus.SUCCESS;
 *   });
 * }
 * ```
 */
export async function runNode<Table extends ProcessOptionTable>(
  program: Program<Table>,
  start: StartNode<Table>,
  { tool = false }: ProgramSettings = {},
): Promise<never> {
  let loaded, log: NodeLog;
  try {
    loaded = await loadOptions(program, Deno.args, localHost);
    if (loaded.help !== null) {
      print(Deno.stdout, loaded.help);
      Deno.exit(ExitStatus.SUCCESS);
    }
    log = openLog(loaded.options, { immediate: tool });
    const { control }: OptionsOf<ProcessOptionTable> = loaded.options;
    if (control !== null) {
      const socket = await openControl(control, log);
      // However the process ends, unless it is killed.
      globalThis.addEventListener("unload", () => socket.close());
    }
  } catch (error) {
    Deno.exit(refuse(program, error));
  }
  const stop = new AbortController();
  const warnings = watchSignals({
    stop: (signal) => {
      log.info(`stopping on ${signal}`);
      stop.abort(new Error(`stopped by ${signal}`));
    },
    end: (signal) => {
      log.warning(`${signal} once more, ending at once`);
      log.flush();
    },
    flush: () => log.flush(),
    reopen: () => log.reopen(),
    dump: () => log.dumpState("State:"),
  });
  for (const warning of loaded.warnings) log.warning(warning);
  for (const warning of warnings) tool ? log.debug(warning) : log.warning(warning);

  const crash = (error: unknown) => {
    reportCrash(log, error);
    log.close();
    Deno.exit(ExitStatus.FAILURE);
  };
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    crash(event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    crash(event.error);
  });

  const { options, operands } = loaded;
  return Deno.exit(await supervise(log, () => start(options, log, stop.signal, operands)));
}

/** Tells why a program does not even start. Returns its exit status. */
export function refuse(program: Program<OptionTable>, error: unknown): ExitStatus {
  if (error instanceof UsageError) {
    const text = `${usageText(program)}\n${program.name}: error: ${error.message}\n`;
    print(Deno.stderr, `${text}Try '${program.name} --help'.\n`);
    return ExitStatus.USAGE;
  }
  const text = error instanceof ConfigError || !(error instanceof Error)
    ? errorText(error)
    : error.stack ?? error.message;
  print(Deno.stderr, `${program.name}: error: ${text}\n`);
  return ExitStatus.FAILURE;
}

/** Writes all of a text at once. */
export function print(output: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(output.writeSync(bytes));
  } catch {
    // Nobody reads it any more.
  }
}
