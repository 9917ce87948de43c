/**
 * Strict check of the structure of a Data.fs, for files that a tool has produced.
 *
 * @module
 */

import { hexId, type Oid } from "../protocol/ids.ts";
import { CorruptFileError, FileStorageError } from "./errors.ts";
import { FileWindow, RANDOM_BLOCK, SEQUENTIAL_BLOCK } from "./file_window.ts";
import {
  BACK_POINTER_SIZE,
  dataPosition,
  decodeLength,
  decodeRecordHeader,
  decodeTransactionHeader,
  MAGIC_SIZE,
  RECORD_HEADER_SIZE,
  recordEnd,
  type RecordHeader,
  Status,
  trailerPosition,
  TRANSACTION_HEADER_SIZE,
  type TransactionHeader,
} from "./format.ts";
import { RevisionIndex } from "./indexes.ts";
import { scan, type ScanVisitor } from "./scan.ts";

/** A place where a file is not as it should be. */
export interface StructureProblem {
  readonly position: number;
  readonly message: string;
}

/**
 * Checks a file more strictly than opening does: no incomplete end, increasing tids, known statuses,
 * each record linked to the one before of its object, each back-pointer to an earlier record of it.
 *
 * A packed transaction may have unlinked records, as packing leaves them.
 *
 * @returns the problems, none if the file is right.
 */
export async function checkStructure(path: string): Promise<StructureProblem[]> {
  using file = await Deno.open(path, { read: true });
  const checker = new StructureChecker(new FileWindow(file, path, RANDOM_BLOCK));
  try {
    const { end, tail } = await scan(new FileWindow(file, path, SEQUENTIAL_BLOCK), checker);
    if (tail !== null) checker.warning(end, tail);
  } catch (error) {
    if (!(error instanceof FileStorageError)) throw error;
    const position = error instanceof CorruptFileError ? error.position : 0;
    checker.warning(position, error.message);
  }
  return checker.problems;
}

class StructureChecker implements ScanVisitor {
  readonly problems: StructureProblem[] = [];
  readonly #revisions = new RevisionIndex();
  readonly #pending = new Map<Oid, number>();
  #packed = false;
  #tid = 0n;

  constructor(private readonly window: FileWindow) {}

  warning(position: number, message: string): void {
    this.problems.push({ position, message });
  }

  transaction(header: TransactionHeader): void {
    this.#tid = header.tid;
    this.#packed = header.status === Status.PACKED;
  }

  record(header: RecordHeader): void {
    const { position, oid, tid, previous } = header;
    const name = `the record of oid ${hexId(oid)}`;
    const expected = this.#revisions.last(oid);
    if (previous !== expected && !(this.#packed && previous === 0)) {
      this.warning(position, `${name} follows one at ${previous} instead of ${expected}`);
    }
    if (tid !== this.#tid) {
      this.warning(position, `${name} has tid ${hexId(tid)}, unlike its transaction`);
    }
    if (header.dataSize === 0) {
      const problem = this.#backPointerProblem(header);
      if (problem !== null) this.warning(position, `the back-pointer of ${name} ${problem}`);
    }
    this.#pending.set(oid, position);
  }

  transactionEnd(): void {
    for (const [oid, position] of this.#pending) this.#revisions.set(oid, position);
    this.#pending.clear();
  }

  #backPointerProblem(header: RecordHeader): string | null {
    const position = decodeLength(this.window.read(dataPosition(header), BACK_POINTER_SIZE));
    if (position === 0) return null;
    if (position < MAGIC_SIZE || position >= header.transaction) {
      return `leads to ${position}, not before its transaction`;
    }
    const target = decodeRecordHeader(this.window.read(position, RECORD_HEADER_SIZE), position);
    if (target.oid !== header.oid) return `leads to ${position}, not a record of the same object`;
    return this.#isInTransaction(target) ? null : `leads to ${position}, inside no transaction`;
  }

  #isInTransaction(record: RecordHeader): boolean {
    const start = record.transaction;
    if (start < MAGIC_SIZE || start >= record.position) return false;
    const transaction = decodeTransactionHeader(
      this.window.read(start, TRANSACTION_HEADER_SIZE),
      start,
    );
    return transaction.tid === record.tid && recordEnd(record) <= trailerPosition(transaction);
  }
}
