/**
 * The walk through a Data.fs that finds where its valid part ends, and its damages.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import { hexId, type Tid, ZERO_TID } from "../protocol/ids.ts";
import { CorruptFileError, FileStorageError } from "./errors.ts";
import type { FileWindow } from "./file_window.ts";
import {
  decodeLength,
  decodeRecordHeader,
  decodeTransactionHeader,
  type Magic,
  MAGIC_SIZE,
  MAGICS,
  metadataSize,
  RECORD_HEADER_SIZE,
  recordEnd,
  type RecordHeader,
  Status,
  TRAILER_SIZE,
  trailerPosition,
  TRANSACTION_HEADER_SIZE,
  transactionEnd,
  type TransactionHeader,
} from "./format.ts";

/** What is told of a file while it is walked through. */
export interface ScanVisitor {
  /** A transaction that counts; its records follow. */
  transaction?(header: TransactionHeader): void;
  record?(header: RecordHeader): void;
  /** All records of the transaction were told. */
  transactionEnd?(header: TransactionHeader): void;
  /** Something unusual that prevents nothing. */
  warning?(position: number, message: string): void;
}

/** Where the valid part of a file ends. */
export interface ScanResult {
  readonly magic: Magic;
  /** Position just after the last valid transaction. */
  readonly end: number;
  /** Size of the file, as far as the walk was concerned. */
  readonly size: number;
  /** Why what follows `end` does not count; `null` if nothing follows. */
  readonly tail: string | null;
}

/**
 * Walks through a file from its start to its last complete transaction.
 *
 * `size` stands for the size of the file where later appends must not be seen.
 *
 * What follows a crash is not an error but the end of the data: an incomplete transaction, one that
 * was voted and not finished, zeros.
 *
 * @throws {FileStorageError} if it is not a FileStorage, or one with versions.
 * @throws {CorruptFileError} if it is damaged before its end.
 */
export async function scan(
  window: FileWindow,
  visitor: ScanVisitor,
  size: number = window.file.statSync().size,
): Promise<ScanResult> {
  const magic = readMagic(window, size);
  const state = { window, size, visitor, lastTid: ZERO_TID as Tid };
  let position = MAGIC_SIZE;
  while (position < size) {
    // Reading is synchronous: let timers and signals in, once per block.
    if (!window.holds(position, TRANSACTION_HEADER_SIZE)) await setImmediate();
    const next = scanTransaction(state, position);
    if (typeof next === "string") return { magic, end: position, size, tail: next };
    position = next;
  }
  return { magic, end: position, size, tail: null };
}

interface ScanState {
  readonly window: FileWindow;
  readonly size: number;
  readonly visitor: ScanVisitor;
  lastTid: Tid;
}

function readMagic(window: FileWindow, size: number): Magic {
  const found = size < MAGIC_SIZE
    ? undefined
    : new TextDecoder("latin1").decode(window.read(0, MAGIC_SIZE));
  const magic = MAGICS.find((magic) => magic === found);
  if (magic !== undefined) return magic;
  const reason = size < MAGIC_SIZE ? `it has ${size} bytes` : `it starts with ${quote(found)}`;
  throw new FileStorageError(
    `${window.path} is not a FileStorage: ${reason} instead of FS30 or FS21`,
  );
}

function quote(text: string | undefined): string {
  return JSON.stringify(text ?? "");
}

/** Returns the position of the next transaction, or why the data ends here. */
function scanTransaction(state: ScanState, position: number): number | string {
  const { window, size, visitor } = state;
  if (size - position < TRANSACTION_HEADER_SIZE) return "incomplete header of a transaction";
  const header = decodeTransactionHeader(
    window.read(position, TRANSACTION_HEADER_SIZE),
    position,
  );
  if (header.length < metadataSize(header) && header.status !== Status.UNFINISHED) {
    if (!endsWithGarbage(state, position)) {
      throw new CorruptFileError(
        window.path,
        position,
        `the transaction says it has ${header.length} bytes, less than its header`,
      );
    }
    return "garbage";
  }
  const unfinished = header.status === Status.UNFINISHED;
  if (unfinished || transactionEnd(header) > size) {
    if (completeTransactionAfter(state, position)) {
      const problem = unfinished
        ? "an unfinished transaction is followed by others"
        : "the length of the transaction is wrong: it would end after the file, yet others follow";
      throw new CorruptFileError(window.path, position, problem);
    }
    return unfinished ? "transaction voted but not finished" : "incomplete transaction";
  }
  checkTrailer(window, header);
  if (header.status === Status.UNDONE) {
    visitor.warning?.(position, `transaction ${hexId(header.tid)} is marked as undone: skipped`);
    return transactionEnd(header);
  }
  if (header.status !== Status.NORMAL && header.status !== Status.PACKED) {
    const status = quote(String.fromCharCode(header.status));
    visitor.warning?.(
      position,
      `transaction ${hexId(header.tid)} has the unknown status ${status}`,
    );
  }
  if (header.tid <= state.lastTid) {
    visitor.warning?.(
      position,
      `tid ${hexId(header.tid)} is not greater than the one before, ${hexId(state.lastTid)}`,
    );
  }
  state.lastTid = header.tid;
  visitor.transaction?.(header);
  for (const record of recordHeaders(window, header)) visitor.record?.(record);
  visitor.transactionEnd?.(header);
  return transactionEnd(header);
}

function checkTrailer(window: FileWindow, header: TransactionHeader): void {
  const repeated = decodeLength(window.read(trailerPosition(header), TRAILER_SIZE));
  if (repeated !== header.length) {
    throw new CorruptFileError(
      window.path,
      header.position,
      `the length of the transaction is ${header.length} in front and ${repeated} at its end`,
    );
  }
}

/**
 * The headers of a transaction's records, in order.
 *
 * @throws {CorruptFileError} if they do not fill the transaction exactly.
 */
export function* recordHeaders(
  window: FileWindow,
  transaction: TransactionHeader,
): Generator<RecordHeader> {
  const end = trailerPosition(transaction);
  let position = transaction.position + metadataSize(transaction);
  while (position < end) {
    const corrupt = (problem: string) => new CorruptFileError(window.path, position, problem);
    if (position + RECORD_HEADER_SIZE > end) {
      throw corrupt("the data record goes beyond its transaction");
    }
    const header = decodeRecordHeader(window.read(position, RECORD_HEADER_SIZE), position);
    if (header.transaction !== transaction.position) {
      throw corrupt(
        `the data record says its transaction is at ${header.transaction}, ` +
          `it is at ${transaction.position}`,
      );
    }
    if (header.versionSize !== 0) {
      throw new FileStorageError(
        `${window.path} contains versions (data record at position ${position}), a feature of ` +
          "ZODB before 3.9: export it with such a ZODB first",
      );
    }
    if (recordEnd(header) > end) throw corrupt("the data record goes beyond its transaction");
    yield header;
    position = recordEnd(header);
  }
}

/** Whether the end of the file can not be the end of a transaction. */
function endsWithGarbage({ window, size }: ScanState, position: number): boolean {
  const length = decodeLength(window.read(size - TRAILER_SIZE, TRAILER_SIZE));
  return size - length < position || length < TRANSACTION_HEADER_SIZE;
}

/** Whether a complete transaction ends the file and starts after `position`: what precedes it is
 * then not the end of the file but a damage in its middle. */
function completeTransactionAfter({ window, size }: ScanState, position: number): boolean {
  const length = decodeLength(window.read(size - TRAILER_SIZE, TRAILER_SIZE));
  const start = size - TRAILER_SIZE - length;
  if (length < TRANSACTION_HEADER_SIZE || start <= position) return false;
  const header = decodeTransactionHeader(window.read(start, TRANSACTION_HEADER_SIZE), start);
  return header.length === length;
}
