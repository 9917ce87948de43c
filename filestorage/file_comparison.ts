/**
 * Comparison of two Data.fs files, byte for byte.
 *
 * @module
 */

import { equalBytes } from "./bytes.ts";
import { FileWindow, SEQUENTIAL_BLOCK } from "./file_window.ts";
import {
  dataPosition,
  MAGIC_SIZE,
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
import { FileStorageReader } from "./reader.ts";
import { recordHeaders } from "./scan.ts";

/** Result of {@linkcode compareFiles}. */
export interface FileComparison {
  /** The first difference; `null` if the files hold the same. */
  readonly difference: FileDifference | null;
  /** Number of packed records whose link to the one before is in one of the files only: packing
   * removes these links, and a copy has them again. */
  readonly packedLinks: number;
}

/** Where two files differ. */
export interface FileDifference {
  /** Byte offset from the start of the files. */
  readonly offset: number;
  /** What is there in the left file: `user`, `data`... */
  readonly field: string;
}

/**
 * Compares the valid parts of two files.
 *
 * @throws {FileStorageError} if one of them can not be read.
 */
export async function compareFiles(left: string, right: string): Promise<FileComparison> {
  using leftReader = await FileStorageReader.open(left);
  using rightReader = await FileStorageReader.open(right);
  using leftFile = await Deno.open(left);
  using rightFile = await Deno.open(right);
  const comparison = new Comparison(
    new FileWindow(leftFile, left, SEQUENTIAL_BLOCK),
    new FileWindow(rightFile, right, SEQUENTIAL_BLOCK),
    rightReader.end,
  );
  const { packedLinks } = comparison;
  if (leftReader.magic !== rightReader.magic) {
    return { difference: { offset: 0, field: "magic" }, packedLinks };
  }
  let end = MAGIC_SIZE;
  for await (const { header } of leftReader.transactions()) {
    const difference = comparison.transaction(header);
    if (difference !== null) return { difference, packedLinks: comparison.packedLinks };
    end = transactionEnd(header);
  }
  const difference = end < rightReader.end ? { offset: end, field: "end of the file" } : null;
  return { difference, packedLinks: comparison.packedLinks };
}

/** A piece of a file: its name, and where it is. */
type Field = readonly [name: string, position: number, size: number];

class Comparison {
  packedLinks = 0;

  constructor(
    private readonly left: FileWindow,
    private readonly right: FileWindow,
    /** End of the right file. */
    private readonly rightEnd: number,
  ) {}

  transaction(header: TransactionHeader): FileDifference | null {
    const whole = transactionEnd(header) - header.position;
    if (whole <= SEQUENTIAL_BLOCK && this.#differing(["", header.position, whole]) === null) {
      return null;
    }
    for (const field of transactionFields(header)) {
      const difference = this.#differing(field);
      if (difference !== null) return difference;
    }
    for (const record of recordHeaders(this.left, header)) {
      for (const field of recordFields(record)) {
        const difference = this.#differing(field);
        if (difference === null) continue;
        if (field[0] !== PREVIOUS || !this.#isPackedLink(header, field)) return difference;
        this.packedLinks++;
      }
    }
    return this.#differing(["repeated length", trailerPosition(header), TRAILER_SIZE]);
  }

  #differing([field, position, size]: Field): FileDifference | null {
    const common = Math.max(0, Math.min(size, this.rightEnd - position));
    const left = this.left.read(position, common);
    const right = this.right.read(position, common);
    if (!equalBytes(left, right)) {
      return { offset: position + left.findIndex((byte, i) => byte !== right[i]), field };
    }
    return common < size ? { offset: position + common, field } : null;
  }

  /** Whether a link is missing in one of the files, in a packed transaction. */
  #isPackedLink(transaction: TransactionHeader, [, position, size]: Field): boolean {
    return transaction.status === Status.PACKED && position + size <= this.rightEnd &&
      [this.left, this.right].some((window) => window.read(position, size).every((b) => b === 0));
  }
}

const PREVIOUS = "position of the previous record";

function* transactionFields(header: TransactionHeader): Generator<Field> {
  const { position, userSize, descriptionSize, extensionSize } = header;
  yield ["tid", position, 8];
  yield ["length", position + 8, 8];
  yield ["status", position + 16, 1];
  yield ["lengths of the metadata", position + 17, 6];
  const user = position + TRANSACTION_HEADER_SIZE;
  yield ["user", user, userSize];
  yield ["description", user + userSize, descriptionSize];
  yield ["extension", user + userSize + descriptionSize, extensionSize];
}

function* recordFields(header: RecordHeader): Generator<Field> {
  const { position } = header;
  yield ["oid", position, 8];
  yield ["tid of a record", position + 8, 8];
  yield [PREVIOUS, position + 16, 8];
  yield ["position of the transaction", position + 24, 8];
  yield ["length of the data", position + 32, RECORD_HEADER_SIZE - 32];
  const data = dataPosition(header);
  yield [header.dataSize === 0 ? "back-pointer" : "data", data, recordEnd(header) - data];
}
