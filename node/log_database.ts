/**
 * The log database of a node.
 *
 * Records are kept in memory, the oldest being forgotten, until something makes the recent past
 * interesting. A file that was renamed is left alone: what is written next goes to a new one. The log is not
 * worth a node: a file that is damaged, as after a power failure, is set aside, and trouble with one that was
 * usable, or will be, is reported once and never thrown.
 *
 * @module
 */

import { errorText, LogLevel, type PacketRecord } from "../network/log.ts";
import { ConfigError } from "./errors.ts";
import { LogBacklog } from "./log_backlog.ts";
import {
  type KeptPacket,
  LogFile,
  type LogFileOptions,
  type LogIdentity,
  type TextRecord,
} from "./log_file.ts";
import type { CallSite } from "./source_location.ts";

/** Settings of a {@linkcode LogDatabase}. */
export interface LogDatabaseOptions extends LogFileOptions {
  /** Is told, once, that the file can't be written. */
  readonly warn: (message: string) => void;
  /** Bytes of records kept in memory; 0 writes each record at once. */
  readonly backlog: number;
  /** Former files to keep when the file has grown to `maxSize`, 0 meaning to stop writing instead. */
  readonly keep: number;
}

/** Bytes of memory kept for records by default. */
export const LOG_BACKLOG = 16 << 20;
/** What a record is counted for, besides its text or body. */
export const RECORD_OVERHEAD = 1160;
// Texts of SQLite, as not all functions tell its numbers.
const BUSY = "database is locked";
const CORRUPT = "database disk image is malformed";
const FULL = "database or disk is full";
const NOT_A_DATABASE = "file is not a database";
/** How a database begins. */
const SQLITE_MAGIC = "SQLite format 3\0";
/** Seconds before trying again to write what could not be. */
const RETRY_DELAY = 10;

/** Keeps log records and writes them to a file. */
export class LogDatabase {
  readonly #path: string;
  readonly #options: LogDatabaseOptions;
  readonly #backlog: LogBacklog<TextRecord | KeptPacket>;
  #file: LogFile | null;
  #identity: LogIdentity | null = null;
  /** When to try again, `null` as long as the file can be written. */
  #retryAt: number | null = null;
  /** Why it can't. */
  #failure: string | null = null;

  /** @throws {ConfigError} if the file can't be used. */
  constructor(path: string, options: LogDatabaseOptions) {
    this.#path = path;
    this.#options = options;
    // What is written at once has to fit into an empty file.
    const fitting = options.maxSize === 0 ? Infinity : options.maxSize / 2;
    const backlog = options.backlog === 0 ? LOG_BACKLOG : options.backlog;
    this.#backlog = new LogBacklog(Math.min(backlog, fitting));
    try {
      this.#file = this.#open();
    } catch (error) {
      if (!isTemporary(error)) {
        throw new ConfigError(`can't open log database ${path}: ${errorText(error)}`);
      }
      this.#file = null;
      this.#failed(error);
    }
  }

  /** Opens the file. One that is damaged is set aside. */
  #open(): LogFile {
    try {
      return new LogFile(this.#path, this.#options);
    } catch (error) {
      if (!isDamaged(error, this.#path)) throw error;
      return this.#replaceDamaged(error);
    }
  }

  #replaceDamaged(error: unknown): LogFile {
    const damaged = `${this.#path}.damaged`;
    Deno.renameSync(this.#path, damaged);
    this.#options.warn(
      `log database ${this.#path} is damaged: ${errorText(error)}: renamed to ${damaged}`,
    );
    return new LogFile(this.#path, this.#options);
  }

  /** Tells who writes from now on. */
  identify(identity: LogIdentity): void {
    this.#identity = identity;
  }

  /** Keeps a text, and writes everything if it is a warning or worse. */
  add(level: LogLevel, site: CallSite | null, message: string): void {
    this.#backlog.push(
      { date: this.#options.now(), identity: this.#identity, level, site, message },
      RECORD_OVERHEAD + message.length,
    );
    this.#added(level >= LogLevel.WARNING);
  }

  /** Keeps a message. */
  addPacket({ sent, id, code, peer, body }: PacketRecord): void {
    const kept = body.length <= this.#backlog.capacity - RECORD_OVERHEAD;
    this.#backlog.push({
      date: this.#options.now(),
      identity: this.#identity,
      id,
      code,
      peer: `${sent ? ">" : "<"} ${peer}`,
      body: kept ? body.slice() : null,
    }, RECORD_OVERHEAD + (kept ? body.length : 0));
    this.#added(false);
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#file?.size ?? 0;
  }

  /** Why nothing can be written at present, `null` if it can. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Writes everything that is kept in memory. What can't be written stays there. */
  flush(): void {
    if (this.#file !== null && !this.#file.isAt(this.#path)) this.reopen();
    if (this.#backlog.length === 0) return;
    try {
      this.#file ??= this.#open();
      this.#write(this.#file);
      this.#backlog.clear();
      this.#retryAt = null;
      this.#failure = null;
    } catch (error) {
      this.#failed(error);
    }
  }

  #write(file: LogFile): void {
    try {
      file.write(this.#backlog);
    } catch (error) {
      const damaged = isDamaged(error, this.#path);
      if (!damaged && (this.#options.keep === 0 || !file.isFull)) throw error;
      file.close();
      this.#file = null;
      if (damaged) this.#file = this.#replaceDamaged(error);
      else {
        rotate(this.#path, this.#options.keep);
        this.#file = this.#open();
      }
      this.#file.write(this.#backlog);
    }
  }

  /** Closes the file and opens what is now at the same path, creating it if it was moved away. */
  reopen(): void {
    this.#file?.close();
    this.#file = null;
    // Whatever was wrong with the former file says nothing of the new one.
    this.#retryAt = null;
    this.#failure = null;
    try {
      this.#file = this.#open();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Writes everything and closes the file. */
  close(): void {
    this.flush();
    this.#file?.close();
    this.#file = null;
  }

  #added(interesting: boolean): void {
    if (this.#retryAt !== null) {
      if (this.#options.now() < this.#retryAt) return;
    } else if (!interesting && this.#options.backlog !== 0) return;
    this.flush();
  }

  #failed(error: unknown): void {
    const first = this.#retryAt === null;
    this.#failure = errorText(error);
    this.#retryAt = this.#options.now() + RETRY_DELAY;
    if (first) {
      this.#options.warn(
        `can't write to log database ${this.#path}, keeping recent records in memory: ` +
          this.#failure,
      );
    }
  }
}

/** Whether a file may be usable later: another process uses it, or the disk is full. */
function isTemporary(error: unknown): boolean {
  return [BUSY, FULL].includes(errorText(error));
}

/** Whether a file was a database, and can't be read any more. */
function isDamaged(error: unknown, path: string): boolean {
  const text = errorText(error);
  if (text === CORRUPT) return true;
  if (text !== NOT_A_DATABASE) return false;
  try {
    using file = Deno.openSync(path);
    const start = new Uint8Array(16);
    file.readSync(start);
    // Never written to the disk, or only later pages were.
    return start.every((byte) => byte === 0) || new TextDecoder().decode(start) === SQLITE_MAGIC;
  } catch {
    return false;
  }
}

/** Renames a file to `path.1`, what had that name to `path.2` and so on; the last one is forgotten. */
function rotate(path: string, keep: number): void {
  for (let n = keep - 1; n >= 0; n--) {
    const from = n === 0 ? path : `${path}.${n}`;
    try {
      Deno.renameSync(from, `${path}.${n + 1}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}
