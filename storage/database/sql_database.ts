/**
 * The database of a storage node over a SQL engine: puts the concerns together.
 *
 * @module
 */

import { type Oid, type Tid, ZERO_TID } from "../../protocol/ids.ts";
import type { Nid } from "../../protocol/nodes.ts";
import type { CellContents } from "./cell_contents.ts";
import { Config } from "./config.ts";
import { checkStorable, Context } from "./context.ts";
import { DataStore } from "./data.ts";
import {
  type CellChange,
  type Database,
  DatabaseError,
  type DatabaseOptions,
  type DataId,
  LimitError,
  type ObjectData,
  type PackPosition,
  type PackRequest,
  type PackScope,
  type StoredObject,
  type TransactionMetadata,
} from "./database.ts";
import { Packing } from "./packing.ts";
import { dropLostPackOrders, packOrders, signPackOrders } from "./packs.ts";
import { PartitionTable } from "./partition_table.ts";
import { Reads } from "./reads.ts";
import { dropTables, prepareSchema, refuseForeign } from "./schema.ts";
import { SqlCellContents } from "./sql_cell_contents.ts";
import type { Engine } from "./sql.ts";
import { Transactions } from "./transactions.ts";
import { truncate } from "./truncation.ts";

/** Longest text in the configuration, in bytes. */
const MAX_CONFIG_VALUE = 255;

/**
 * Makes an engine a database. The engine is closed with it, and on failure.
 *
 * @throws {DatabaseError} if the database can not be used.
 */
export async function openSqlDatabase(
  engine: Engine,
  options: DatabaseOptions,
): Promise<Database> {
  try {
    await refuseForeign(engine);
    if (options.reset) await engine.commit(dropTables(engine.dialect), true);
    const config = new Config();
    await prepareSchema(engine, config, options);
    const context = new Context(engine, options);
    const table = new PartitionTable(context, config);
    await table.load(engine);
    const data = new DataStore(context, table, await engine.dialect.hasDedup(engine));
    await data.load(engine);
    const transactions = new Transactions(context, table, data);
    await transactions.load(engine);
    await context.queue.commit(...dropLostPackOrders(table));
    await data.pruneDeferred();
    return new SqlDatabase(context, config, table, data, transactions);
  } catch (error) {
    await engine.close();
    throw error;
  }
}

class SqlDatabase implements Database {
  readonly #context: Context;
  readonly #config: Config;
  readonly #table: PartitionTable;
  readonly #data: DataStore;
  readonly #transactions: Transactions;
  readonly #reads: Reads;
  readonly cells: CellContents;
  readonly #packing: Packing;
  #closed: Promise<void> | null = null;

  constructor(
    context: Context,
    config: Config,
    table: PartitionTable,
    data: DataStore,
    transactions: Transactions,
  ) {
    this.#context = context;
    this.#config = config;
    this.#table = table;
    this.#data = data;
    this.#transactions = transactions;
    this.#reads = new Reads(context, table, data);
    this.cells = new SqlCellContents(context, table, data, transactions);
    this.#packing = new Packing(context, data);
  }

  get failed(): Promise<DatabaseError> {
    return this.#context.failed;
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const { queue, engine, options } = this.#context;
    try {
      if (queue.error === null) await queue.flush();
    } catch {
      // `failed` has told it.
    }
    queue.stop(new DatabaseError("the database is closed"));
    try {
      await engine.close();
    } catch (error) {
      options.log("warning", `the database was not closed properly: ${error}`);
    }
  }

  async erase(): Promise<void> {
    const { queue, engine } = this.#context;
    await queue.commit(...dropTables(engine.dialect));
    queue.stop(new DatabaseError("the database is erased"));
  }

  flush(): Promise<void> {
    return this.#context.queue.flush();
  }

  get queuedBytes(): number {
    return this.#context.queue.queuedBytes;
  }

  devicePath(): Promise<string[]> {
    return this.#context.engine.devicePath();
  }

  get clusterName(): string | null {
    return this.#config.text("name");
  }

  get nid(): Nid | null {
    return this.#config.number("nid");
  }

  get backupTid(): Tid | null {
    return this.#config.tid("backup_tid");
  }

  get truncateTid(): Tid | null {
    return this.#config.tid("truncate_tid");
  }

  async setClusterName(name: string): Promise<void> {
    if (new TextEncoder().encode(name).byteLength > MAX_CONFIG_VALUE) {
      throw new LimitError(`the cluster name can not exceed ${MAX_CONFIG_VALUE} bytes: '${name}'`);
    }
    await this.#context.queue.commit(this.#config.set("name", name));
  }

  async setNid(nid: Nid): Promise<void> {
    const writes = this.#table.clone(nid);
    await this.#context.queue.commit(...writes, this.#config.set("nid", nid));
    // A database that had no nid may have cells for it.
    await this.#table.load(this.#context.engine);
  }

  async setBackupTid(tid: Tid | null): Promise<void> {
    if (tid !== null) checkStorable(tid);
    await this.#context.queue.commit(this.#config.setTid("backup_tid", tid));
  }

  async setTruncateTid(tid: Tid | null): Promise<void> {
    if (tid !== null) checkStorable(tid);
    await this.#context.queue.commit(this.#config.setTid("truncate_tid", tid));
  }

  get partitions(): number {
    return this.#table.partitions;
  }

  loadPartitionTable() {
    return this.#table.saved();
  }

  async changePartitionTable(
    ptid: number,
    replicas: number,
    changes: readonly CellChange[],
    reset: boolean,
    lastPack: Tid = ZERO_TID,
  ): Promise<void> {
    const { partitions } = this.#table;
    const writes = this.#table.change(ptid, replicas, changes, reset, lastPack);
    if (this.#table.partitions !== partitions) this.#data.reset();
    await this.#context.queue.commit(...writes);
  }

  isAssigned(partition: number): boolean {
    return this.#table.isAssigned(partition);
  }

  isReadable(partition: number): boolean {
    return this.#table.isReadable(partition);
  }

  completedPacks() {
    return this.#table.completedPacks();
  }

  lastSerial(oid: Oid) {
    return this.#reads.lastSerial(oid);
  }

  storeData(oid: Oid, data: ObjectData) {
    return this.#data.store(oid, data);
  }

  shareData(oid: Oid, serial: Tid) {
    return this.#data.share(oid, serial);
  }

  releaseData(ids: readonly DataId[]): void {
    this.#data.release(ids);
    this.#context.queue.write(...this.#data.prune(ids));
  }

  loadData(id: DataId) {
    return this.#data.loadData(id);
  }

  vote(
    ttid: Tid,
    objects: readonly StoredObject[],
    metadata: TransactionMetadata | null,
    pack: PackRequest | null,
  ) {
    return this.#transactions.vote(ttid, objects, metadata, pack);
  }

  lock(ttid: Tid, tid: Tid, approvePack: boolean) {
    return this.#transactions.lock(ttid, tid, approvePack);
  }

  unlock(ttid: Tid, tid: Tid, objects: readonly StoredObject[], hasMetadata: boolean): void {
    this.#transactions.unlock(ttid, tid, objects, hasMetadata);
  }

  abort(ttid: Tid, ids: readonly DataId[]) {
    return this.#transactions.abort(ttid, ids);
  }

  lockedTransactions() {
    return this.#transactions.locked();
  }

  finalTid(ttid: Tid) {
    return this.#transactions.finalTid(ttid);
  }

  validate(ttid: Tid, tid: Tid) {
    return this.#transactions.validate(ttid, tid);
  }

  dropUnfinished() {
    return this.#transactions.dropUnfinished();
  }

  lastIds() {
    return this.#reads.lastIds();
  }

  truncate() {
    return truncate(this.#context, this.#config, this.#table, this.#data);
  }

  packOrders(minId: Tid) {
    return packOrders(this.#context, this.#table, minId);
  }

  signPackOrders(approved: readonly Tid[], rejected: readonly Tid[]) {
    return signPackOrders(this.#context, approved, rejected);
  }

  packSlice(
    partition: number,
    scope: PackScope,
    from: PackPosition,
    wanted: () => boolean,
  ) {
    return this.#packing.slice(partition, scope, from, wanted);
  }

  async setCompletedPack(partition: number, id: Tid): Promise<void> {
    checkStorable(id);
    await this.#context.queue.commit(this.#table.setCompletedPack(partition, id));
  }

  object(oid: Oid, at: Tid | null, before: Tid | null) {
    return this.#reads.object(oid, at, before);
  }

  transaction(tid: Tid) {
    return this.#reads.transaction(tid);
  }

  history(oid: Oid, first: number, last: number) {
    return this.#reads.history(oid, first, last);
  }

  tids(partitions: readonly number[], first: number, last: number) {
    return this.#reads.tids(partitions, first, last);
  }

  tidsFrom(partition: number, min: Tid, max: Tid, length: number) {
    return this.#reads.tidsFrom(partition, min, max, length);
  }

  oidsFrom(partition: number, minOid: Oid, tid: Tid, length: number) {
    return this.#reads.oidsFrom(partition, minOid, tid, length);
  }

  undoHistory(oid: Oid, undone: Tid, snapshot: Tid) {
    return this.#reads.undoHistory(oid, undone, snapshot);
  }
}
