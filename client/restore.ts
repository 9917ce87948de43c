/**
 * Storing what another database has: with the tids of transactions, and pointers between revisions.
 *
 * @module
 */

import { hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { NEOStorageError, NEOStorageNotFoundError, POSKeyError } from "./errors.ts";
import type { History } from "./iterator.ts";
import type { Objects } from "./objects.ts";
import { pipelined } from "./pipeline.ts";
import type { DataRecord, TransactionInfo, TransactionRecord } from "./records.ts";
import type { Transaction, TransactionOptions } from "./transaction.ts";

/** Records that are looked up in advance. */
const AHEAD = 16;
/** Objects whose last revisions are remembered: those of others are looked up. */
const MAX_REMEMBERED = 1 << 20;

/** Anything whose transactions can be copied: a client, a Data.fs file. */
export interface CopySource {
  /** Transactions by increasing tid. */
  iterator(): AsyncIterable<TransactionRecord>;
}

/** What a copy has done. */
export interface CopySummary {
  /** Number of transactions that were copied. */
  readonly transactions: number;
  /** Number of their records. */
  readonly records: number;
  /** Transactions with status `"p"`, which the protocol can't carry: they become ordinary ones. */
  readonly lostPackedStatus: number;
}

/** A record that is ready to be stored. */
interface Restored {
  readonly record: DataRecord;
  /** The revision that it follows, `null` if the object does not exist. */
  readonly base: Tid | null;
  readonly dataTid: Tid | null;
}

/** Finds what records of another database become in this one. */
export class Restoration {
  readonly #history: History;
  readonly #objects: Objects;

  constructor(history: History, objects: Objects) {
    this.#history = history;
    this.#objects = objects;
  }

  /** The current revision of an object, deletions included; `null` if there is none. */
  async lastSerial(oid: Oid, signal: AbortSignal | undefined): Promise<Tid | null> {
    try {
      const [last] = await this.#history.revisions(oid, 0, 1, signal);
      return last?.tid ?? null;
    } catch (error) {
      if (error instanceof NEOStorageNotFoundError) return null;
      throw error;
    }
  }

  /** The revision that a record shares its data with, if it is here and was not packed. */
  async sharedRevision(
    { oid, dataTid }: Pick<DataRecord, "oid" | "dataTid">,
    signal: AbortSignal | undefined,
  ): Promise<Tid | null> {
    if (dataTid === null) return null;
    try {
      await this.#objects.dataOf(oid, dataTid, signal);
      return dataTid;
    } catch (error) {
      if (error instanceof POSKeyError) return null;
      throw error;
    }
  }

  /**
   * Copies transactions, each with its tid, in transactions that `begin` begins. Nobody else may
   * commit meanwhile.
   *
   * @throws {NEOStorageError} if somebody does.
   */
  async copy(
    source: CopySource,
    begin: (options: TransactionOptions) => Promise<Transaction>,
    signal: AbortSignal | undefined,
    onCopied: (transaction: TransactionInfo) => void,
  ): Promise<CopySummary> {
    /** Last revisions of the objects that were met. */
    const serials = new Map<Oid, Tid>();
    const summary = { transactions: 0, records: 0, lostPackedStatus: 0 };
    for await (const transaction of source.iterator()) {
      const { tid, user, description, extension, status } = transaction;
      await using writing = await begin({ tid, user, description, extension, signal });
      const records = pipelined(
        transaction.records(),
        AHEAD,
        async (record): Promise<Restored> => ({
          record,
          base: serials.get(record.oid) ?? await this.lastSerial(record.oid, signal),
          dataTid: await this.sharedRevision(record, signal),
        }),
      );
      /** What was stored on, for objects that have several records in one transaction. */
      const bases = new Map<Oid, Tid | null>();
      for await (const { record: { oid, data }, base, dataTid } of records) {
        const first = bases.get(oid);
        if (first === undefined) bases.set(oid, base);
        const serial = first === undefined ? base : first;
        if (data === null) await writing.deleteObject(oid, serial, { dataTid, signal });
        else await writing.store(oid, serial, data, { dataTid, signal });
        summary.records++;
      }
      if (serials.size + bases.size > MAX_REMEMBERED) serials.clear();
      for (const oid of bases.keys()) serials.set(oid, tid);
      const committed = await writing.commit({ signal });
      if (committed !== tid) {
        throw new NEOStorageError(
          `transaction ${hexId(tid)} was committed as ${hexId(committed)}`,
        );
      }
      summary.transactions++;
      if (status === "p") summary.lostPackedStatus++;
      onCopied(transaction);
    }
    return summary;
  }
}
