/** What the tests of databases share. */

import { createHash } from "node:crypto";
import { CellState } from "../../../protocol/enums.ts";
import { type Oid, type Tid, toOid, toTid } from "../../../protocol/ids.ts";
import {
  type AdapterName,
  type Database,
  type DatabaseOptions,
  type ObjectData,
  openDatabase,
  PACK_START,
  type PackPosition,
  type StoredObject,
  type TransactionMetadata,
} from "../../../storage/database/mod.ts";

/** Nid of the node that has the databases of tests. */
export const SELF = 1;
/** Number of partitions in the databases of tests. */
export const PARTITIONS = 3;

/** Options of a database, the ordinary ones unless given. */
export function databaseOptions(
  database: string,
  given: Partial<DatabaseOptions> = {},
): DatabaseOptions {
  return {
    database,
    wait: 0,
    engine: null,
    dedup: false,
    reset: false,
    disableDropPartitions: false,
    log: () => {},
    ...given,
  };
}

/** A place for one database. */
export interface Place {
  /** Connection string. */
  readonly address: string;
  open(options?: Partial<DatabaseOptions>): Promise<Database>;
  /** Executes statements, outside of any `Database`, and returns the rows of the last one. */
  query(sql: string): Promise<unknown[][]>;
}

/** A back-end to test. */
export interface Backend {
  readonly name: string;
  readonly adapter: AdapterName;
  /** Runs a test with a place where there is no database yet, and cleans up. */
  withPlace(test: (place: Place) => Promise<void>): Promise<void>;
}

/** Opens a database, runs a test and closes it. */
export async function withDatabase(
  place: Place,
  test: (db: Database) => Promise<void>,
  options: Partial<DatabaseOptions> = {},
): Promise<void> {
  const db = await place.open(options);
  try {
    await test(db);
  } finally {
    await db.close();
  }
}

/** Makes a new database that of a node with all the cells, up-to-date. */
export async function initialize(db: Database, state = CellState.UP_TO_DATE): Promise<void> {
  await db.setClusterName("test");
  await db.setNid(SELF);
  const cells = Array.from({ length: PARTITIONS }, (_, partition) => ({
    partition,
    nid: SELF,
    state,
  }));
  await db.changePartitionTable(1, 0, cells, true);
}

/** Opens an initialized database. */
export function withInitialized(
  place: Place,
  test: (db: Database) => Promise<void>,
  options: Partial<DatabaseOptions> = {},
): Promise<void> {
  return withDatabase(place, async (db) => {
    await initialize(db);
    await test(db);
  }, options);
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(data: Uint8Array): string {
  return new TextDecoder().decode(data);
}

/** Raw data with its checksum. */
export function objectData(data: string | Uint8Array, compression = 0): ObjectData {
  const raw = typeof data === "string" ? bytes(data) : data;
  return {
    compression,
    checksum: new Uint8Array(createHash("sha1").update(raw).digest()),
    data: raw,
  };
}

export function metadata(oids: readonly number[] = [], user = ""): TransactionMetadata {
  return {
    user: bytes(user),
    description: bytes("description"),
    extension: bytes(""),
    oids: oids.map(toOid),
  };
}

/** Stores data for one object. */
export async function store(db: Database, oid: number, data: string): Promise<StoredObject> {
  const dataId = await db.storeData(toOid(oid), objectData(data));
  return { oid: toOid(oid), dataId, dataSerial: null };
}

/** Stores and votes; the metadata says which objects. */
export async function voteAll(
  db: Database,
  ttid: number,
  data: Readonly<Record<number, string>>,
): Promise<StoredObject[]> {
  const oids = Object.keys(data).map(Number);
  const objects = await Promise.all(oids.map((oid) => store(db, oid, data[oid] ?? "")));
  await db.vote(toTid(ttid), objects, metadata(oids), null);
  return objects;
}

/** Commits a transaction of which the ttid is the tid minus the number of partitions. */
export async function commit(
  db: Database,
  tid: number,
  data: Readonly<Record<number, string>>,
): Promise<void> {
  const ttid = tid - PARTITIONS;
  const objects = await voteAll(db, ttid, data);
  await db.lock(toTid(ttid), toTid(tid), false);
  db.unlock(toTid(ttid), toTid(tid), objects, true);
}

/** Commits given records without data of their own. */
export async function commitObjects(
  db: Database,
  tid: number,
  objects: readonly StoredObject[],
): Promise<void> {
  const ttid = tid - PARTITIONS;
  await db.vote(toTid(ttid), objects, metadata(), null);
  await db.lock(toTid(ttid), toTid(tid), false);
  db.unlock(toTid(ttid), toTid(tid), objects, true);
}

/** A clock by which everything takes longer each time, so that slices get as short as they can. */
export function slowingTime(): () => number {
  let calls = 0;
  return () => 1000 * ++calls ** 2;
}

/** Packs a partition, and returns the number of records that were deleted. */
export async function pack(
  db: Database,
  partition: number,
  packTid: number,
  oids: readonly number[] | null = null,
): Promise<number> {
  const scope = { packTid: toTid(packTid), oids: oids && oids.map(toOid) };
  let deleted = 0;
  for (let position: PackPosition | null = PACK_START; position !== null;) {
    const slice = await db.packSlice(partition, scope, position, () => true);
    deleted += slice.deleted;
    position = slice.next;
  }
  return deleted;
}

export function oid(value: number | bigint): Oid {
  return toOid(value);
}

export function tid(value: number | bigint): Tid {
  return toTid(value);
}

/** The data of the last record, or what there is instead. */
export async function read(
  db: Database,
  id: number,
  at: number | null = null,
): Promise<string | null | undefined> {
  const record = await db.object(toOid(id), at === null ? null : toTid(at), null);
  if (record === null) return "no such record";
  return record === undefined ? undefined : record.data && text(record.data.data);
}

/** Opens a database and gives the message of the failure. */
export function openError(adapter: AdapterName, options: DatabaseOptions): Promise<string> {
  return openDatabase(adapter, options).then(
    async (db) => {
      await db.close();
      return "opened";
    },
    (error) => `${error.name}: ${error.message}`,
  );
}

/** Registers a test of a back-end, that gets a place where there is no database yet. */
export type Register = (name: string, body: (place: Place) => Promise<void>) => void;

/** Number of rows of a table. */
export async function count(place: Place, table: string): Promise<number> {
  const [row] = await place.query(`SELECT COUNT(*) FROM ${table}`);
  return Number(row?.[0]);
}
