/**
 * One connection to a SQLite database, used by the thread of the node and by the one that writes.
 *
 * @module
 */

import { DatabaseSync, type DatabaseSyncOptions, type StatementSync } from "node:sqlite";
import { type Row, type Value, type Write, write } from "./sql.ts";
import type { SqliteAddress } from "./sqlite_address.ts";

/** Milliseconds that SQLite waits for a lock before it reports that it is busy. */
const BUSY_TIMEOUT = 5000;
/**
 * Makes a commit write something, whatever else is in it, without changing anything. (SQLite does not
 * write a row that is updated with the same values.)
 */
const TOUCH = [
  write("INSERT INTO config VALUES ('flush', NULL)"),
  write("DELETE FROM config WHERE name = 'flush'"),
];

// Deno's types lack these options.
const OPTIONS: DatabaseSyncOptions & Readonly<Record<"readBigInts" | "returnArrays", boolean>> = {
  readBigInts: true,
  returnArrays: true,
};

/** Prepared statements are kept: there are few different ones. */
export class SqliteConnection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #address: SqliteAddress;
  #synchronous: string | null = null;
  /** Whether there are commits that are not durable yet. */
  #unsynced = false;

  constructor(address: SqliteAddress) {
    this.#address = address;
    this.#database = new DatabaseSync(address.path, OPTIONS);
    this.#database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    if (address.cacheSize !== null) {
      this.#database.exec(`PRAGMA cache_size = ${address.cacheSize}`);
    }
  }

  /** Sets the journal mode, which is kept in the file, and returns the one that is effective. */
  setJournalMode(): string {
    const [row] = this.all(`PRAGMA journal_mode = ${this.#address.journalMode}`, []);
    return String(row?.[0]);
  }

  /** All the rows of a query. */
  all(sql: string, parameters: readonly Value[]): Row[] {
    // Not `get`, which would leave the statement, and with it a read transaction, unfinished.
    return this.#prepare(sql).all(...parameters.map(toBound)) as unknown as Row[];
  }

  /** Executes a statement with each row of parameters. */
  run({ sql, rows }: Write): void {
    const statement = this.#prepare(sql);
    for (const row of rows) statement.run(...row.map(toBound));
  }

  /**
   * Executes writes in one transaction.
   *
   * In WAL mode, `synchronous = NORMAL` commits without fsync, and a commit with `FULL` does an
   * fsync of the whole WAL: all the commits before it get durable with it. It does nothing if there
   * is no change, so that one is made if something is to be made durable.
   *
   * @param onBusy called each time another process prevents from going on.
   */
  commit(writes: readonly Write[], durable: boolean, onBusy: () => void): void {
    const pending = durable && this.#unsynced;
    if (writes.length === 0 && !pending) return;
    this.#setSynchronous(durable);
    this.#retry("BEGIN IMMEDIATE", onBusy);
    try {
      for (const write of pending && !writes.some(isInsertion) ? [...TOUCH, ...writes] : writes) {
        this.run(write);
      }
      this.#retry("COMMIT", onBusy);
      this.#unsynced = !durable;
    } catch (error) {
      // SQLite may have rolled back by itself, and the first error is the one that matters.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #setSynchronous(durable: boolean): void {
    const level = this.#address.synchronous ?? "full";
    const wanted = durable || level === "off" ? level : "normal";
    if (wanted === this.#synchronous) return;
    this.#database.exec(`PRAGMA synchronous = ${wanted}`);
    this.#synchronous = wanted;
  }

  #retry(sql: string, onBusy: () => void): void {
    for (;;) {
      try {
        return this.#database.exec(sql);
      } catch (error) {
        if (!(error instanceof Error && error.message.includes("database is locked"))) throw error;
        onBusy();
      }
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** Whether a write is sure to change the database. */
function isInsertion({ sql, rows }: Write): boolean {
  return rows.length > 0 && /^INSERT INTO \w+ VALUES /.test(sql);
}

/** SQLite would bind a `number` as a real. */
function toBound(value: Value): Exclude<Value, number> {
  return typeof value === "number" ? BigInt(value) : value;
}
