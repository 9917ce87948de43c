/**
 * Where a MySQL or MariaDB database is.
 *
 * @module
 */

import { DatabaseError } from "./database.ts";
import { expandHome } from "./home.ts";

/** A parsed connection string. */
export interface MysqlAddress {
  /** `null` for the user of the process. */
  readonly user: string | null;
  readonly password: string | null;
  readonly database: string;
  /** `null` for the usual socket of this machine. */
  readonly server:
    | { readonly socket: string }
    | { readonly host: string; readonly port: number }
    | null;
}

const DEFAULT_PORT = 3306;
const FORMS = "[user[:password]@]database[socket] or mysql://user:password@host:port/database";

/**
 * Parses `[user[:password]@]database[socket]` or `mysql://user:password@host:port/database`. A
 * password may contain `@`; a socket starts with one of `~ . /`. In the URL, special characters are
 * percent-encoded.
 *
 * @param home directory that `~` stands for; `null` if it is unknown.
 * @throws {DatabaseError} if it is not valid.
 * @example
 * ```ts
 * import { parseMysqlAddress } from "./mysql_address.ts";
 * parseMysqlAddress("neo:p@w@neo1", null).password; // "p@w"
 * ```
 */
export function parseMysqlAddress(text: string, home: string | null): MysqlAddress {
  if (/^mysql:\/\//i.test(text)) return parseUrl(text);
  const [, user, , password, database = "", socket = ""] =
    /^(?:([^:]+?)(:(.*))?@)?([^~./@]+)([~./].*)?$/s.exec(text) ?? [];
  if (database === "") {
    throw new DatabaseError(`'${hidePassword(text)}' is not a MySQL database: expected ${FORMS}`);
  }
  return {
    user: user ?? null,
    password: password ?? null,
    database,
    server: socket === "" ? null : { socket: expandHome(socket, home) },
  };
}

function parseUrl(text: string): MysqlAddress {
  const invalid = (why: string) =>
    new DatabaseError(`'${hidePassword(text)}' is not a MySQL URL: ${why}; expected ${FORMS}`);
  if (!URL.canParse(text)) throw invalid("it can not be parsed");
  const url = new URL(text);
  if (url.search !== "" || url.hash !== "") throw invalid("there are no parameters");
  let parts: string[];
  try {
    parts = [url.username, url.password, url.pathname.slice(1)].map(decodeURIComponent);
  } catch {
    throw invalid("a '%' is not followed by two hexadecimal digits");
  }
  const [user = "", password = "", database = ""] = parts;
  if (url.hostname === "") throw invalid("there is no host");
  if (database === "" || /[/.~]/.test(database)) throw invalid("there is no database name");
  return {
    user: user === "" ? null : user,
    password: /^mysql:\/\/[^/]*:[^/]*@/i.test(text) ? password : null,
    database,
    server: {
      host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: url.port === "" ? DEFAULT_PORT : Number(url.port),
    },
  };
}

function hidePassword(text: string): string {
  return text.replace(/:[^/].*@/, ":…@");
}
