/**
 * MySQL and MariaDB. One connection writes, others read what is committed, so that a commit stalls
 * no read.
 *
 * @module
 */

import { hostname } from "node:os";
import { DatabaseError, type DatabaseOptions } from "./database.ts";
import { type MysqlAddress, parseMysqlAddress } from "./mysql_address.ts";
import { ConnectionLostError, MysqlConnection } from "./mysql_connection.ts";
import { mysqlDialect } from "./mysql_dialect.ts";
import { splitInserts } from "./mysql_inserts.ts";
import {
  asNumber,
  asText,
  type Dialect,
  type Engine,
  type Row,
  type Value,
  type Write,
} from "./sql.ts";

/** Data of almost 16 MiB, escaped, and the rest of its statement. */
const MIN_MAX_ALLOWED_PACKET = 32769 * 1024;
/** Connections that read. */
const READERS = 2;
/** Times that a query is tried when its connection is lost. */
const ATTEMPTS = 3;
/** Milliseconds between attempts to connect. */
const CONNECT_PERIOD = 1000;
/** Seconds to wait for the lock of the database. */
const LOCK_WAIT = 2;

/** Connects, checks the server and takes the lock of the database. */
export async function openMysql(options: DatabaseOptions): Promise<Engine> {
  const engine = new MysqlEngine(parseAddress(options.database), options);
  try {
    await engine.connect();
    return engine;
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/**
 * Creates an empty database unless it exists.
 *
 * @param database connection string of the database to create.
 * @throws {DatabaseError} if the server refuses or can not be reached.
 */
export async function createMysqlDatabase(database: string): Promise<void> {
  const address = parseAddress(database);
  const connection = await MysqlConnection.open(address, null, []);
  try {
    const name = address.database.replaceAll("`", "``");
    await connection.query(`CREATE DATABASE IF NOT EXISTS \`${name}\``, []);
  } finally {
    await connection.close();
  }
}

function parseAddress(database: string): MysqlAddress {
  return parseMysqlAddress(database, database.includes("~") ? Deno.env.get("HOME") ?? null : null);
}

/** A connection that is opened when it is needed, again if it was lost. */
class Link {
  #connection: Promise<MysqlConnection> | null = null;
  #closed = false;

  constructor(readonly open: () => Promise<MysqlConnection>) {}

  async get(): Promise<MysqlConnection> {
    while (this.#connection !== null) {
      const current = this.#connection;
      const connection = await current;
      if (!connection.lost) return connection;
      if (this.#connection !== current) continue; // Somebody else was faster.
      this.#connection = null;
      await connection.close();
    }
    // A commit may try again while the database is being closed: it must not take the lock back.
    if (this.#closed) throw new DatabaseError("the database is closed");
    const opening = this.open();
    this.#connection = opening;
    // A failure is not remembered.
    opening.catch(() => this.#connection = null);
    return await opening;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connection = await this.#connection?.catch(() => null);
    await connection?.close();
    this.#connection = null;
  }
}

class MysqlEngine implements Engine {
  readonly dialect: Dialect;
  readonly eager = false;
  onLost: (error: Error) => void = () => {};
  readonly #writer: Link;
  readonly #readers: readonly Link[];
  #nextReader = 0;
  #maxPacket = MIN_MAX_ALLOWED_PACKET;

  constructor(readonly address: MysqlAddress, readonly options: DatabaseOptions) {
    this.dialect = mysqlDialect(options.engine ?? "InnoDB");
    this.#writer = new Link(() => this.#openWriter());
    this.#readers = Array.from({ length: READERS }, () => new Link(() => this.#openReader()));
  }

  /**
   * Connects at first, trying for as long as the options say. A server that is lost later is not
   * waited for: the node must leave the cluster instead of keeping its clients waiting.
   */
  async connect(): Promise<void> {
    const { wait, log } = this.options;
    const end = wait < 0 ? Infinity : performance.now() + wait * 1000;
    let told = "";
    for (;;) {
      try {
        await this.#writer.get();
        return;
      } catch (error) {
        if (error instanceof UnsuitableServerError || performance.now() >= end) throw error;
        const text = error instanceof Error ? error.message : String(error);
        if (text !== told) log("warning", `waiting for the database server: ${text}`);
        told = text;
      }
      await new Promise((resolve) => setTimeout(resolve, CONNECT_PERIOD));
    }
  }

  async read(sql: string, parameters: readonly Value[]): Promise<readonly Row[]> {
    const reader = this.#readers[this.#nextReader++ % READERS];
    for (let attempt = 1;; attempt++) {
      try {
        const connection = await reader?.get();
        return await connection?.query(sql, parameters) ?? [];
      } catch (error) {
        if (!(error instanceof ConnectionLostError) || attempt === ATTEMPTS) throw error;
        this.options.log("warning", `${error.message}: connecting again to read`);
      }
    }
  }

  async commit(writes: readonly Write[], _durable: boolean): Promise<void> {
    if (writes.length === 0) return;
    for (let attempt = 1;; attempt++) {
      let committing = false;
      try {
        const connection = await this.#writer.get();
        await this.#execute(connection, writes);
        committing = true;
        await connection.query("COMMIT", []);
        return;
      } catch (error) {
        // As long as the commit was not asked, the server rolls back what it lost sight of.
        if (!(error instanceof ConnectionLostError) || committing || attempt === ATTEMPTS) {
          throw error;
        }
        this.options.log("warning", `${error.message}: connecting again to write`);
      }
    }
  }

  /** Executes writes in a transaction, which begins with the first one and remains to be committed. */
  async #execute(connection: MysqlConnection, writes: readonly Write[]): Promise<void> {
    const results: Promise<unknown>[] = [];
    for (const write of writes) {
      for (const { sql, parameters } of splitInserts(write, this.#maxPacket)) {
        results.push(connection.query(sql, parameters));
      }
    }
    // One may fail without the following ones: all of them must have succeeded.
    const failure = (await Promise.allSettled(results)).find((one) => one.status === "rejected");
    if (failure === undefined) return;
    if (!(failure.reason instanceof ConnectionLostError)) {
      await connection.query("ROLLBACK", []).catch(() => {});
    }
    throw failure.reason;
  }

  /** The host and the device of the server's files, if they can be seen from here. */
  async devicePath(): Promise<string[]> {
    const [row] = await this.read("SELECT @@datadir, @@hostname", []);
    const folder = asText(row?.[0]);
    try {
      return [hostname(), String((await Deno.stat(folder)).dev)];
    } catch {
      this.options.log(
        "warning",
        `folder ${folder} of the MySQL server is not visible: it is taken for a device of its own`,
      );
      return [asText(row?.[1]), folder];
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#readers, this.#writer].map((link) => link.close()));
  }

  async #openReader(): Promise<MysqlConnection> {
    // Nobody else may have taken the lock when a server comes back.
    await this.#writer.get();
    return await this.#open(["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"]);
  }

  async #openWriter(): Promise<MysqlConnection> {
    const rocks = this.options.engine === "RocksDB";
    const connection = await this.#open([]);
    try {
      await this.#check(connection);
      if (rocks) await connection.query("SET SESSION rocksdb_max_row_locks = 1073741824", []);
      // If the server rolls back a transaction, what was sent after that belongs to another one, and is
      // rolled back as well instead of being committed statement by statement.
      await connection.query("SET SESSION autocommit = 0", []);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  #open(session: readonly string[]): Promise<MysqlConnection> {
    return MysqlConnection.open(this.address, this.address.database, session);
  }

  /** Checks what the server must be able to do, and takes the lock. */
  async #check(connection: MysqlConnection): Promise<void> {
    const name = `${this.address.database}.neostorage`;
    // The server may need a moment to notice that the previous process was killed.
    const [lock] = await connection.query("SELECT GET_LOCK(?, ?)", [name, LOCK_WAIT]);
    if (lock === undefined || lock[0] === null || asNumber(lock[0]) !== 1) {
      throw new UnsuitableServerError("database is locked");
    }
    const [packet] = await connection.query("SELECT @@max_allowed_packet", []);
    this.#maxPacket = asNumber(packet?.[0]);
    if (this.#maxPacket < MIN_MAX_ALLOWED_PACKET) {
      throw new UnsuitableServerError(
        `the server's max_allowed_packet is ${this.#maxPacket / 1024 | 0} KiB, ` +
          `it must be at least ${MIN_MAX_ALLOWED_PACKET / 1024} KiB: ` +
          "set max_allowed_packet=64M in its configuration",
      );
    }
    const storageEngine = this.options.engine ?? "InnoDB";
    const [support] = await connection.query(
      "SELECT support FROM information_schema.engines WHERE engine = ?",
      [storageEngine],
    );
    if (support === undefined || !["YES", "DEFAULT"].includes(asText(support[0]))) {
      throw new UnsuitableServerError(`the server does not have storage engine ${storageEngine}`);
    }
    if (storageEngine === "InnoDB") await this.#checkDurability(connection);
  }

  /** Some prefer speed, and count on replicas: that is their choice, but not to be made unknowingly. */
  async #checkDurability(connection: MysqlConnection): Promise<void> {
    const [row] = await connection.query("SELECT @@innodb_flush_log_at_trx_commit", []);
    const setting = asNumber(row?.[0]);
    if (setting === 1) return;
    this.options.log(
      "warning",
      `the server's innodb_flush_log_at_trx_commit is ${setting}: ` +
        "transactions can be lost if it crashes, set it to 1 to make commits durable",
    );
  }
}

/** Trying again would not help. */
class UnsuitableServerError extends DatabaseError {}
