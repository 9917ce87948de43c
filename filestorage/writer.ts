/**
 * Writing a Data.fs: whole transactions that exist elsewhere, with their tids.
 *
 * @module
 */

import type { TransactionInfo } from "../client/records.ts";
import { hexId, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { equalBytes } from "./bytes.ts";
import { AppendBuffer } from "./append_buffer.ts";
import { FileStorageError } from "./errors.ts";
import { FileWindow, SEQUENTIAL_BLOCK } from "./file_window.ts";
import {
  BACK_POINTER_SIZE,
  dataPosition,
  decodeLength,
  decodeRecordHeader,
  encodeLength,
  encodeRecordHeader,
  encodeTransactionHeader,
  type Magic,
  MAX_METADATA_SIZE,
  RECORD_HEADER_SIZE,
  type RecordHeader,
  Status,
  type TransactionHeader,
} from "./format.ts";
import type { RevisionIndex } from "./indexes.ts";
import { lockFileStorage } from "./lock.ts";
import { RevisionIndexer } from "./revision_indexer.ts";
import { scan } from "./scan.ts";

/** Length of a transaction that is being written: recovery sees that it goes beyond the file. */
const UNFINISHED_LENGTH = 2 ** 52;
/** Positions take 6 bytes in the index of ZODB. */
const MAX_POSITION = 2 ** 48;

/** How to open a file for writing. */
export interface WriterOptions {
  /** Magic of the file if it is created, `FS30` by default. */
  readonly magic?: Magic;
}

/**
 * Appends transactions to a Data.fs.
 *
 * One transaction at a time: {@linkcode begin}, {@linkcode restore} for each record, then
 * {@linkcode finish} or {@linkcode abort}. If the process is interrupted, the file ends with a
 * transaction that does not count, and that the next opening cuts. Only {@linkcode sync} and
 * {@linkcode close} make sure that what is finished is on disk.
 *
 * @example
 * ```ts ignore
 * await using writer = await FileStorageWriter.open("Copy.fs");
 * writer.begin(transaction);
 * for await (const record of transaction.records()) {
 *   writer.restore(record.oid, record.data, record.dataTid);
 * }
 * writer.finish();
 * ```
 */
export class FileStorageWriter {
  readonly #file: Deno.FsFile;
  readonly #lock: Deno.FsFile;
  readonly #output: AppendBuffer;
  readonly #revisions: RevisionIndex;
  #lastTid: Tid;
  #current: Current | null = null;
  #failure: unknown = null;

  private constructor(
    /** The file. */
    readonly path: string,
    /** Copy of the incomplete end that opening removed; `null` if there was none. */
    readonly savedTail: string | null,
    file: Deno.FsFile,
    lock: Deno.FsFile,
    end: number,
    revisions: RevisionIndex,
    lastTid: Tid,
  ) {
    this.#file = file;
    this.#lock = lock;
    this.#output = new AppendBuffer(file, path, end);
    this.#revisions = revisions;
    this.#lastTid = lastTid;
  }

  /**
   * Opens a file to append to it, and creates it if it does not exist (or is empty).
   *
   * An incomplete end of the file is moved to the first free `<path>.tr0`, `.tr1`...
   *
   * @throws {FileStorageError} if it is in use, or not a FileStorage.
   * @throws {CorruptFileError} if it is damaged.
   */
  static async open(path: string, options: WriterOptions = {}): Promise<FileStorageWriter> {
    const lock = lockFileStorage(path);
    let file: Deno.FsFile | null = null;
    try {
      file = await Deno.open(path, { read: true, write: true, create: true });
      if (file.statSync().size === 0) {
        file.writeSync(new TextEncoder().encode(options.magic ?? "FS30"));
      }
      const indexer = new LastTidIndexer();
      const { end, tail } = await scan(new FileWindow(file, path, SEQUENTIAL_BLOCK), indexer);
      const saved = tail === null ? null : await moveTail(file, path, end);
      return new FileStorageWriter(path, saved, file, lock, end, indexer.index, indexer.lastTid);
    } catch (error) {
      file?.close();
      lock.close();
      throw error;
    }
  }

  /** Tid of the last finished transaction, {@linkcode ZERO_TID} if there are none. */
  get lastTid(): Tid {
    return this.#lastTid;
  }

  /**
   * Starts a transaction.
   *
   * @throws {FileStorageError} if its tid is not greater than the last one, or its user, description
   * or extension is too long.
   */
  begin(info: TransactionInfo): void {
    this.#check();
    if (this.#current !== null) {
      throw new FileStorageError(`transaction ${hexId(this.#current.header.tid)} is not finished`);
    }
    if (info.tid <= this.#lastTid) {
      throw new FileStorageError(
        `${this.path} ends with transaction ${hexId(this.#lastTid)}: ` +
          `${hexId(info.tid)} is not after it`,
      );
    }
    for (const field of ["user", "description", "extension"] as const) {
      if (info[field].length > MAX_METADATA_SIZE) {
        throw new FileStorageError(
          `transaction ${hexId(info.tid)} has a ${field} of ${info[field].length} bytes: ` +
            `a FileStorage holds at most ${MAX_METADATA_SIZE}`,
        );
      }
    }
    const header: TransactionHeader = {
      position: this.#output.position,
      tid: info.tid,
      length: UNFINISHED_LENGTH,
      status: Status.UNFINISHED,
      userSize: info.user.length,
      descriptionSize: info.description.length,
      extensionSize: info.extension.length,
    };
    const status = info.status === "p" ? Status.PACKED : Status.NORMAL;
    this.#current = { header, status, written: new Map() };
    this.#append(encodeTransactionHeader(header), info.user, info.description, info.extension);
  }

  /**
   * Adds a record to the transaction.
   *
   * @param data `null` for a deletion or an undone creation.
   * @param dataTid a hint: if that transaction wrote the same data for the object, the record points
   * to it instead of holding the data again.
   * @throws {FileStorageError} if no transaction was begun, or data is empty.
   */
  restore(oid: Oid, data: Uint8Array | null, dataTid: Tid | null = null): void {
    const { header, written } = this.#transaction();
    if (data?.length === 0) {
      throw new FileStorageError(
        `object ${hexId(oid)} has empty data in transaction ${hexId(header.tid)}: ` +
          "a FileStorage can not hold it",
      );
    }
    const shared = dataTid === null ? 0 : this.#findData(oid, dataTid, data);
    const own = shared === 0 ? data : null;
    const position = this.#output.position;
    const record = encodeRecordHeader({
      position,
      oid,
      tid: header.tid,
      previous: this.#revisions.last(oid),
      transaction: header.position,
      versionSize: 0,
      dataSize: own?.length ?? 0,
    });
    this.#append(record, own ?? encodeLength(shared));
    written.set(oid, position);
  }

  /** Ends the transaction: from now on it counts. */
  finish(): void {
    const { header, status, written } = this.#transaction();
    const length = this.#output.position - header.position;
    this.#append(encodeLength(length));
    if (this.#output.position > MAX_POSITION) {
      this.abort();
      throw new FileStorageError(`${this.path} would be larger than 2^48 bytes`);
    }
    this.#try(() =>
      this.#output.patch(header.position, encodeTransactionHeader({ ...header, length, status }))
    );
    for (const [oid, position] of written) this.#revisions.set(oid, position);
    this.#lastTid = header.tid;
    this.#current = null;
  }

  /** Drops the transaction. After a failed write there is nothing to do: what it left in the file
   * does not count. */
  abort(): void {
    if (this.#failure !== null) return;
    const { header } = this.#transaction();
    this.#try(() => this.#output.cut(header.position));
    this.#current = null;
  }

  /** Waits until the finished transactions are on disk. */
  async sync(): Promise<void> {
    this.#check();
    this.#try(() => this.#output.flush());
    await this.#file.sync();
  }

  /** Drops the transaction that is not finished, waits until the others are on disk, and closes. */
  async close(): Promise<void> {
    try {
      if (this.#failure !== null) return;
      if (this.#current !== null) this.abort();
      await this.sync();
    } finally {
      this.#file.close();
      this.#lock.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Position of the record that transaction `tid` wrote for an object if it has `data`; else 0. */
  #findData(oid: Oid, tid: Tid, data: Uint8Array | null): number {
    let position = this.#revisions.last(oid);
    while (position !== 0) {
      const header = this.#recordHeader(position);
      if (header.tid <= tid) {
        return header.tid === tid && this.#shares(header, data) ? position : 0;
      }
      position = this.#revisions.previous(position, header.previous);
    }
    return 0;
  }

  /** Whether a record has this data, at the end of its chain of back-pointers. */
  #shares(header: RecordHeader, data: Uint8Array | null): boolean {
    let found = header;
    while (found.dataSize === 0) {
      const position = decodeLength(this.#output.read(dataPosition(found), BACK_POINTER_SIZE));
      if (position === 0) return data === null;
      if (position >= found.position) return false;
      found = this.#recordHeader(position);
    }
    return found.dataSize === data?.length &&
      equalBytes(this.#output.read(dataPosition(found), found.dataSize), data);
  }

  #recordHeader(position: number): RecordHeader {
    return decodeRecordHeader(this.#output.read(position, RECORD_HEADER_SIZE), position);
  }

  #transaction(): Current {
    this.#check();
    if (this.#current === null) throw new FileStorageError("no transaction was begun");
    return this.#current;
  }

  #append(...pieces: Uint8Array[]): void {
    this.#try(() => pieces.forEach((piece) => this.#output.append(piece)));
  }

  /** After a failed write, what is in the file is no longer known: nothing more may be written. */
  #try(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #check(): void {
    if (this.#failure !== null) {
      throw new FileStorageError(`writing ${this.path} failed before`, { cause: this.#failure });
    }
  }
}

/** The transaction being written. */
interface Current {
  readonly header: TransactionHeader;
  /** Status it will have. */
  readonly status: number;
  /** Position of the last record of each object. */
  readonly written: Map<Oid, number>;
}

class LastTidIndexer extends RevisionIndexer {
  lastTid: Tid = ZERO_TID;

  transaction(header: TransactionHeader): void {
    if (header.tid > this.lastTid) this.lastTid = header.tid;
  }
}

/** Moves what follows `end` to a file of its own, and returns its name. */
async function moveTail(file: Deno.FsFile, path: string, end: number): Promise<string> {
  for (let number = 0;; number++) {
    const name = `${path}.tr${number}`;
    try {
      using copy = await Deno.open(name, { write: true, createNew: true });
      await file.seek(end, Deno.SeekMode.Start);
      const block = new Uint8Array(SEQUENTIAL_BLOCK);
      for (let count; (count = await file.read(block)) !== null;) {
        for (let done = 0; done < count;) done += await copy.write(block.subarray(done, count));
      }
      await copy.sync();
      await file.truncate(end);
      return name;
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
}
