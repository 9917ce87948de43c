/**
 * Reading a Data.fs.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import type { DataRecord, TransactionRecord } from "../client/records.ts";
import { INVALID_TID, type Oid, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { CorruptFileError, FileStorageError } from "./errors.ts";
import { FileWindow, RANDOM_BLOCK, SEQUENTIAL_BLOCK } from "./file_window.ts";
import {
  BACK_POINTER_SIZE,
  dataPosition,
  decodeLength,
  decodeRecordHeader,
  decodeTransactionHeader,
  type Magic,
  MAGIC_SIZE,
  metadataSize,
  RECORD_HEADER_SIZE,
  recordEnd,
  type RecordHeader,
  Status,
  TRANSACTION_HEADER_SIZE,
  transactionEnd,
  type TransactionHeader,
} from "./format.ts";
import { RevisionIndex, TransactionIndex } from "./indexes.ts";
import { recordHeaders, scan, type ScanResult } from "./scan.ts";
import { RevisionIndexer } from "./revision_indexer.ts";

/** A revision of an object, as {@linkcode FileStorageReader.loadBefore} gives it. */
export interface Revision {
  /** `null`: the object was deleted, or its creation undone. */
  readonly data: Uint8Array | null;
  /** Tid of the revision. */
  readonly serial: Tid;
  /** Tid of the revision that follows, `null` if this one is current. */
  readonly nextSerial: Tid | null;
}

/** A transaction of a file. */
export interface FileTransaction extends TransactionRecord {
  /** Where it is in the file. */
  readonly header: TransactionHeader;
}

/** Most warnings that are kept: a file can have one per record. */
const MAX_WARNINGS = 100;

/**
 * Reads a Data.fs without ever changing it, while another process may append to it: what is read is
 * what was there at opening.
 *
 * @example
 * ```ts ignore
 * using reader = await FileStorageReader.open("Data.fs");
 * for await (const transaction of reader.transactions()) {
 *   for await (const record of transaction.records()) console.log(record.oid, record.data);
 * }
 * ```
 */
export class FileStorageReader {
  /** `FS21` if the pickles come from Python 2. */
  readonly magic: Magic;
  /** Position just after the last valid transaction. */
  readonly end: number;
  /** Number of bytes after `end`, which do not count. */
  readonly ignoredBytes: number;
  /** Why they do not count, `null` if there are none. */
  readonly ignoredReason: string | null;
  /** Greatest oid of the records, `null` if there are none. */
  readonly largestOid: Oid | null;
  /** Number of data records. */
  readonly recordCount: number;
  /** Whether a transaction has several records of the same object. */
  readonly repeatsOids: boolean;
  /** What was unusual in the file, the first hundred if there is more. */
  readonly warnings: readonly string[];

  readonly #file: Deno.FsFile;
  readonly #index: TransactionIndex;
  /** For what follows pointers. */
  readonly #random: FileWindow;
  #revisions: Promise<RevisionIndex> | null = null;

  private constructor(
    /** The file. */
    readonly path: string,
    file: Deno.FsFile,
    result: ScanResult,
    survey: Survey,
  ) {
    this.#file = file;
    this.#index = survey.index;
    this.#random = new FileWindow(file, path, RANDOM_BLOCK);
    this.magic = result.magic;
    this.end = result.end;
    this.ignoredBytes = result.size - result.end;
    this.ignoredReason = result.tail;
    this.largestOid = survey.largestOid;
    this.recordCount = survey.recordCount;
    this.repeatsOids = survey.repeatsOids;
    this.warnings = survey.warnings;
  }

  /**
   * Opens a file and walks through it.
   *
   * @throws {FileStorageError} if there is no such file, it is not a FileStorage, or has versions.
   * @throws {CorruptFileError} if it is damaged elsewhere than at its end.
   */
  static async open(path: string): Promise<FileStorageReader> {
    const file = await openFile(path);
    try {
      const survey = new Survey();
      const result = await scan(new FileWindow(file, path, SEQUENTIAL_BLOCK), survey);
      return new FileStorageReader(path, file, result, survey);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Tid of the last transaction, {@linkcode ZERO_TID} if there are none. */
  get lastTid(): Tid {
    return this.#index.count === 0 ? ZERO_TID : this.#index.tid(this.#index.count - 1);
  }

  /** Number of transactions. */
  get transactionCount(): number {
    return this.#index.count;
  }

  /** Number and size in bytes of the transactions of a range, both ends included. */
  measure(from: Tid = ZERO_TID, to: Tid = INVALID_TID): { transactions: number; bytes: number } {
    const first = this.#index.firstFrom(from);
    const next = Math.max(first, this.#index.firstFrom((to + 1n) as Tid));
    const start = this.#index.position(first) ?? this.end;
    const end = this.#index.position(next) ?? this.end;
    return { transactions: next - first, bytes: end - start };
  }

  /** Tid of the transaction `count` places before the end; of the first one if there are fewer. */
  tidFromEnd(count: number): Tid {
    return this.#index.tid(Math.max(0, this.#index.count - count));
  }

  /**
   * The transactions in the order of the file, from one tid to another, both included.
   *
   * They, and their records, can be read as long as the reader is open.
   *
   * @throws {CorruptFileError} on a bad back-pointer.
   */
  async *transactions(
    from: Tid = ZERO_TID,
    to: Tid = INVALID_TID,
  ): AsyncGenerator<FileTransaction> {
    const window = new FileWindow(this.#file, this.path, SEQUENTIAL_BLOCK);
    let position = this.#index.position(this.#index.firstFrom(from)) ?? this.end;
    while (position < this.end) {
      // Reading is synchronous: let timers and signals in, once per block.
      if (!window.holds(position, TRANSACTION_HEADER_SIZE)) await setImmediate();
      const header = decodeTransactionHeader(
        window.read(position, TRANSACTION_HEADER_SIZE),
        position,
      );
      if (header.tid > to) return;
      if (header.status !== Status.UNDONE) yield this.#transaction(window, header);
      position = transactionEnd(header);
    }
  }

  /**
   * The last revision of an object written before a tid, `null` if there is none.
   *
   * The first call walks through the file to index it.
   */
  async loadBefore(oid: Oid, tid: Tid): Promise<Revision | null> {
    let nextSerial: Tid | null = null;
    for (const header of await this.#history(oid)) {
      if (header.tid < tid) return this.#revision(header, nextSerial);
      nextSerial = header.tid;
    }
    return null;
  }

  /** The revision of an object that a transaction wrote, `null` if there is none. */
  async loadAt(oid: Oid, tid: Tid): Promise<Revision | null> {
    const revision = await this.loadBefore(oid, (tid + 1n) as Tid);
    return revision?.serial === tid ? revision : null;
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #transaction(window: FileWindow, header: TransactionHeader): FileTransaction {
    const metadata = window.read(
      header.position + TRANSACTION_HEADER_SIZE,
      metadataSize(header) - TRANSACTION_HEADER_SIZE,
    );
    const description = header.userSize;
    const extension = description + header.descriptionSize;
    return {
      header,
      tid: header.tid,
      status: header.status === Status.PACKED ? "p" : " ",
      user: metadata.subarray(0, description),
      description: metadata.subarray(description, extension),
      extension: metadata.subarray(extension),
      records: () => this.#records(window, header),
    };
  }

  async *#records(window: FileWindow, transaction: TransactionHeader): AsyncGenerator<DataRecord> {
    for (const header of recordHeaders(window, transaction)) {
      const { oid } = header;
      const { tid } = transaction;
      if (header.dataSize > 0) {
        const data = window.read(dataPosition(header), header.dataSize);
        yield { oid, tid, data, dataTid: null };
        continue;
      }
      const target = this.#target(window, header);
      const data = target === null ? null : this.#data(target);
      yield { oid, tid, data, dataTid: target?.tid ?? null };
    }
  }

  /** The record that a record without data of its own points to, `null` if to none. */
  #target(window: FileWindow, header: RecordHeader): RecordHeader | null {
    const position = decodeLength(window.read(dataPosition(header), BACK_POINTER_SIZE));
    if (position === 0) return null;
    const corrupt = (problem: string) =>
      new CorruptFileError(this.path, header.position, `the back-pointer ${position} ${problem}`);
    if (position < MAGIC_SIZE || position >= header.position) {
      throw corrupt("does not point to an earlier record");
    }
    const target = decodeRecordHeader(this.#random.read(position, RECORD_HEADER_SIZE), position);
    if (target.oid !== header.oid || recordEnd(target) > header.position) {
      throw corrupt("does not point to a record of the same object");
    }
    return target;
  }

  /** Data of a record, at the end of its chain of back-pointers. Each one goes backwards, so that
   * the chain does end. */
  #data(header: RecordHeader): Uint8Array | null {
    let found: RecordHeader | null = header;
    while (found !== null && found.dataSize === 0) found = this.#target(this.#random, found);
    return found === null ? null : this.#random.read(dataPosition(found), found.dataSize);
  }

  /** Headers of the records of an object, from the newest. */
  async #history(oid: Oid): Promise<Iterable<RecordHeader>> {
    this.#revisions ??= indexRevisions(this.#file, this.path, this.end);
    const revisions = await this.#revisions;
    const window = this.#random;
    return {
      *[Symbol.iterator]() {
        let position = revisions.last(oid);
        while (position !== 0) {
          const header = decodeRecordHeader(window.read(position, RECORD_HEADER_SIZE), position);
          yield header;
          position = revisions.previous(position, header.previous);
        }
      },
    };
  }

  #revision(header: RecordHeader, nextSerial: Tid | null): Revision {
    return { data: this.#data(header), serial: header.tid, nextSerial };
  }
}

async function openFile(path: string): Promise<Deno.FsFile> {
  try {
    if (!(await Deno.stat(path)).isFile) throw new FileStorageError(`${path} is not a file`);
    return await Deno.open(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new FileStorageError(`${path} does not exist`);
    throw error;
  }
}

async function indexRevisions(
  file: Deno.FsFile,
  path: string,
  end: number,
): Promise<RevisionIndex> {
  const indexer = new RevisionIndexer();
  await scan(new FileWindow(file, path, SEQUENTIAL_BLOCK), indexer, end);
  return indexer.index;
}

/** What opening learns of a file. */
class Survey {
  readonly index = new TransactionIndex();
  readonly warnings: string[] = [];
  largestOid: Oid | null = null;
  recordCount = 0;
  repeatsOids = false;
  readonly #seen = new Set<Oid>();

  transaction(header: TransactionHeader): void {
    this.index.add(header.tid, header.position);
    this.#seen.clear();
  }

  record(header: RecordHeader): void {
    this.recordCount++;
    if (this.largestOid === null || header.oid > this.largestOid) this.largestOid = header.oid;
    if (this.repeatsOids) return;
    this.repeatsOids = this.#seen.has(header.oid);
    this.#seen.add(header.oid);
  }

  warning(position: number, message: string): void {
    if (this.warnings.length < MAX_WARNINGS) this.warnings.push(`at ${position}: ${message}`);
  }
}
