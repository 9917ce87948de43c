/**
 * Where a SQLite database is: a path, or a `file:` URI with parameters.
 *
 * @module
 */

import { DatabaseError } from "./database.ts";
import { expandHome } from "./home.ts";

/** A parsed connection string. */
export interface SqliteAddress {
  /** Path of the file, or `:memory:`. */
  readonly path: string;
  /** Given values of pragmas. */
  readonly cacheSize: number | null;
  readonly journalMode: JournalMode;
  /** `null` for the rule of each commit. */
  readonly synchronous: Synchronous | null;
}

const JOURNAL_MODES = ["delete", "truncate", "persist", "memory", "wal", "off"] as const;
const SYNCHRONOUS = ["off", "normal", "full", "extra"] as const;

/** How SQLite makes commits atomic. */
export type JournalMode = (typeof JOURNAL_MODES)[number];
/** When SQLite waits for the disk. */
export type Synchronous = (typeof SYNCHRONOUS)[number];

/**
 * Parses a connection string.
 *
 * @param home directory that `~` stands for; `null` if it is unknown.
 * @throws {DatabaseError} if it is not valid.
 * @example
 * ```ts
 * import { parseSqliteAddress } from "./sqlite_address.ts";
 * parseSqliteAddress("file:/srv/neo.sqlite?cache_size=-64000", null).path; // "/srv/neo.sqlite"
 * ```
 */
export function parseSqliteAddress(text: string, home: string | null): SqliteAddress {
  if (text === "") throw new DatabaseError("the path of the SQLite database is empty");
  if (!text.startsWith("file:")) {
    return {
      path: expandHome(text, home),
      cacheSize: null,
      journalMode: "wal",
      synchronous: null,
    };
  }
  const [, path = "", , query = ""] = /^file:([^?#]*)(\?([^#]*))?/.exec(text) ?? [];
  if (path === "") throw new DatabaseError(`there is no path in '${text}'`);
  const parameters = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (parameters.has(name)) {
      throw new DatabaseError(`parameter '${name}' is twice in '${text}'`);
    }
    parameters.set(name, value);
  }
  const take = (name: string): string | null => {
    const value = parameters.get(name) ?? null;
    parameters.delete(name);
    return value;
  };
  const cacheSize = take("cache_size");
  const journalMode = take("journal_mode");
  const synchronous = take("synchronous");
  const checksums = take("cksumvfs");
  if (checksums !== null && checksums !== "0") {
    throw new DatabaseError(
      "'cksumvfs' needs an extension of SQLite that Deno does not have: remove this parameter",
    );
  }
  const [unknown] = parameters.keys();
  if (unknown !== undefined) {
    throw new DatabaseError(
      `unknown parameter '${unknown}' in '${text}': ` +
        "there are cache_size, journal_mode and synchronous",
    );
  }
  if (cacheSize !== null && !/^-?\d{1,9}$/.test(cacheSize)) {
    throw new DatabaseError(`cache_size must be a number, not '${cacheSize}'`);
  }
  return {
    path: decodePath(path, text),
    cacheSize: cacheSize === null ? null : Number(cacheSize),
    journalMode: journalMode === null ? "wal" : oneOf("journal_mode", journalMode, JOURNAL_MODES),
    synchronous: synchronous === null
      ? null
      : oneOf("synchronous", SYNCHRONOUS[Number(synchronous)] ?? synchronous, SYNCHRONOUS),
  };
}

function decodePath(path: string, text: string): string {
  const local = path.replace(/^\/\/(localhost)?(?=\/)/, "");
  if (local.startsWith("//")) {
    throw new DatabaseError(`'${text}' must be a path of this machine, without host name`);
  }
  try {
    return decodeURIComponent(local);
  } catch {
    throw new DatabaseError(`'${text}' has a '%' that is not followed by two hexadecimal digits`);
  }
}

function oneOf<T extends string>(name: string, value: string, values: readonly T[]): T {
  const found = values.find((known) => known === value.toLowerCase());
  if (found !== undefined) return found;
  throw new DatabaseError(`${name} must be one of ${values.join(", ")}, not '${value}'`);
}
