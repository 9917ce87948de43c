/**
 * Buffered reading of a file at any position.
 *
 * @module
 */

import { FileStorageError } from "./errors.ts";

/** Size of the blocks that suits reading from the start to the end. */
export const SEQUENTIAL_BLOCK = 1 << 20;
/** Size of the blocks that suits following pointers. */
export const RANDOM_BLOCK = 1 << 12;

/**
 * Reads a file by blocks, and gives views of them.
 *
 * Reading is synchronous: a positioned read is a seek and a read between which nothing may come, so
 * that several windows can share one file and several iterations one window. It stalls the event
 * loop for a block only; who reads a whole file lets it turn between blocks.
 */
export class FileWindow {
  #block: Uint8Array = new Uint8Array(0);
  #start = 0;

  /**
   * @param file stays owned by the caller.
   * @param path for messages.
   */
  constructor(
    readonly file: Deno.FsFile,
    readonly path: string,
    private readonly blockSize: number,
  ) {}

  /**
   * The bytes at a position. The view stays valid: blocks are never overwritten, only replaced.
   *
   * @throws {FileStorageError} if the file ends before.
   */
  read(position: number, size: number): Uint8Array {
    const offset = position - this.#start;
    if (offset >= 0 && offset + size <= this.#block.length) {
      return this.#block.subarray(offset, offset + size);
    }
    // A large piece is read on its own: keeping the block keeps what comes just before and after.
    if (size > this.blockSize / 2) return this.#readExactly(position, size);
    this.#block = this.#readUpTo(position, this.blockSize);
    this.#start = position;
    if (this.#block.length < size) throw this.#truncated(position, size);
    return this.#block.subarray(0, size);
  }

  /** Whether reading these bytes needs no access to the file. */
  holds(position: number, size: number): boolean {
    const offset = position - this.#start;
    return offset >= 0 && offset + size <= this.#block.length;
  }

  #readExactly(position: number, size: number): Uint8Array {
    const bytes = this.#readUpTo(position, size);
    if (bytes.length < size) throw this.#truncated(position, size);
    return bytes;
  }

  #readUpTo(position: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    this.file.seekSync(position, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < size) {
      const count = this.file.readSync(bytes.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  }

  #truncated(position: number, size: number): FileStorageError {
    return new FileStorageError(
      `${this.path} became shorter while being read: ${size} bytes expected at position ${position}`,
    );
  }
}
