/**
 * Reads the options of a program from its command line and its configuration file.
 *
 * An option given on the command line replaces that of the section of the file, which replaces that of
 * `[DEFAULT]`, which replaces the default.
 *
 * @module
 */

import { fileKey, optionNames, parseCommandLine } from "./command_line.ts";
import { type ConfigSection, parseConfigFile } from "./config_file.ts";
import { ConfigError, InvalidValueError, UsageError } from "./errors.ts";
import { expandHome, type Host } from "./host.ts";
import { helpText } from "./help.ts";
import type { Option, OptionsOf, OptionTable } from "./option_kinds.ts";
import { type Program, PROGRAMS } from "./programs.ts";
import { closest } from "./spelling.ts";
import { errorText } from "../network/log.ts";

/** The help was asked for. */
export interface HelpRequest {
  readonly help: string;
}

/** What the command line and the configuration file tell. */
export interface LoadedOptions<Table extends OptionTable> {
  readonly help: null;
  readonly options: OptionsOf<Table>;
  readonly operands: readonly string[];
  /** What deserves to be told to the operator, although the program can run. */
  readonly warnings: readonly string[];
}

/** Where the texts of an option are, and where they come from. */
interface Source {
  readonly texts: readonly string[];
  readonly where: string;
  readonly error: new (message: string) => Error;
}

/**
 * Reads the options of a program.
 *
 * @throws {UsageError} if the command line is wrong or a required option is missing.
 * @throws {ConfigError} if the configuration file is wrong, a name can't be resolved, or the options
 * contradict each other.
 * @example
 * ```ts ignore
 * const loaded = await loadOptions(neomaster, ["--cluster=prod"], localHost);
 * if (loaded.help === null) console.log(loaded.options.partitions); // 100
 * ```
 */
export async function loadOptions<Table extends OptionTable>(
  program: Program<Table>,
  args: readonly string[],
  host: Host,
): Promise<LoadedOptions<Table> | HelpRequest> {
  const { help, texts, operands } = parseCommandLine(program.options, args);
  if (help) return { help: helpText(program) };
  if (program.operands === null && operands.length > 0) {
    throw new UsageError(`unexpected argument '${operands[0]}'`);
  }
  const section = await configSection(program.options, texts, host);
  const sources = new Map<string, Source>();
  for (const [name, option] of Object.entries(program.options)) {
    const source = findSource(name, option, texts.get(name), section);
    if (source !== null) sources.set(name, source);
  }
  checkRequired(program.options, sources, section);
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(program.options)) {
    values[name] = await readOption(option, sources.get(name) ?? null, host);
  }
  const options = values as OptionsOf<Table>;
  return {
    help: null,
    options,
    operands,
    warnings: [
      ...section === null ? [] : misspelledKeys(program.options, section),
      ...program.check(options),
    ],
  };
}

/** The section of the configuration file to use, `null` if there is no such file. */
async function configSection(
  table: OptionTable,
  texts: ReadonlyMap<string, readonly string[]>,
  host: Host,
): Promise<ConfigSection | null> {
  const given = texts.get("file")?.[0] ?? "";
  const name = texts.get("section")?.[0] ?? table.section?.default;
  if (given === "" || name === undefined) return null;
  const path = await expandHome(given, host);
  let content;
  try {
    content = await host.readTextFile(path);
  } catch (error) {
    throw new ConfigError(`can't read configuration file ${path}: ${errorText(error)}`);
  }
  return parseConfigFile(content, path).section(name);
}

function findSource(
  name: string,
  option: Option<unknown>,
  given: readonly string[] | undefined,
  section: ConfigSection | null,
): Source | null {
  if (given !== undefined) {
    return { texts: given, where: `option ${optionNames(name, option)}`, error: UsageError };
  }
  const key = fileKey(name);
  const inFile = option.commandLineOnly === true ? null : section?.get(key) ?? null;
  if (section !== null && inFile !== null) {
    const texts = option.arity === "list"
      ? inFile.split("\n").filter((line) => line !== "")
      : [inFile];
    return { texts, where: section.where(key), error: ConfigError };
  }
  if (option.default === undefined) return null;
  return { texts: [option.default], where: `default of ${name}`, error: ConfigError };
}

function checkRequired(
  table: OptionTable,
  sources: ReadonlyMap<string, Source>,
  section: ConfigSection | null,
): void {
  const missing = Object.entries(table)
    .filter(([name, option]) => option.required === true && !sources.has(name))
    .map(([name, option]) => optionNames(name, option));
  if (missing.length === 0) return;
  const where = section === null ? "" : `, neither given nor in section [${section.name}]`;
  throw new UsageError(`missing required options: ${missing.join(", ")}${where}`);
}

async function readOption(
  option: Option<unknown>,
  source: Source | null,
  host: Host,
): Promise<unknown> {
  if (source === null) return option.read(null, host);
  try {
    return await option.read(source.texts, host);
  } catch (error) {
    if (error instanceof InvalidValueError) {
      throw new source.error(`${source.where}: ${error.message}`);
    }
    if (error instanceof ConfigError) throw new ConfigError(`${source.where}: ${error.message}`);
    throw error;
  }
}

/**
 * Warnings about keys that are likely to be misspelled options. Other unknown keys are none of our
 * business: they may be helpers for insertions, or options of a newer version.
 */
function misspelledKeys(table: OptionTable, section: ConfigSection): string[] {
  const known = new Set(PROGRAMS.flatMap(({ options }) => Object.keys(options).map(fileKey)));
  const keys = Object.entries(table)
    .filter(([, option]) => option.commandLineOnly !== true)
    .map(([name]) => fileKey(name));
  const inserted = section.inserted();
  const warnings = [];
  for (const key of section.keys()) {
    if (known.has(key) || inserted.has(key)) continue;
    const near = closest(key, keys);
    if (near !== null) {
      warnings.push(`${section.where(key)}: unknown key is ignored; did you mean '${near}'?`);
    }
  }
  return warnings;
}
