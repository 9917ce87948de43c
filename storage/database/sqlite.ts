/**
 * SQLite. In WAL mode the thread of the node reads by itself, in a few microseconds, and another
 * thread writes, so that an fsync stalls nothing. Any other journal mode makes readers and the
 * writer exclude each other: everything is then done on one connection.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { hostname } from "node:os";
import { DatabaseError, type DatabaseOptions } from "./database.ts";
import { lockFile } from "./file_lock.ts";
import type { Engine, Row, Value, Write } from "./sql.ts";
import { parseSqliteAddress, type SqliteAddress } from "./sqlite_address.ts";
import { SqliteConnection } from "./sqlite_connection.ts";
import { sqliteDialect } from "./sqlite_dialect.ts";
import type { WriterAnswer, WriterRequest } from "./sqlite_writer.ts";

type Log = DatabaseOptions["log"];

/** Opens the file, creating it if needed, and takes its lock. */
export async function openSqlite(options: DatabaseOptions): Promise<Engine> {
  if (options.engine !== null) {
    throw new DatabaseError(
      `SQLite has no storage engine to choose, '${options.engine}' is refused`,
    );
  }
  const address = parseSqliteAddress(options.database, homeDirectory(options.database));
  if (address.path === ":memory:") return new InlineSqlite(address, null, options.log);
  createFile(address.path);
  const unlock = await lockFile(address.path);
  try {
    // The engine of other journal modes also tells which one is really in use.
    const inline = new InlineSqlite(address, unlock, options.log);
    if (inline.journalMode !== "wal") return inline;
    inline.disconnect();
    return await ThreadedSqlite.open(address, unlock, options.log);
  } catch (error) {
    unlock();
    throw error;
  }
}

function homeDirectory(database: string): string | null {
  return database.startsWith("~") ? Deno.env.get("HOME") ?? null : null;
}

/** The lock is named after the file, which must thus exist. */
function createFile(path: string): void {
  try {
    Deno.openSync(path, { read: true, write: true, create: true }).close();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DatabaseError(`the database file can not be opened: ${reason}`, { cause: error });
  }
}

async function devicePath(path: string): Promise<string[]> {
  const device = path === ":memory:" ? "memory" : String((await Deno.stat(path)).dev);
  return [hostname(), device];
}

function busyLogger(log: Log): () => void {
  return () => log("warning", "another process uses the database, waiting for it");
}

function failure(error: unknown): DatabaseError {
  const message = error instanceof Error ? error.message : String(error);
  return new DatabaseError(`SQLite: ${message}`, { cause: error });
}

/** Everything on one connection, in this thread. */
class InlineSqlite implements Engine {
  readonly dialect = sqliteDialect;
  readonly eager = false;
  readonly journalMode: string;
  onLost: (error: Error) => void = () => {};
  readonly #connection: SqliteConnection;

  constructor(
    readonly address: SqliteAddress,
    readonly unlock: (() => void) | null,
    readonly log: Log,
  ) {
    try {
      this.#connection = new SqliteConnection(address);
      this.journalMode = this.#connection.setJournalMode();
    } catch (error) {
      throw failure(error);
    }
  }

  read(sql: string, parameters: readonly Value[]): Promise<readonly Row[]> {
    try {
      return Promise.resolve(this.#connection.all(sql, parameters));
    } catch (error) {
      return Promise.reject(failure(error));
    }
  }

  commit(writes: readonly Write[], durable: boolean): Promise<void> {
    try {
      this.#connection.commit(writes, durable, busyLogger(this.log));
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(failure(error));
    }
  }

  devicePath(): Promise<string[]> {
    return devicePath(this.address.path);
  }

  close(): Promise<void> {
    this.disconnect();
    this.unlock?.();
    return Promise.resolve();
  }

  /** Closes without releasing the lock. */
  disconnect(): void {
    this.#connection.close();
  }
}

/** A connection to read in this thread, and a thread that writes. */
class ThreadedSqlite implements Engine {
  readonly dialect = sqliteDialect;
  readonly eager = true;
  onLost: (error: Error) => void = () => {};
  readonly #reader: SqliteConnection;
  readonly #worker: Worker;
  readonly #logBusy: () => void;
  #pending: PromiseWithResolvers<void> | null = null;
  #lost: DatabaseError | null = null;

  private constructor(
    readonly address: SqliteAddress,
    readonly unlock: () => void,
    log: Log,
  ) {
    this.#logBusy = busyLogger(log);
    this.#reader = new SqliteConnection(address);
    this.#worker = new Worker(new URL("./sqlite_writer.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WriterAnswer>) => this.#answered(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const error = failure(`the thread that writes stopped: ${event.message}`);
      this.#lost = error;
      this.#settle()?.reject(error);
      this.onLost(error);
    };
  }

  static async open(
    address: SqliteAddress,
    unlock: () => void,
    log: Log,
  ): Promise<ThreadedSqlite> {
    const engine = new ThreadedSqlite(address, unlock, log);
    try {
      await engine.#ask({ type: "open", address });
      return engine;
    } catch (error) {
      engine.#terminate();
      throw error;
    }
  }

  read(sql: string, parameters: readonly Value[]): Promise<readonly Row[]> {
    try {
      return Promise.resolve(this.#reader.all(sql, parameters));
    } catch (error) {
      return Promise.reject(failure(error));
    }
  }

  commit(writes: readonly Write[], durable: boolean): Promise<void> {
    // Nobody may be waiting for it if it is not durable: answers that are ready leave first.
    const send = durable ? undefined : setImmediate;
    return this.#ask({ type: "commit", writes: writes.map(compact), durable }, send);
  }

  devicePath(): Promise<string[]> {
    return devicePath(this.address.path);
  }

  async close(): Promise<void> {
    try {
      // After a failure a commit may still be running: the lock covers it too.
      await this.#pending?.promise.catch(() => {});
      if (this.#lost === null) await this.#ask({ type: "close" });
    } finally {
      this.#terminate();
      this.unlock();
    }
  }

  #terminate(): void {
    this.#worker.terminate();
    this.#reader.close();
  }

  #ask(
    request: WriterRequest,
    defer: (callback: () => void) => void = (callback) => callback(),
  ): Promise<void> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    if (this.#pending !== null) return Promise.reject(failure("a request is already running"));
    const pending = Promise.withResolvers<void>();
    this.#pending = pending;
    defer(() => this.#worker.postMessage(request));
    return pending.promise;
  }

  #settle(): PromiseWithResolvers<void> | null {
    const pending = this.#pending;
    this.#pending = null;
    return pending;
  }

  #answered(answer: WriterAnswer): void {
    switch (answer.type) {
      case "busy":
        return this.#logBusy();
      case "done":
        return this.#settle()?.resolve();
      case "failed":
        return this.#settle()?.reject(failure(answer.message));
    }
  }
}

/** Posting a view copies the whole buffer it is a view of: keeps only what is needed. */
function compact({ sql, rows }: Write): Write {
  return { sql, rows: rows.map((row) => row.map(compactValue)) };
}

function compactValue(value: Value): Value {
  if (!(value instanceof Uint8Array) || value.byteLength === value.buffer.byteLength) return value;
  return value.slice();
}
