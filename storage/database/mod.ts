/**
 * Opens the database of a storage node.
 *
 * @module
 */

import { type Database, type DatabaseOptions } from "./database.ts";
import { MeasuredEngine } from "./measured_engine.ts";
import type { Engine } from "./sql.ts";
import { openSqlDatabase } from "./sql_database.ts";
import { openSqlite } from "./sqlite.ts";

export { MissingChunkError } from "./data.ts";
export * from "./database.ts";

/** Names of back-ends; `MySQLdb` and `PyMySQL` are other names of `MySQL`. */
export type AdapterName = "SQLite" | "MySQL" | "MySQLdb" | "PyMySQL";

/**
 * Opens a database, creating or upgrading its tables, with its exclusivity lock taken.
 *
 * @throws {DatabaseError} with what is wrong: unusable options, a locked database, a newer schema…
 */
export async function openDatabase(
  adapter: AdapterName,
  options: DatabaseOptions,
): Promise<Database> {
  const measured = (engine: Engine) =>
    options.onCommit === undefined ? engine : new MeasuredEngine(engine, options.onCommit);
  if (adapter === "SQLite") {
    return await openSqlDatabase(measured(await openSqlite(options)), options);
  }
  // Not imported by nodes that do not use it.
  const { openMysql } = await import("./mysql.ts");
  return await openSqlDatabase(measured(await openMysql(options)), options);
}

/**
 * Creates an empty MySQL database, unless it exists.
 *
 * @param database its connection string.
 * @throws {DatabaseError} if the server refuses or can not be reached.
 */
export async function createMysqlDatabase(database: string): Promise<void> {
  const mysql = await import("./mysql.ts");
  await mysql.createMysqlDatabase(database);
}
