/**
 * The file of a log: an SQLite database that the usual log viewer of NEO can read.
 *
 * @module
 */

import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { LogLevel } from "../network/log.ts";
import type { Nid } from "../protocol/nodes.ts";
import type { CallSite } from "./source_location.ts";

/** Who writes. */
export interface LogIdentity {
  /** Tells apart the nodes of one process, else `null`. */
  readonly name: string | null;
  readonly cluster: string | null;
  readonly nid: Nid | null;
}

/** A text that a node wrote. */
export interface TextRecord {
  readonly date: number;
  readonly identity: LogIdentity | null;
  readonly level: LogLevel;
  readonly site: CallSite | null;
  readonly message: string;
}

/** A message that a node sent or received. */
export interface KeptPacket {
  readonly date: number;
  readonly identity: LogIdentity | null;
  readonly id: number;
  readonly code: number;
  readonly peer: string;
  /** `null` if it is too big to be kept. */
  readonly body: Uint8Array | null;
}

/** How a file is written. */
export interface LogFileOptions {
  /** Seconds since the Unix epoch. */
  readonly now: () => number;
  /** What lets viewers decode messages: a compressed source. Not evaluated before the first need. */
  readonly protocol: () => Uint8Array;
  /** Bytes the file may grow to, 0 meaning any. */
  readonly maxSize: number;
}

/** Milliseconds a node may be stalled by another process that locks the file. */
const BUSY_TIMEOUT = 500;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS log (
    date REAL PRIMARY KEY, node INTEGER, level INTEGER NOT NULL,
    pathname TEXT, lineno INTEGER, msg TEXT) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS packet (
    date REAL PRIMARY KEY, node INTEGER, msg_id INTEGER NOT NULL,
    code INTEGER NOT NULL, peer TEXT NOT NULL, body BLOB) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS protocol (
    date REAL PRIMARY KEY, text BLOB NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS node (
    id INTEGER PRIMARY KEY, name TEXT, cluster TEXT, nid INTEGER);
`;

/** Names of tables that a log may have, since the first versions. */
const LOG_TABLES = ["log", "packet", "protocol", "node", "log1", "packet1", "sqlite_sequence"];

/** An open file. */
export class LogFile {
  readonly #db: DatabaseSync;
  readonly #path: string;
  /** Which file it is, wherever it is moved. */
  readonly #identity: string | null;
  readonly #options: LogFileOptions;
  readonly #insertText: StatementSync;
  readonly #insertPacket: StatementSync;
  readonly #textDates = new UniqueDates();
  readonly #packetDates = new UniqueDates();
  /** Ids of the rows of table `node`. */
  readonly #nodes = new Map<string, number>();

  /** @throws {Error} if it can't be used. */
  constructor(path: string, options: LogFileOptions) {
    this.#db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT });
    this.#path = path;
    this.#options = options;
    this.#identity = fileIdentity(path);
    try {
      this.#refuseForeign();
      // The log must survive the process, not the machine: nothing waits for the disk.
      this.#db.exec("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
      this.#limitSize();
      this.#transaction(() => {
        this.#renameFormerTables();
        this.#db.exec(SCHEMA);
        this.#storeProtocol();
        for (const row of this.#db.prepare("SELECT * FROM node").all()) {
          this.#nodes.set(JSON.stringify([row.name, row.cluster, row.nid]), Number(row.id));
        }
      });
      this.#insertText = this.#db.prepare("INSERT OR IGNORE INTO log VALUES (?, ?, ?, ?, ?, ?)");
      this.#insertPacket = this.#db.prepare(
        "INSERT OR IGNORE INTO packet VALUES (?, ?, ?, ?, ?, ?)",
      );
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** Whether what is at a path is this file. It is not once the file was renamed or removed. */
  isAt(path: string): boolean {
    return fileIdentity(path) === this.#identity;
  }

  /** Bytes written. */
  get size(): number {
    try {
      return Deno.statSync(this.#path).size;
    } catch {
      return 0;
    }
  }

  /** Whether it has grown as much as it may, but for a transaction that did not fit. */
  get isFull(): boolean {
    return this.#options.maxSize !== 0 && this.size * 2 > this.#options.maxSize;
  }

  /** Writes all records or, if it throws, none. */
  write(records: Iterable<TextRecord | KeptPacket>): void {
    const known = new Map(this.#nodes);
    try {
      this.#transaction(() => {
        for (const record of records) {
          const node = this.#nodeId(record.identity);
          if ("level" in record) {
            const { level, site, message } = record;
            const source = site?.location() ?? null;
            const at = [source?.path ?? null, source?.line ?? null];
            this.#textDates.insert(
              record.date,
              (date) => this.#insertText.run(date, node, level, ...at, message).changes !== 0,
            );
          } else {
            const { id, code, peer, body } = record;
            this.#packetDates.insert(
              record.date,
              (date) => this.#insertPacket.run(date, node, id, code, peer, body).changes !== 0,
            );
          }
        }
      });
    } catch (error) {
      this.#nodes.clear();
      for (const [key, id] of known) this.#nodes.set(key, id);
      throw error;
    }
  }

  /** Never throws. */
  close(): void {
    try {
      // Without messages there is nothing to decode: save the space.
      if (this.#db.prepare("SELECT 1 FROM packet LIMIT 1").get() === undefined) {
        this.#db.exec("DROP TABLE protocol; VACUUM");
      }
    } catch {
      // It was only to save space.
    }
    this.#db.close();
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      // SQLite rolls back by itself after the most serious failures.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #limitSize(): void {
    if (this.#options.maxSize === 0) return;
    const pageSize = Number(this.#db.prepare("PRAGMA page_size").get()?.page_size);
    this.#db.exec(`PRAGMA max_page_count = ${Math.ceil(this.#options.maxSize / pageSize)}`);
  }

  /** Other databases are not to be changed by mistake. */
  #refuseForeign(): void {
    const tables = this.#db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
    const foreign = tables.find(({ name }) => !LOG_TABLES.includes(String(name)));
    if (foreign !== undefined) {
      throw new Error(`it is something else than a log, as it contains '${foreign.name}'`);
    }
  }

  /** Very old databases have another format. They stay readable under the names viewers know. */
  #renameFormerTables(): void {
    for (const table of ["log", "packet"]) {
      const columns = this.#db.prepare(`PRAGMA table_info(${table})`).all();
      if (columns.some(({ name }) => name === "name")) {
        this.#db.exec(`ALTER TABLE ${table} RENAME TO ${table}1`);
      }
    }
  }

  /** Each version of the protocol is stored with the date from which it was used. */
  #storeProtocol(): void {
    const text = this.#options.protocol();
    const last = this.#db.prepare("SELECT text FROM protocol ORDER BY date DESC LIMIT 1").get();
    if (last?.text instanceof Uint8Array && sameBytes(last.text, text)) return;
    const date = last === undefined ? 0 : this.#options.now();
    this.#db.prepare("INSERT OR REPLACE INTO protocol VALUES (?, ?)").run(date, text);
  }

  #nodeId(identity: LogIdentity | null): number | null {
    if (identity === null) return null;
    const { name, cluster, nid } = identity;
    const key = JSON.stringify([name, cluster, nid]);
    let id = this.#nodes.get(key);
    if (id === undefined) {
      // Another process may share the file by mistake.
      const { next } =
        this.#db.prepare("SELECT COALESCE(MAX(id) + 1, 0) AS next FROM node").get() ?? {};
      id = Number(next);
      this.#db.prepare("INSERT INTO node VALUES (?, ?, ?, ?)").run(id, name, cluster, nid);
      this.#nodes.set(key, id);
    }
    return id;
  }
}

/** Dates are primary keys: records of the same moment get the next numbers. */
class UniqueDates {
  #date = 0;
  #given = 0;

  /** @param insert tells whether the date was free. */
  insert(date: number, insert: (date: number) => boolean): void {
    // Many records may have the same date: go on where the last one of them ended.
    let candidate = date >= this.#date && date <= this.#given ? nextNumber(this.#given) : date;
    while (!insert(candidate)) candidate = nextNumber(candidate);
    this.#date = date;
    this.#given = candidate;
  }
}

const bits = new DataView(new ArrayBuffer(8));

/** The smallest double that is greater than a positive one. */
export function nextNumber(value: number): number {
  bits.setFloat64(0, value);
  bits.setBigUint64(0, bits.getBigUint64(0) + 1n);
  return bits.getFloat64(0);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function fileIdentity(path: string): string | null {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}
