import type { TransactionRecord } from "../client/records.ts";
import type { Tid } from "../protocol/ids.ts";
import type { Amount, TransactionSource } from "./endpoints.ts";
import { FileStorageReader } from "./reader.ts";

/** A Data.fs to copy from. It is never changed. */
export class FileSource implements TransactionSource {
  private constructor(
    /** The open file: for its magic, warnings, and the bytes it ignores. */
    readonly reader: FileStorageReader,
  ) {}

  /**
   * Opens a file.
   *
   * @throws {FileStorageError} if it can not be read, see {@linkcode FileStorageReader.open}.
   */
  static async open(path: string): Promise<FileSource> {
    return new FileSource(await FileStorageReader.open(path));
  }

  get repeatsOids(): boolean {
    return this.reader.repeatsOids;
  }

  describe(): string {
    return this.reader.path;
  }

  lastTid(): Promise<Tid> {
    return Promise.resolve(this.reader.lastTid);
  }

  transactions(from?: Tid, to?: Tid): AsyncIterable<TransactionRecord> {
    return this.reader.transactions(from, to);
  }

  measure(from?: Tid, to?: Tid): Promise<Amount> {
    return Promise.resolve(this.reader.measure(from, to));
  }

  close(): Promise<void> {
    this.reader.close();
    return Promise.resolve();
  }
}
