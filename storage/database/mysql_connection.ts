/**
 * One connection to a MySQL or MariaDB server.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { userInfo } from "node:os";
import mariadb, { type Connection, type SqlError } from "npm:mariadb@3.5.3";
import { DatabaseError } from "./database.ts";
import type { MysqlAddress } from "./mysql_address.ts";
import type { Row, Value } from "./sql.ts";

const CONNECT_TIMEOUT = 10_000;

/** Where servers usually listen. */
const SOCKETS = [
  "/run/mysqld/mysqld.sock",
  "/var/run/mysqld/mysqld.sock",
  "/var/lib/mysql/mysql.sock",
  "/tmp/mysql.sock",
];

const SESSION = [
  "SET SESSION wait_timeout = 2147483",
  // Zero is an ordinary id of data, and tables of old versions have AUTO_INCREMENT on it.
  "SET SESSION sql_mode = 'TRADITIONAL,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'",
];

/** The connection is lost: what was asked may have been done or not. */
export class ConnectionLostError extends DatabaseError {}

/** Queries are sent at once, without waiting for the results of the previous ones. */
export class MysqlConnection {
  #lost = false;

  private constructor(readonly connection: Connection) {
    // Without listener, the loss of an idle connection would be an uncaught error.
    connection.on("error", () => this.#lost = true);
    connection.on("end", () => this.#lost = true);
  }

  /**
   * Connects to a server, and to a database of it unless `database` is `null`.
   *
   * @throws {DatabaseError} with the reason, if the server refuses or can not be reached.
   */
  static async open(
    { user, password, server }: MysqlAddress,
    database: string | null,
    session: readonly string[],
  ): Promise<MysqlConnection> {
    let connection: MysqlConnection;
    try {
      connection = new MysqlConnection(
        await mariadb.createConnection({
          user: user ?? userInfo().username,
          ...(password === null ? {} : { password }),
          ...(database === null ? {} : { database }),
          ...(server === null
            ? { socketPath: findSocket() }
            : "socket" in server
            ? { socketPath: server.socket }
            : server),
          connectTimeout: CONNECT_TIMEOUT,
          rowsAsArray: true,
          charset: "utf8mb4",
        }),
      );
    } catch (error) {
      throw toError(error);
    }
    try {
      for (const sql of [...SESSION, ...session]) await connection.query(sql, []);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Whether the connection can not be used any more. */
  get lost(): boolean {
    return this.#lost || !this.connection.isValid();
  }

  /** @throws {ConnectionLostError | DatabaseError} */
  async query(sql: string, parameters: readonly Value[]): Promise<readonly Row[]> {
    try {
      const rows: unknown = await this.connection.query(sql, parameters.map(toParameter));
      return Array.isArray(rows) ? rows.map((row: Value[]) => row.map(toValue)) : [];
    } catch (error) {
      throw toError(error);
    }
  }

  async close(): Promise<void> {
    this.connection.removeAllListeners("error");
    this.connection.on("error", () => {});
    if (this.lost) this.connection.destroy();
    else await this.connection.end().catch(() => this.connection.destroy());
  }
}

function toParameter(value: Value): Value {
  return value instanceof Uint8Array
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value;
}

function toValue(value: Value): Value {
  return value instanceof Uint8Array
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : value;
}

function toError(error: unknown): DatabaseError {
  if (!(error instanceof Error)) return new DatabaseError(`MySQL: ${error}`);
  const { sqlMessage, fatal } = error as SqlError;
  // The ordinary message has the statement, with its parameters, in it.
  const message = `MySQL: ${sqlMessage ?? error.message}`;
  const type = fatal === true ? ConnectionLostError : DatabaseError;
  return new type(message, { cause: error });
}

/** The socket of the server of this machine. */
function findSocket(): string {
  const candidates = [Deno.env.get("MYSQL_UNIX_PORT") ?? "", ...SOCKETS].filter((one) =>
    one !== ""
  );
  for (const path of candidates) {
    try {
      Deno.statSync(path);
      return path;
    } catch {
      // The next one.
    }
  }
  throw new DatabaseError(
    `no MySQL socket found (${
      candidates.join(", ")
    }): give its path after the name of the database`,
  );
}
