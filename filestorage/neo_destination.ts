import {
  type Client,
  ConflictError,
  type DataRecord,
  formatTidDate,
  hexId,
  NEOStorageCreationUndoneError,
  type Oid,
  POSKeyError,
  type PreparedData,
  type Tid,
  type Transaction,
  type TransactionRecord,
  ZERO_TID,
} from "../client/mod.ts";
import { add64, toTid } from "../protocol/ids.ts";
import type { Loss, TransactionDestination } from "./endpoints.ts";
import { CopyError } from "./errors.ts";
import { LastSerials } from "./last_serials.ts";
import { ReadAhead } from "./read_ahead.ts";

/** Bytes of a transaction that are read while the one before is committed. */
const READ_AHEAD = 4 << 20;
/** Counted for each record besides its data: the cluster is not asked about too many at once. */
const RECORD_OVERHEAD = 1 << 12;
/** Seconds before the last transaction, within which others are looked for. */
const PERIODS = [1, 60, 3600];

/** A record that is ready to be stored. */
interface Store {
  readonly oid: Oid;
  /** The revision that it replaces, `null` for a new object. */
  readonly base: Tid | null;
  readonly data: PreparedData | null;
  readonly dataTid: Tid | null;
}

/**
 * A cluster to copy to, with the tids of the source. Nobody else may commit to it meanwhile.
 *
 * The protocol allows one transaction with an imposed tid at a time, from its beginning to its commit.
 * While one is committed, the next one is read and compressed, and what must be known of its objects is
 * asked.
 */
export class NeoDestination implements TransactionDestination {
  readonly losses: ReadonlySet<Loss> = new Set(["packed status", "repeated oids"] as const);
  readonly #client: Client;
  readonly #signal: AbortSignal | undefined;
  /** Of the objects that were written here or looked up. */
  readonly #serials = new LastSerials();
  /** Whether the cluster has nothing but what was written here. */
  readonly #complete: boolean;
  /** Tid of the last transaction that the cluster should have. */
  #lastTid: Tid;
  /** The transaction that was begun last. */
  #transaction: Transaction | null = null;
  /** Its commit. */
  #commit: Promise<void> = Promise.resolve();

  /**
   * @param client is closed with the destination. A cache is of no use to it.
   * @param signal stops what waits for the cluster, but for a commit.
   */
  constructor(client: Client, signal?: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
    this.#lastTid = client.lastTransaction;
    this.#complete = this.#lastTid === ZERO_TID;
  }

  describe(): string {
    return `cluster ${this.#client.name}`;
  }

  async lastTid(): Promise<Tid> {
    await this.#checkAlone();
    return this.#lastTid;
  }

  /** Those of the last hour, as transactions can only be listed from a tid on. */
  async lastTransactions(count: number): Promise<TransactionRecord[]> {
    const stop = this.#lastTid;
    let found: TransactionRecord[] = [];
    for (const seconds of PERIODS) {
      found = [];
      const start = secondsBefore(stop, seconds);
      for await (
        const transaction of this.#client.iterator({ start, stop, signal: this.#signal })
      ) {
        found.push(transaction);
        if (found.length > count) found.shift();
      }
      if (found.length === count) break;
    }
    return found;
  }

  async write(transaction: TransactionRecord): Promise<void> {
    const stores = new ReadAhead(transaction.records(), {
      prepare: (record) => this.#prepare(record),
      size: ({ data }) => (data?.length ?? 0) + RECORD_OVERHEAD,
      limit: READ_AHEAD,
    });
    try {
      await stores.fill();
      await this.#commit;
      const writing = await this.#begin(transaction);
      this.#transaction = writing;
      for await (const store of stores) await this.#store(writing, store);
      this.#commit = this.#finish(writing);
      // Its failure is told by the next call.
      this.#commit.catch(() => {});
    } finally {
      await stores.close();
    }
  }

  async sync(): Promise<void> {
    await this.#commit;
    await this.#checkAlone();
  }

  /** Waits for the transaction that is being committed, and aborts one that is not complete. */
  async close(): Promise<void> {
    await this.#commit.catch(() => {});
    await this.#transaction?.abort();
    await this.#client.close();
  }

  // Objects

  async #prepare(record: DataRecord): Promise<Store> {
    const { oid } = record;
    const data = record.data === null ? null : this.#client.prepare(record.data);
    const [base, dataTid] = await Promise.all([this.#base(oid), this.#dataTid(record)]);
    return { oid, base, data, dataTid };
  }

  /** The current revision of an object. */
  async #base(oid: Oid): Promise<Tid | null> {
    const known = this.#serials.get(oid);
    if (known !== null || this.#complete) return known;
    try {
      const [last] = await this.#client.history(oid, 1, { signal: this.#signal });
      return last?.tid ?? null;
    } catch (error) {
      if (error instanceof POSKeyError) return null;
      throw error;
    }
  }

  /** The revision to share data with, if the cluster has it. */
  async #dataTid({ oid, dataTid }: DataRecord): Promise<Tid | null> {
    if (dataTid === null || this.#serials.get(oid) === dataTid) return dataTid;
    try {
      await this.#client.loadSerial(oid, dataTid, { signal: this.#signal });
    } catch (error) {
      if (!(error instanceof POSKeyError)) throw error;
      const deleted = error.cause instanceof NEOStorageCreationUndoneError;
      return deleted ? dataTid : null;
    }
    return dataTid;
  }

  // Transactions

  async #begin({ tid, user, description, extension }: TransactionRecord): Promise<Transaction> {
    this.#checkLastTid();
    try {
      return await this.#client.begin({ tid, user, description, extension, signal: this.#signal });
    } catch (error) {
      if (this.#signal?.aborted) throw error;
      throw new CopyError(
        `${this.describe()} does not begin transaction ${hexId(tid)}: ${messageOf(error)}. ` +
          "While it is copied to, nobody else may commit to it",
        { cause: error },
      );
    }
  }

  async #store(transaction: Transaction, { oid, base, data, dataTid }: Store): Promise<void> {
    const options = { dataTid, signal: this.#signal };
    await explained(
      this.describe(),
      data === null
        ? transaction.deleteObject(oid, base, options)
        : transaction.store(oid, base, data, options),
    );
    this.#serials.set(oid, transaction.ttid);
  }

  async #finish(transaction: Transaction): Promise<void> {
    this.#lastTid = await explained(this.describe(), transaction.commit());
    this.#transaction = null;
  }

  async #checkAlone(): Promise<void> {
    await this.#client.sync({ signal: this.#signal });
    this.#checkLastTid();
  }

  /** @throws {CopyError} if the last transaction of the cluster is not the one written last. */
  #checkLastTid(): void {
    const { lastTransaction } = this.#client;
    if (lastTransaction === this.#lastTid) return;
    throw new CopyError(
      `somebody else committed transaction ${hexId(lastTransaction)} ` +
        `(${formatTidDate(lastTransaction)}) to ${this.describe()} while it was copied to: ` +
        "start again with an empty cluster, to which nobody else commits",
    );
  }
}

/** Rejects with a message about what must have happened. */
async function explained<T>(cluster: string, done: Promise<T>): Promise<T> {
  try {
    return await done;
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    throw new CopyError(`somebody else commits to ${cluster}: ${error.message}`, { cause: error });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function secondsBefore(tid: Tid, seconds: number): Tid {
  // The high half of a tid counts minutes, the low one fractions of them.
  const units = BigInt(seconds) * (1n << 32n) / 60n;
  return tid > units ? add64(tid, -units) : toTid(0n);
}
