/**
 * The text of `--help`.
 *
 * @module
 */

import { longName } from "./command_line.ts";
import type { Option, OptionTable } from "./option_kinds.ts";

const WIDTH = 90;
const COLUMN = 30;

/** What the help tells of a program. */
export interface HelpSubject {
  readonly name: string;
  readonly summary: string;
  readonly operands: string | null;
  readonly options: OptionTable;
}

/** The first lines of the help, which also come with errors. */
export function usageText({ name, operands }: HelpSubject): string {
  return `usage: ${name} [options]${operands === null ? "" : ` ${operands}`}`;
}

/** The whole help, ending with a line break. */
export function helpText(subject: HelpSubject): string {
  const rows = [
    row("  -h, --help", "show this help and exit"),
    ...Object.entries(subject.options).map(([name, option]) => optionRow(name, option)),
  ];
  const parts = [usageText(subject), subject.summary, ["Options:", ...rows].join("\n")];
  // Only nodes have a configuration file, and live long enough to get signals.
  if ("file" in subject.options) parts.push(FILE_NOTES, SIGNAL_NOTES);
  return parts.join("\n\n") + "\n";
}

const FILE_NOTES = `\
Options may also be in a section of the configuration file, completed by its section [DEFAULT],
with '-' replaced by '_' in their names. The command line wins.`;

const SIGNAL_NOTES = `\
Logs: a log database may be renamed at any time, what is written next goes to a new one.
'neoctl flush_log' makes all nodes write at once what they keep in memory.

Signals:
  SIGINT, SIGTERM               stop in good order; the second one stops at once
  SIGRTMIN, SIGUSR1             write what the log keeps in memory to the log database
  SIGRTMIN+1, SIGUSR2, SIGHUP   close the log database and open it again, after it was renamed
  SIGRTMIN+2                    write the state of the program to the log
The SIGRTMIN ones can only be received on Linux, with --allow-ffi. In a terminal, SIGHUP means
that the terminal was closed, and stops the program.`;

function optionRow(name: string, option: Option<unknown>): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  const value = option.arity === "flag" ? "" : ` ${option.metavar ?? "VALUE"}`;
  const notes = [];
  if (option.required === true) notes.push("required");
  if (option.default !== undefined && option.default !== "") {
    notes.push(`default: ${option.default}`);
  }
  return row(
    `  ${short}${longName(name)}${value}`,
    option.help + (notes.length === 0 ? "" : ` (${notes.join(", ")})`),
  );
}

/** Two columns; the second is wrapped, and starts on its own line if the first is too long. */
function row(left: string, right: string): string {
  const lines: string[] = [];
  let line = left.length < COLUMN - 1 ? left.padEnd(COLUMN) : left + "\n" + " ".repeat(COLUMN);
  let used = COLUMN;
  for (const word of right.split(" ")) {
    if (used > COLUMN && used + 1 + word.length > WIDTH) {
      lines.push(line);
      line = " ".repeat(COLUMN);
      used = COLUMN;
    }
    line += used === COLUMN ? word : ` ${word}`;
    used += word.length + (used === COLUMN ? 0 : 1);
  }
  return [...lines, line].join("\n");
}
