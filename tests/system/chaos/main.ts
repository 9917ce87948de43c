/**
 * `deno task chaos`: random faults hit a cluster of real processes while clients commit.
 *
 * @module
 */

import { hasMariadb } from "../../support/mariadb.ts";
import { DATABASES } from "./databases.ts";
import { UsageError } from "../../../node/errors.ts";
import { ExitCode, HELP, type Options, parseOptions } from "./options.ts";
import { chaos, type ChaosReport } from "./run.ts";
import { Severity } from "./faults.ts";

/** Lines that stay, and one at the end that is written again and again if a person looks at it. */
class Screen {
  readonly #terminal = Deno.stderr.isTerminal();
  #next = 0;

  readonly log = (line: string): void => {
    this.#clear();
    console.error(line);
  };

  readonly progress = (commits: number): void => {
    if (!this.#terminal || performance.now() < this.#next) return;
    this.#next = performance.now() + 200;
    this.#write(`\r${commits} commits`);
  };

  #clear(): void {
    if (this.#terminal) this.#write("\r\x1b[K");
  }

  #write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  }
}

/** What faults are called in the summary. */
const KINDS: Readonly<Record<Severity, string>> = {
  [Severity.SURVIVED]: "faults to be survived",
  [Severity.PAUSE]: "short faults to wait for",
  [Severity.DOUBLE]: "faults of several nodes at once",
  [Severity.LONG]: "nodes to be taken for dead",
};

/** The figures of a run. */
function summary({ commits, states, faults, silences, contents }: ChaosReport): string {
  const lines = [
    `${commits} transactions acknowledged, ${contents.transactions} found, ` +
    `with ${contents.records} records`,
    `${states} consistent states read`,
  ];
  for (const severity of Object.values(Severity)) {
    if (faults[severity] === 0) continue;
    const silence = silences[severity].toFixed(1);
    lines.push(`${faults[severity]} ${KINDS[severity]}, at most ${silence} s without a commit`);
  }
  return lines.join("\n");
}

async function main({ minutes, seed, database }: Options): Promise<number> {
  // It was warned about.
  if (database === "mariadb" && !hasMariadb) return ExitCode.FAILURE;
  const screen = new Screen();
  screen.log(`chaos --minutes ${minutes} --seed ${seed} --database ${database}`);
  await using databases = await DATABASES[database]();
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  }
  try {
    const { locations } = databases;
    const { signal } = stop;
    const report = await chaos({ seconds: minutes * 60, seed, locations, signal, ...screen });
    console.log(summary(report));
    return ExitCode.OK;
  } catch (error) {
    screen.log(`FAILED with seed ${seed}: ${error instanceof Error ? error.stack : error}`);
    return ExitCode.FAILURE;
  }
}

if (import.meta.main) {
  let options;
  try {
    options = parseOptions(Deno.args, () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`chaos: error: ${error.message}\nTry 'chaos --help'.`);
    Deno.exit(ExitCode.USAGE);
  }
  if (options === "help") console.log(HELP.trimEnd());
  Deno.exit(options === "help" ? ExitCode.OK : await main(options));
}
