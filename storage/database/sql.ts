/**
 * The seam between the logic of the database and a database engine: the statements are common, an
 * engine executes them and supplies the few that differ.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Oid, type Tid, toOid, toTid } from "../../protocol/ids.ts";

/** A parameter or a column. Integers read from a table are `bigint`, blobs `Uint8Array`. */
export type Value = null | number | bigint | string | Uint8Array;

/** A result row, by position of column. */
export type Row = readonly Value[];

/** A statement executed once for each row of parameters. */
export interface Write {
  readonly sql: string;
  readonly rows: readonly Row[];
}

/** A write of a single row of parameters. */
export function write(sql: string, ...parameters: Value[]): Write {
  return { sql, rows: [parameters] };
}

/**
 * The writes that delete what matches a condition with any of several rows of parameters.
 *
 * @param head what precedes the condition.
 * @param rowsPerStatement see `Dialect.rowsPerDelete`.
 * @param tail what follows the condition.
 */
export function deleteAny(
  head: string,
  condition: string,
  rows: readonly Row[],
  rowsPerStatement: number,
  tail = "",
): Write[] {
  if (rowsPerStatement === 1) return [{ sql: `${head} ${condition}${tail}`, rows }];
  const writes: Write[] = [];
  for (let i = 0; i < rows.length; i += rowsPerStatement) {
    const some = rows.slice(i, i + rowsPerStatement);
    const any = some.map(() => `(${condition})`).join(" OR ");
    writes.push({ sql: `${head} (${any})${tail}`, rows: [some.flat()] });
  }
  return writes;
}

/** An open database engine. It has one user, so only what is written through it ever changes. */
export interface Engine {
  readonly dialect: Dialect;
  /** Reads what is committed. Rejects with a `DatabaseError` once the engine is lost. */
  read(sql: string, parameters: readonly Value[]): Promise<readonly Row[]>;
  /**
   * Executes writes in one transaction; never called again before it settles.
   *
   * @param durable whether an fsync is required. It then covers all the previous commits too.
   * @throws {DatabaseError} with nothing committed, or the engine lost.
   */
  commit(writes: readonly Write[], durable: boolean): Promise<void>;
  /**
   * Whether a commit without fsync costs neither a disk access nor the thread of the node, so that
   * an idle engine may as well commit what nobody waits for: what follows has less to wait for.
   */
  readonly eager: boolean;
  /** Host name and device of the data. */
  devicePath(): Promise<string[]>;
  /** Releases the exclusivity lock and closes. */
  close(): Promise<void>;
  /** Called if the engine is lost outside of a `read` or a `commit`. */
  onLost: (error: Error) => void;
}

/** A table as it is in the database, for upgrades. */
export interface TableShape {
  /** In their order. */
  readonly columns: readonly string[];
  readonly primaryKey: readonly string[];
}

/** What differs between engines. */
export interface Dialect {
  /** Statement that creates a table under a name, without its indexes (see `createIndexes`). */
  createTable(table: TableName, name: string): string;
  /** Statements that create the secondary indexes of a table that were not created with it. */
  createIndexes(table: TableName): readonly string[];
  /** Statement that makes the rows of `data` unique by content. */
  readonly createDedup: string;
  /** Whether that can be done after the creation of the database. */
  readonly dedupAnyTime: boolean;
  /** All the tables, in order of creation. */
  readonly tables: readonly TableName[];
  /** Query for the names of all that is in the database, whoever made it. */
  readonly listTables: string;
  /** The shape of a table, `null` if it does not exist. */
  shape(engine: Engine, table: string): Promise<TableShape | null>;
  /** Whether data is deduplicated. */
  hasDedup(engine: Engine): Promise<boolean>;
  /** How many rows one statement should delete; 1 if statements cost little. */
  readonly rowsPerDelete: number;
  /** Follows `obj` in a `FROM`: use its primary key, or its index by tid. */
  readonly byOid: string;
  readonly byTid: string;
  /** Expression of the size of the data of a row `d` of `data`. */
  readonly dataSize: string;
  /** Storage of values that a row of `data` can not hold; `null` if there is no such value. */
  readonly bigData: BigDataDialect | null;
  /** Greatest size of data in bytes. */
  readonly maxData: number;
  /** Greatest size of user, description and extension in bytes, `null` without limit. */
  readonly maxMetadata: number | null;
}

/** Names of the tables. */
export type TableName =
  | "config"
  | "pt"
  | "pack"
  | "trans"
  | "obj"
  | "data"
  | "bigdata"
  | "ttrans"
  | "tobj"
  | "todel";

/** How values too big for a row are cut. */
export interface BigDataDialect {
  /** Values of this size or more are cut. */
  readonly threshold: number;
  readonly chunk: number;
  /** Followed by a condition on `data`, deletes the chunks of the rows that it selects. */
  readonly deleteChunks: string;
}

/** A column that is an integer, as `bigint`. */
export function asBigInt(value: Value | undefined): bigint {
  if (typeof value === "bigint") return value;
  assert(typeof value === "number" || typeof value === "string", "not an integer column");
  return BigInt(value);
}

/** A column that is a small integer. */
export function asNumber(value: Value | undefined): number {
  return Number(asBigInt(value));
}

/** A column that is a blob. */
export function asBytes(value: Value | undefined): Uint8Array {
  assert(value instanceof Uint8Array, "not a blob column");
  return value;
}

/** A column that is text, or bytes that are. */
export function asText(value: Value | undefined): string {
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  assert(typeof value === "string", "not a text column");
  return value;
}

/** Applies a conversion unless the column is NULL. */
export function nullable<T>(
  value: Value | undefined,
  convert: (value: Value | undefined) => T,
): T | null {
  return value === null ? null : convert(value);
}

/** A column that is a tid. */
export function asTid(value: Value | undefined): Tid {
  return toTid(asBigInt(value));
}

/** A column that is an oid. */
export function asOid(value: Value | undefined): Oid {
  return toOid(asBigInt(value));
}
