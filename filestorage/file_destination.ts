import type { TransactionRecord } from "../client/records.ts";
import { type Tid, ZERO_TID } from "../protocol/ids.ts";
import type { TransactionDestination } from "./endpoints.ts";
import { FileStorageReader } from "./reader.ts";
import { FileStorageWriter, type WriterOptions } from "./writer.ts";

/** A Data.fs to copy to. Nothing is created or changed before the first write. */
export class FileDestination implements TransactionDestination {
  readonly losses: ReadonlySet<never> = new Set();
  #writer: FileStorageWriter | null = null;

  private constructor(
    private readonly path: string,
    private readonly options: WriterOptions,
    /** What the file holds before the copy, `null` if nothing. */
    private readonly before: FileStorageReader | null,
  ) {}

  /**
   * Prepares to write to a file, which is created if it does not exist.
   *
   * @throws {FileStorageError} if it is something else than a FileStorage.
   */
  static async open(path: string, options: WriterOptions = {}): Promise<FileDestination> {
    const before = await isAbsent(path) ? null : await FileStorageReader.open(path);
    return new FileDestination(path, options, before);
  }

  /** Where the incomplete end that the file had was moved to, `null` if it had none. */
  get savedTail(): string | null {
    return this.#writer?.savedTail ?? null;
  }

  describe(): string {
    return this.path;
  }

  lastTid(): Promise<Tid> {
    return Promise.resolve(this.before?.lastTid ?? ZERO_TID);
  }

  async lastTransactions(count: number): Promise<TransactionRecord[]> {
    if (this.before === null) return [];
    return await Array.fromAsync(this.before.transactions(this.before.tidFromEnd(count)));
  }

  async write(transaction: TransactionRecord): Promise<void> {
    const writer = await this.#open();
    writer.begin(transaction);
    try {
      for await (const record of transaction.records()) {
        writer.restore(record.oid, record.data, record.dataTid);
      }
    } catch (error) {
      writer.abort();
      throw error;
    }
    writer.finish();
  }

  async sync(): Promise<void> {
    await (await this.#open()).sync();
  }

  async close(): Promise<void> {
    this.before?.close();
    await this.#writer?.close();
  }

  async #open(): Promise<FileStorageWriter> {
    return this.#writer ??= await FileStorageWriter.open(this.path, this.options);
  }
}

/** Whether there is no file, or one that was created and never written to. */
async function isAbsent(path: string): Promise<boolean> {
  try {
    const { isFile, size } = await Deno.stat(path);
    return isFile && size === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}
