import { FileWindow, RANDOM_BLOCK } from "./file_window.ts";

/** Size of what is written at once. */
const CAPACITY = 1 << 20;

/**
 * The growing end of a file: gathers small pieces in memory, and lets the part that is still there
 * be changed or read like the part that is written.
 */
export class AppendBuffer {
  readonly #bytes = new Uint8Array(CAPACITY);
  #used = 0;
  #written: number;
  #window: FileWindow;

  /**
   * @param file stays owned by the caller.
   * @param path for messages.
   * @param start where to append.
   */
  constructor(readonly file: Deno.FsFile, readonly path: string, start: number) {
    this.#written = start;
    this.#window = new FileWindow(file, path, RANDOM_BLOCK);
  }

  /** Position of what will be appended next. */
  get position(): number {
    return this.#written + this.#used;
  }

  append(piece: Uint8Array): void {
    const large = piece.length > CAPACITY / 2;
    if (large || piece.length > CAPACITY - this.#used) this.flush();
    if (large) {
      this.#write(this.#written, piece);
      this.#written += piece.length;
      return;
    }
    this.#bytes.set(piece, this.#used);
    this.#used += piece.length;
  }

  /** Replaces bytes that were appended, and will not be {@linkcode read}. */
  patch(position: number, piece: Uint8Array): void {
    if (position >= this.#written) {
      this.#bytes.set(piece, position - this.#written);
      return;
    }
    // What comes after must be in the file first: this is what makes it count.
    this.flush();
    this.#write(position, piece);
  }

  /** Reads bytes that were appended. The view is valid until the next call. */
  read(position: number, size: number): Uint8Array {
    if (position >= this.#written) {
      const start = position - this.#written;
      return this.#bytes.subarray(start, start + size);
    }
    return this.#window.read(position, size);
  }

  /** Hands to the operating system what is still in memory. */
  flush(): void {
    this.#write(this.#written, this.#bytes.subarray(0, this.#used));
    this.#written += this.#used;
    this.#used = 0;
  }

  /** Forgets all that was appended after a position. */
  cut(position: number): void {
    if (position >= this.#written) {
      this.#used = position - this.#written;
      return;
    }
    this.file.truncateSync(position);
    this.#written = position;
    this.#used = 0;
    this.#window = new FileWindow(this.file, this.path, RANDOM_BLOCK);
  }

  #write(position: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.file.seekSync(position, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) done += this.file.writeSync(bytes.subarray(done));
  }
}
