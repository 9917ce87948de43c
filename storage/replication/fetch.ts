/**
 * Fetches from one storage what a cell lacks: the fed side of replication.
 *
 * Chunk by chunk, this node tells what it has, is sent what it lacks, and is told what is in excess.
 * Metadata comes first, then objects. The next chunk is asked for while the database still writes the
 * last one; the order of what is written is that of what was received, so that the cell really has
 * everything up to its resume point whenever the node may die.
 *
 * Nothing that is committed ever disappears, but for packs and truncation, which storages execute by
 * themselves. So a cell that was complete once has nothing in excess, or it has another history: it
 * served under another master, where an operator ordered the start too. It then keeps what it has. To see
 * it, replication resumes with the last transaction that the cell has, and not after it.
 *
 * What the source has packed and this cell has not can't be found by looking at what is new: of an object
 * that was deleted, nothing is left there. The cell is then compared as a whole, again if the source
 * packs meanwhile.
 *
 * @module
 */

import type { Connection } from "../../network/connection.ts";
import {
  addTid,
  hexId,
  partitionOf,
  type Tid,
  toTid,
  ZERO_OID,
  ZERO_TID,
} from "../../protocol/ids.ts";
import type { AnswerArgsOf, ArgsOf } from "../../protocol/messages.ts";
import type { CopiedObject, CopiedTransaction, Database, RecordId } from "../database/mod.ts";
import type { Packs } from "../packs.ts";
import { checkPack, contentOf } from "./checks.ts";
import { Chunk, DivergedError, SourceError } from "./chunk.ts";
import { findDamaged, type Spare } from "./damage.ts";
import { grouped, type Key, keysOf, lastKey, recordKey, recordOf } from "./comparison.ts";
import { Unwritten } from "./unwritten.ts";

/** Items compared at once. */
const LENGTH = 1000;
/** Items, or bytes of them, given to the database together. */
const BATCH = 100;
const BATCH_BYTES = 1 << 17;
/** Bytes that an item takes in memory besides its data. */
const OVERHEAD = 256;

/** How far a cell is. */
export interface Position {
  /**
   * Where replication began: until then the cell had everything, including the transaction with this
   * tid. `ZERO_TID` if it has to be filled from the start, and may have anything.
   */
  resumed: Tid;
  /** The first tid of which metadata may be missing. */
  transactions: Tid;
  /** The first tid of which objects may be missing. */
  objects: Tid;
  /** The first tid of which the data that is here may be damaged. */
  verified: Tid;
  /** The last pack that this node knew when the comparison of these objects began, with any source. */
  packs: Tid;
}

/** The replication of one partition from one source, up to a tid. */
export class Fetch {
  readonly #database: Database;
  readonly #packs: Packs;
  readonly #connection: Connection;
  readonly #partition: number;
  readonly #position: Position;
  readonly #max: Tid;
  readonly #upToDate: () => Promise<unknown>;
  readonly #spare: Spare;
  readonly #outcome = Promise.withResolvers<void>();
  /** Everything that is done with the database, one after the other. Never rejects. */
  #work: Promise<void>;
  #active = true;
  #request = -1;
  /** The last completed packs of the cell, and of the source when the comparison of objects began. */
  #ownPack: Tid = ZERO_TID;
  #sourcePack: Tid = ZERO_TID;
  #chunk = new Chunk(0n, -1n, [], 1);
  #transactions: CopiedTransaction[] = [];
  #objects: CopiedObject[] = [];
  #batchBytes = 0;
  readonly #unwritten: Unwritten;

  /**
   * @param position is advanced as the database is given data.
   * @param before resolves when nothing else changes the partition up to `max` any more.
   * @param upToDate resolves when this node has heard of all packs that others have heard of already.
   * @param spare tells when some data that nobody waits for may be read.
   */
  constructor(
    database: Database,
    packs: Packs,
    connection: Connection,
    partition: number,
    position: Position,
    max: Tid,
    before: Promise<unknown>,
    upToDate: () => Promise<unknown>,
    spare: Spare,
  ) {
    this.#database = database;
    this.#packs = packs;
    this.#connection = connection;
    this.#unwritten = new Unwritten(connection);
    this.#partition = partition;
    this.#position = position;
    this.#max = max;
    this.#upToDate = upToDate;
    this.#spare = spare;
    this.#work = before.then(() => {}, () => {});
  }

  /** Resolves when nothing is written any more, once the replication has ended. */
  get work(): Promise<void> {
    return this.#work;
  }

  /**
   * Fetches everything; resolves when it is durable.
   *
   * @throws {SourceError} (a rejection) if the source can't be used.
   * @throws {LimitError} (a rejection) if the database can't hold what it sends.
   */
  async run(): Promise<void> {
    this.#guard(() => {
      const { resumed } = this.#position;
      if (resumed > this.#max) this.#diverges(resumed);
    });
    this.#queue(async () => {
      // Lists have to contain what earlier attempts have written.
      await this.#database.flush();
      const packs = await this.#database.completedPacks();
      this.#ownPack = packs.find((one) => one.partition === this.#partition)?.pack ?? ZERO_TID;
      this.#guard(() => this.#fetchTransactions(this.#position.transactions, true));
    });
    await this.#outcome.promise;
  }

  /** For what takes the database time: the cell may be truncated, dropped or given back meanwhile. */
  readonly #wanted = (): boolean => this.#active;

  /** Gives up. What was received is kept. */
  stop(error: Error): void {
    if (!this.#active) return;
    this.#active = false;
    this.#outcome.reject(error);
  }

  /** Queues work on the database. */
  #queue(work: () => Promise<void> | void): void {
    this.#work = this.#work.then(() => this.#guard(work));
  }

  /** Does something of which the failure ends the replication. */
  async #guard(action: () => Promise<void> | void): Promise<void> {
    if (!this.#active) return;
    try {
      await action();
    } catch (error) {
      this.stop(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Whether a message belongs to the current request: what is left of former ones is ignored. */
  expects(connection: Connection, id: number): boolean {
    return this.#active && connection === this.#connection && id === this.#request;
  }

  readonly #refused = (error: Error): void => this.stop(new SourceError(error.message));

  // Metadata

  async #fetchTransactions(min: Tid, askPack: boolean): Promise<void> {
    const [partition, max] = [this.#partition, this.#max];
    const tids = min > max ? [] : await this.#database.tidsFrom(partition, min, max, LENGTH);
    if (!this.#active) return;
    this.#chunk = new Chunk(min, max, tids, LENGTH);
    this.#request = this.#connection.request(
      "AskFetchTransactions",
      { partition, length: LENGTH, min, max, tids, askPack },
      (answer) => this.#guard(() => this.#transactionsAnswered(answer)),
      this.#refused,
    );
  }

  /** Metadata that the cell lacks. */
  addTransaction(args: ArgsOf<"AddTransaction">): void {
    this.#guard(() => {
      this.#checkPartition(args.tid);
      if (!this.#chunk.accepts(args.tid)) return;
      const { pack } = args;
      this.#transactions.push({ ...args, pack: pack && { ...pack, packTid: pack.tid } });
      this.#received(args.oids.length * 8 + args.extension.length, this.#transactions.length);
    });
  }

  #transactionsAnswered(
    { next: sourceNext, toDelete, completedPack }: AnswerArgsOf<"AskFetchTransactions">,
  ): Promise<void> {
    const { cells } = this.#database;
    const [partition, max, position] = [this.#partition, this.#max, this.#position];
    checkPack(completedPack);
    const { excess, next } = this.#chunk.settle(sourceNext, toDelete);
    const [lost] = excess;
    if (lost !== undefined && position.resumed !== ZERO_TID) this.#diverges(toTid(lost));
    this.#request = -1;
    this.#write();
    this.#queue(() => {
      cells.deleteTransactions(partition, excess.map(toTid));
      // Orders that the source has not executed yet remain to be executed here.
      if (completedPack !== null) cells.lowerPack(partition, completedPack);
      position.transactions = later(
        position.transactions,
        next === null ? addTid(max, 1) : toTid(next),
      );
    });
    if (completedPack !== null) {
      if (completedPack < this.#ownPack) this.#ownPack = completedPack;
      this.#sourcePacked(completedPack);
    }
    return next === null
      ? this.#fetchObjects(recordKey({ tid: position.objects, oid: ZERO_OID }))
      : this.#fetchTransactions(toTid(next), false);
  }

  /** @throws {DivergedError} always. */
  #diverges(tid: Tid): never {
    throw new DivergedError(`this node has transaction ${hexId(tid)}, which the cluster lacks`);
  }

  // Packs

  /** Whether a pack may have deleted records with this tid: it only concerns what precedes its order. */
  #mayBePacked(tid: Tid): boolean {
    return tid <= later(this.#sourcePack, this.#packs.last);
  }

  /** Returns whether the cell has to be compared as a whole. */
  #sourcePacked(pack: Tid): boolean {
    this.#packs.heard(pack);
    this.#sourcePack = pack;
    // An order that it has not finished may be begun, and have deleted some.
    if (pack <= this.#ownPack && this.#packs.last <= pack) return false;
    this.#position.objects = ZERO_TID;
    this.#position.packs = this.#packs.last;
    return true;
  }

  /** Ends, unless the source may have packed since the comparison began. */
  async #checkPacks(): Promise<void> {
    const [partition, max] = [this.#partition, this.#max];
    await this.#upToDate();
    if (!this.#active) return;
    if (this.#packs.last <= this.#sourcePack) return this.#finish();
    this.#request = this.#connection.request(
      "AskFetchTransactions",
      { partition, length: LENGTH, min: addTid(max, 1), max, tids: [], askPack: true },
      // After what was received has been written: it may be what is to be deleted.
      ({ completedPack }) =>
        this.#queue(async () => {
          checkPack(completedPack);
          const compared = this.#sourcePack;
          // What was received, maybe from another source, may be packed by an order heard of since.
          const heard = this.#packs.last > this.#position.packs;
          if (completedPack === null || completedPack === compared && !heard) return this.#finish();
          this.#ownPack = compared > this.#ownPack ? compared : this.#ownPack;
          if (!this.#sourcePacked(completedPack)) return this.#finish();
          await this.#database.flush();
          if (this.#active) await this.#fetchObjects(recordKey({ tid: ZERO_TID, oid: ZERO_OID }));
        }),
      this.#refused,
    );
  }

  #finish(): void {
    this.#request = -1;
    this.#queue(async () => {
      // A later pack also concerns what was not compared, and remains to be executed here.
      if (this.#sourcePack > this.#ownPack && this.#sourcePack <= this.#max) {
        this.#database.cells.raisePack(this.#partition, this.#sourcePack);
      }
      await this.#database.flush();
      this.#active = false;
      this.#outcome.resolve();
    });
  }

  // Objects

  async #fetchObjects(first: Key): Promise<void> {
    const [partition, max] = [this.#partition, this.#max];
    const { tid: min, oid: minOid } = recordOf(first);
    const own = await this.#intactRecords({ tid: min, oid: minOid });
    if (!this.#active) return;
    this.#chunk = new Chunk(first, lastKey(max), own.map(recordKey), LENGTH);
    this.#request = this.#connection.request(
      "AskFetchObjects",
      { partition, length: LENGTH, min, max, minOid, objects: grouped(own) },
      (answer) => this.#guard(() => this.#objectsAnswered(answer)),
      this.#refused,
    );
  }

  /**
   * The first records that the cell has. Those whose data is damaged are deleted, so that the source sends
   * them: they may be why the cell is filled. What was received before is not read for that.
   */
  async #intactRecords(first: RecordId): Promise<RecordId[]> {
    const { cells } = this.#database;
    const [partition, max, { verified }] = [this.#partition, this.#max, this.#position];
    let done: Key | null = null;
    for (;;) {
      const records = await cells.records(partition, first, max, LENGTH);
      const unknown = records.filter((record) =>
        record.tid >= verified && (done === null || recordKey(record) > done)
      );
      const damaged = await findDamaged(this.#database, unknown, this.#spare, this.#wanted);
      if (damaged.length === 0) return records;
      await cells.deleteObjects(partition, damaged, this.#wanted);
      const last = records.at(-1);
      if (last !== undefined) done = recordKey(last);
    }
  }

  /** A record that the cell lacks. */
  addObject(args: ArgsOf<"AddObject">): void {
    this.#guard(() => {
      const { oid, tid, data, dataSerial } = args;
      this.#checkPartition(oid);
      if (!this.#chunk.accepts(recordKey(args))) return;
      this.#objects.push({ oid, tid, data: contentOf(args), dataSerial });
      this.#received(data.length, this.#objects.length);
    });
  }

  async #objectsAnswered(
    { nextTid, nextOid, toDelete }: AnswerArgsOf<"AskFetchObjects">,
  ): Promise<void> {
    const sourceNext = nextTid === null
      ? null
      : recordKey({ tid: nextTid, oid: nextOid ?? ZERO_OID });
    const { excess, next } = this.#chunk.settle(sourceNext, keysOf(toDelete));
    this.#request = -1;
    const lost = () => excess.map(recordOf).find(({ tid }) => !this.#mayBePacked(tid));
    if (lost() !== undefined && this.#position.resumed !== ZERO_TID) {
      // The source may have heard of a pack earlier than this node.
      await this.#upToDate();
      if (!this.#active) return;
      const record = lost();
      if (record !== undefined) this.#diverges(record.tid);
    }
    const { cells } = this.#database;
    const [partition, max, position] = [this.#partition, this.#max, this.#position];
    this.#write();
    this.#queue(async () => {
      await cells.deleteObjects(partition, excess.map(recordOf), this.#wanted);
      if (!this.#active) return;
      const complete = next === null ? max : addTid(recordOf(next).tid, -1);
      position.objects = later(position.objects, addTid(complete, 1));
      position.verified = later(position.verified, position.objects);
      cells.setResumePoint(partition, complete);
    });
    if (next !== null) return this.#fetchObjects(next);
    return this.#checkPacks();
  }

  // Writing

  #checkPartition(id: bigint): void {
    if (partitionOf(toTid(id), this.#database.partitions) === this.#partition) return;
    throw new SourceError(
      `${hexId(toTid(id))} does not belong to partition ${this.#partition}`,
      true,
    );
  }

  #received(bytes: number, items: number): void {
    this.#batchBytes += bytes + OVERHEAD;
    this.#unwritten.add(bytes + OVERHEAD);
    if (items >= BATCH || this.#batchBytes > BATCH_BYTES) this.#write();
  }

  /** Gives what was received to the database. */
  #write(): void {
    const { cells } = this.#database;
    const [transactions, objects, bytes] = [this.#transactions, this.#objects, this.#batchBytes];
    this.#transactions = [];
    this.#objects = [];
    this.#batchBytes = 0;
    if (transactions.length > 0) this.#queue(() => cells.addTransactions(transactions));
    if (objects.length > 0) this.#queue(() => cells.addObjects(objects, this.#wanted));
    // Even if it has failed: the connection may be needed for something else.
    this.#work = this.#work.then(() => this.#unwritten.remove(bytes));
  }
}

function later(a: Tid, b: Tid): Tid {
  return a > b ? a : b;
}
