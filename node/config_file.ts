/**
 * Configuration files: INI sections completed by `[DEFAULT]`.
 *
 * Keys ignore case, section names don't. `key: value` and `key = value` are the same, indented lines
 * continue a value, lines starting with `#` or `;` are comments, `%(other)s` inserts another value of
 * the section and `%%` is a percent sign. This is the dialect of Python's `configparser`, which existing
 * files are written for.
 *
 * @module
 */

import { ConfigError } from "./errors.ts";

/** Raw values by key in lower case. */
type Values = ReadonlyMap<string, string>;

const DEFAULT = "DEFAULT";
/** Deeper insertions are certainly a loop. */
const MAX_DEPTH = 10;

/** One section, completed by `[DEFAULT]`. */
export class ConfigSection {
  readonly name: string;
  readonly #file: string;
  readonly #values: Values;

  constructor(file: string, name: string, values: Values) {
    this.#file = file;
    this.name = name;
    this.#values = values;
  }

  keys(): Iterable<string> {
    return this.#values.keys();
  }

  /**
   * The value of a key, `null` if the section has none.
   *
   * @throws {ConfigError} if it inserts something that does not exist.
   */
  get(key: string): string | null {
    const raw = this.#values.get(key);
    return raw === undefined ? null : this.#interpolate(key, raw, 0);
  }

  /** Keys that are inserted into the values of others. */
  inserted(): Set<string> {
    const keys = new Set<string>();
    for (const raw of this.#values.values()) {
      for (const [, key = ""] of raw.matchAll(/%\((.*?)\)s/g)) keys.add(key.toLowerCase());
    }
    return keys;
  }

  /** Where a key is, for messages. */
  where(key: string): string {
    return `${this.#file} [${this.name}] ${key}`;
  }

  #interpolate(key: string, raw: string, depth: number): string {
    if (depth > MAX_DEPTH) {
      throw new ConfigError(`${this.where(key)}: %(…)s insertions form a loop`);
    }
    return raw.replace(/%(?:%|\(([^)]*)\)s|)/g, (match, other: string | undefined) => {
      if (match === "%%") return "%";
      if (other === undefined) {
        throw new ConfigError(
          `${this.where(key)}: a '%' must be written '%%', or be part of '%(other_key)s'`,
        );
      }
      const value = this.#values.get(other.toLowerCase());
      if (value === undefined) {
        throw new ConfigError(`${this.where(key)}: '%(${other})s' refers to a key that is not set`);
      }
      return this.#interpolate(other.toLowerCase(), value, depth + 1);
    });
  }
}

/** The content of a configuration file. */
export class ConfigFile {
  readonly #name: string;
  readonly #sections: ReadonlyMap<string, Values>;

  constructor(name: string, sections: ReadonlyMap<string, Values>) {
    this.#name = name;
    this.#sections = sections;
  }

  /** @throws {ConfigError} if there is no such section. */
  section(name: string): ConfigSection {
    const values = this.#sections.get(name);
    if (values === undefined || name === DEFAULT) {
      const names = [...this.#sections.keys()].filter((other) => other !== DEFAULT);
      throw new ConfigError(
        `${this.#name} has no section [${name}]; ` +
          (names.length === 0 ? "it has none at all" : `it has [${names.join("], [")}]`),
      );
    }
    const defaults = this.#sections.get(DEFAULT) ?? new Map();
    return new ConfigSection(this.#name, name, new Map([...defaults, ...values]));
  }
}

/**
 * Reads the text of a configuration file.
 *
 * @param name the name of the file, for messages.
 * @throws {ConfigError} telling the line that is wrong.
 */
export function parseConfigFile(text: string, name: string): ConfigFile {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | null = null;
  let entry: { key: string; lines: string[]; indent: number } | null = null;

  const endEntry = () => {
    if (entry !== null) section?.set(entry.key, entry.lines.join("\n").trimEnd());
    entry = null;
  };

  for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
    const fail = (what: string): never => {
      throw new ConfigError(`${name}, line ${index + 1}: ${what}`);
    };
    const content = line.trim();
    if (/^[#;]/.test(content)) continue;
    if (content === "") {
      entry?.lines.push("");
      continue;
    }
    const indent = line.length - line.trimStart().length;
    if (entry !== null && indent > entry.indent) {
      entry.lines.push(content);
      continue;
    }
    endEntry();
    const header = /^\[(.+)\]/.exec(content)?.[1];
    if (header !== undefined) {
      if (sections.has(header)) fail(`section [${header}] already exists`);
      sections.set(header, section = new Map());
      continue;
    }
    if (section === null) fail(`'${content}' comes before the first [section]`);
    const [, key, value] = /^(.+?)\s*[:=]\s*(.*)$/.exec(content) ?? [];
    if (key === undefined || value === undefined) {
      return fail(`'${content}' is neither a [section] nor a 'key: value'`);
    }
    entry = { key: key.toLowerCase(), lines: [value], indent };
    if (section?.has(entry.key)) fail(`'${key}' is already set in this section`);
  }
  endEntry();
  return new ConfigFile(name, sections);
}
