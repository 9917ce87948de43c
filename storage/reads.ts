/**
 * The requests of clients that read: objects, transactions, lists.
 *
 * What is being committed is on its way to the committed tables, so that reading it has to wait for
 * the end of the commit.
 *
 * @module
 */

import { type Command, Refusal, type Request } from "../network/handler.ts";
import type { Log } from "../network/log.ts";
import { ErrorCode } from "../protocol/enums.ts";
import { hexId, INVALID_PARTITION, type Oid, type Tid } from "../protocol/ids.ts";
import type { ArgsOf } from "../protocol/messages.ts";
import type { Cells } from "./cells.ts";
import type { Client } from "./client.ts";
import type { Database, ObjectRecord } from "./database/database.ts";
import { answerFailure, violation } from "./failure.ts";
import type { Transactions } from "./transactions.ts";
import { type UndoSerials, undoSerials } from "./undo.ts";

/** Longest list in an answer, whatever is asked for. */
export const MAX_LISTED = 1 << 20;
/** A list that may be longer is made when the client waits for nothing else. */
const LONG = 1 << 12;
/** Objects of an undo examined at the same time. */
const UNDO_BATCH = 100;
const ZERO_HASH = new Uint8Array(20);
const NO_DATA = new Uint8Array(0);

/** Executes reads. */
export class Reads {
  constructor(
    readonly log: Log,
    readonly database: Database,
    readonly cells: Cells,
    readonly transactions: Transactions,
  ) {}

  /** A revision of an object. */
  object(client: Client, args: ArgsOf<"AskObject">, from: Request<"AskObject">): void {
    const { oid, at, before } = args;
    if (at !== null && before !== null) throw violation("'at' and 'before' exclude each other");
    const { readLocks } = this.transactions;
    this.#read(client, from, () => readLocks.hasObject(oid), async () => {
      const record = await this.#ofCell(
        this.cells.partitionOf(oid),
        () => this.database.object(oid, at, before),
      );
      if (record) from.answer(answerObject(oid, record));
      else if (record === null) throw new Refusal(ErrorCode.OID_NOT_FOUND, hexId(oid));
      else throw new Refusal(ErrorCode.OID_DOES_NOT_EXIST, hexId(oid));
    });
  }

  /** The revisions of an object, the last one first. */
  history(
    client: Client,
    { oid, first, last }: ArgsOf<"AskObjectHistory">,
    from: Request<"AskObjectHistory">,
  ): void {
    const end = endOfRange(first, last);
    const { readLocks } = this.transactions;
    this.#read(client, from, () => readLocks.hasObject(oid), async () => {
      const history = await this.#ofCell(
        this.cells.partitionOf(oid),
        () => this.database.history(oid, first, end),
      );
      if (history.length === 0) throw new Refusal(ErrorCode.OID_NOT_FOUND, hexId(oid));
      from.answer({ oid, history });
    }, end - first);
  }

  /** The metadata of a transaction. */
  transaction(
    client: Client,
    { tid }: ArgsOf<"AskTransactionInformation">,
    from: Request<"AskTransactionInformation">,
  ): void {
    const { readLocks } = this.transactions;
    this.#read(client, from, () => readLocks.hasTid(tid), async () => {
      const transaction = await this.#ofCell(
        this.cells.partitionOf(tid),
        () => this.database.transaction(tid),
      );
      if (transaction === null) {
        throw new Refusal(ErrorCode.TID_NOT_FOUND, `no transaction ${hexId(tid)}`);
      }
      from.answer(transaction);
    });
  }

  /** Tids, the last one first. */
  tids(
    client: Client,
    { first, last, partition }: ArgsOf<"AskTIDs">,
    from: Request<"AskTIDs">,
  ): void {
    const end = endOfRange(first, last);
    this.#read(
      client,
      from,
      this.#untilCommitted(this.transactions.readLocks.lastTid()),
      async () => {
        const partitions = partition === INVALID_PARTITION ? this.#readable() : [partition];
        const checkReadable = () => partitions.forEach((one) => this.cells.checkReadable(one));
        checkReadable();
        const tids = await this.database.tids(partitions, first, end);
        checkReadable();
        from.answer({ tids });
      },
      end - first,
    );
  }

  /** Tids, ascending. */
  tidsFrom(
    client: Client,
    { min, max, length, partition }: ArgsOf<"AskTIDsFrom">,
    from: Request<"AskTIDsFrom">,
  ): void {
    this.#read(client, from, this.#untilCommitted(max), async () => {
      const limit = Math.min(length, MAX_LISTED);
      const tids = await this.#ofCell(
        partition,
        () => this.database.tidsFrom(partition, min, max, limit),
      );
      from.answer({ tids });
    }, length);
  }

  /** Objects that existed at some time, ascending. */
  oidsFrom(
    client: Client,
    { partition, length, min, tid }: ArgsOf<"AskOIDsFrom">,
    from: Request<"AskOIDsFrom">,
  ): void {
    this.#read(client, from, this.#untilCommitted(tid), async () => {
      const limit = Math.min(length, MAX_LISTED);
      const oids = await this.#ofCell(
        partition,
        () => this.database.oidsFrom(partition, min, tid, limit),
      );
      from.answer(oids);
    }, length);
  }

  /** What is needed to undo a transaction for some objects. */
  undoSerials(
    client: Client,
    { ttid, ltid, undoneTid, oids: asked }: ArgsOf<"AskObjectUndoSerial">,
    from: Request<"AskObjectUndoSerial">,
  ): void {
    const oids = [...new Set(asked)];
    const { readLocks } = this.transactions;
    const blocked = () => oids.some((oid) => readLocks.hasObject(oid));
    this.#read(client, from, blocked, async () => {
      const objects = new Map<Oid, UndoSerials>();
      for (let i = 0; i < oids.length; i += UNDO_BATCH) {
        await Promise.all(
          oids.slice(i, i + UNDO_BATCH).map(async (oid) => {
            const history = await this.#ofCell(
              this.cells.partitionOf(oid),
              () => this.database.undoHistory(oid, undoneTid, ltid),
            );
            if (history === null) return;
            const serials = undoSerials(history, undoneTid, ltid, this.#ownChange(ttid, oid));
            if (serials === null) throw new Refusal(ErrorCode.OID_NOT_FOUND, hexId(oid));
            objects.set(oid, serials);
          }),
        );
      }
      from.answer({ objects });
    });
  }

  /** The final tid of a transaction, if it is decided. */
  finalTid(client: Client, { ttid }: ArgsOf<"AskFinalTID">, from: Request<"AskFinalTID">): void {
    this.#read(client, from, () => false, async () => {
      const transaction = this.transactions.find(ttid);
      // A cell that is not complete can't tell that something was not committed.
      const tid = transaction !== undefined ? transaction.tid : await this.#ofCell(
        this.cells.partitionOf(ttid),
        () => this.database.finalTid(ttid),
      );
      from.answer({ tid });
    });
  }

  /** The final tid of a transaction, in progress or committed. */
  knownFinalTid(ttid: Tid): Promise<Tid | null> {
    const transaction = this.transactions.find(ttid);
    if (transaction !== undefined) return Promise.resolve(transaction.tid);
    return this.database.finalTid(ttid);
  }

  /** Reads from a cell, which may be discarded meanwhile, so that its data is being deleted. */
  async #ofCell<T>(partition: number, read: () => Promise<T>): Promise<T> {
    this.cells.checkReadable(partition);
    const result = await read();
    this.cells.checkReadable(partition);
    return result;
  }

  /** The revision that a running transaction made current for itself. */
  #ownChange(ttid: Tid, oid: Oid): Tid | null {
    const store = this.transactions.find(ttid)?.objects.get(oid)?.store;
    return store ? store.dataSerial ?? ttid : null;
  }

  #readable(): number[] {
    const partitions: number[] = [];
    for (let partition = 0; partition < this.database.partitions; partition++) {
      if (this.database.isReadable(partition)) partitions.push(partition);
    }
    return partitions;
  }

  #untilCommitted(tid: Tid | null): () => boolean {
    const { readLocks } = this.transactions;
    return () => tid !== null && readLocks.hasTidUpTo(tid);
  }

  /**
   * Executes a read when it is not blocked, within the limits of the client.
   *
   * @param length of the list that it may give.
   */
  #read(
    client: Client,
    from: Command,
    blocked: () => boolean,
    read: () => Promise<void>,
    length = 1,
  ): void {
    const { flow, connection } = client;
    const alone = length > LONG;
    const guarded = () => read().catch((error) => answerFailure(this.log, from, error));
    if (!blocked()) return flow.read(guarded, alone);
    flow.blocked();
    this.transactions.readLocks.delay({
      blocked: () => connection.open && blocked(),
      start() {
        flow.unblocked();
        if (connection.open) flow.read(guarded, alone);
      },
    });
  }
}

function answerObject(oid: Oid, { serial, nextSerial, data, dataSerial }: ObjectRecord) {
  return {
    oid,
    serial,
    nextSerial,
    compression: data === null ? null : data.compression,
    checksum: data === null ? ZERO_HASH : data.checksum,
    data: data === null ? NO_DATA : data.data,
    dataSerial,
  };
}

/** The end of a range that is not longer than an answer may be. */
function endOfRange(first: number, last: number): number {
  if (first >= last) throw violation(`first (${first}) must be less than last (${last})`);
  return Math.min(last, first + MAX_LISTED);
}
