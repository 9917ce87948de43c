/**
 * Splits a command line into the texts of its options and the rest.
 *
 * @module
 */

import { UsageError } from "./errors.ts";
import type { Option, OptionTable } from "./option_kinds.ts";
import { closest } from "./spelling.ts";

/** What was found on a command line. */
export interface CommandLine {
  readonly help: boolean;
  /** Texts by name of option, in the order of the command line. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  /** What follows the options. */
  readonly operands: readonly string[];
}

const HELP = "help";

/** The long form of an option: `--new-nid` for `newNid`. */
export function longName(name: string): string {
  return "--" + name.replace(/[A-Z]/g, (letter) => "-" + letter.toLowerCase());
}

/** The key of an option in a configuration file: `new_nid` for `newNid`. */
export function fileKey(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => "_" + letter.toLowerCase());
}

/** Both forms of an option, for messages: `-c/--cluster`. */
export function optionNames(name: string, option: Pick<Option<unknown>, "short">): string {
  return option.short === undefined ? longName(name) : `-${option.short}/${longName(name)}`;
}

/**
 * Reads a command line: `--option value`, `--option=value`, unambiguous abbreviations of long options,
 * `-o value`, `-ovalue` and flags together (`-xy`). It ends at `--` or at the first operand.
 *
 * @throws {UsageError} for an unknown option or a missing value.
 */
export function parseCommandLine(table: OptionTable, args: readonly string[]): CommandLine {
  const texts = new Map<string, string[]>();
  const rest = [...args];
  let help = false;

  const take = (name: string, option: Option<unknown>, attached: string | null) => {
    let text = attached ?? (option.arity === "flag" ? "yes" : null);
    if (text === null) {
      const next = rest[0];
      // A forgotten value must not swallow the next option.
      if (next === undefined || /^-(?![\d.])./.test(next)) {
        const hint = next === undefined ? "" : `; if it starts with '-', write ${longName(name)}=…`;
        throw new UsageError(`option ${optionNames(name, option)} needs a value${hint}`);
      }
      text = next;
      rest.shift();
    }
    texts.set(name, option.arity === "list" ? [...texts.get(name) ?? [], text] : [text]);
  };

  for (let arg = rest[0]; arg !== undefined && /^-./.test(arg); arg = rest[0]) {
    rest.shift();
    if (arg === "--") break;
    if (arg.startsWith("--")) {
      const [long = "", ...value] = arg.split("=");
      const name = findLong(table, long);
      const option = table[name];
      if (option === undefined) help = true;
      else take(name, option, value.length === 0 ? null : value.join("="));
      continue;
    }
    for (let letters = arg.slice(1); letters !== "";) {
      const letter = letters.slice(0, 1);
      letters = letters.slice(1);
      const found = Object.entries(table).find(([, option]) => option.short === letter);
      if (found === undefined) {
        if (letter !== "h") throw new UsageError(`unknown option -${letter} in '${arg}'`);
        help = true;
        continue;
      }
      const [name, option] = found;
      const attached = option.arity !== "flag" && letters !== "" ? letters : null;
      if (attached !== null) letters = "";
      take(name, option, attached);
    }
  }
  return { help, texts, operands: rest };
}

/** The name of the option that a long form, maybe abbreviated, stands for. */
function findLong(table: OptionTable, long: string): string {
  const names = [...Object.keys(table), HELP];
  const exact = names.find((name) => longName(name) === long);
  if (exact !== undefined) return exact;
  const matches = names.filter((name) => longName(name).startsWith(long));
  const [only] = matches;
  if (only === undefined) {
    const near = closest(long, names.map(longName));
    throw new UsageError(
      `unknown option ${long}${near === null ? "" : `; did you mean ${near}?`}`,
    );
  }
  if (matches.length > 1) {
    throw new UsageError(`option ${long} is ambiguous: ${matches.map(longName).join(", ")}`);
  }
  return only;
}
