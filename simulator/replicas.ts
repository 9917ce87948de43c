/**
 * What storages have in their databases in the end.
 *
 * @module
 */

import { type CellState, isReadable } from "../protocol/enums.ts";
import { hexId, type Oid, type Tid } from "../protocol/ids.ts";
import { asBytes, asNumber, asOid, asTid, nullable, type Row } from "../storage/database/sql.ts";
import { REPLICATION } from "./features.ts";
import type { Disk } from "./disk.ts";
import type { Committed } from "./history.ts";

/** A cell: a partition as one storage has it. */
interface Cell {
  readonly host: string;
  readonly transactions: readonly string[];
  readonly objects: readonly string[];
}

interface Found {
  readonly transactions: Map<Tid, Committed & { readonly objects: Map<Oid, string | null> }>;
  readonly problems: string[];
}

const TRANS = "SELECT tid, ttid, description, user, oids FROM trans WHERE partition=? ORDER BY tid";
const OBJ = "SELECT o.oid, o.tid, o.value_tid, d.compression, d.value FROM obj o " +
  "LEFT JOIN data d ON d.id = o.data_id WHERE o.partition=? ORDER BY o.oid, o.tid";
const UNFINISHED = ["SELECT ttid FROM ttrans", "SELECT DISTINCT tid FROM tobj"];

/** How data is read as text; `null` is a deletion. */
export type Decode = (compression: number, data: Uint8Array) => string;

/**
 * Reads the readable cells of all disks.
 *
 * @returns the committed transactions by increasing tid, and what is wrong: cells of the same
 * partition that differ, transactions that have only objects, or that are not finished.
 */
export function readStorages(
  disks: readonly Disk[],
  decode: Decode,
): { transactions: Committed[]; problems: string[] } {
  const found: Found = { transactions: new Map(), problems: [] };
  const cells = new Map<number, Cell>();
  const objects: Row[] = [];
  for (const disk of disks) {
    // What a cell missed, it may have in part until it is replicated.
    for (const sql of !REPLICATION && outOfDate(disk) ? [] : UNFINISHED) {
      const ttids = disk.read(sql, []).map(([ttid]) => hexId(asTid(ttid)));
      if (ttids.length === 0) continue;
      found.problems.push(`${disk.host} keeps unfinished transactions: ${ttids.join(", ")}`);
    }
    for (const { partition, readable } of ownCells(disk)) {
      if (!readable) continue;
      const rows = disk.read(OBJ, [partition]);
      const cell: Cell = {
        host: disk.host,
        transactions: disk.read(TRANS, [partition]).map(rowText),
        objects: rows.map(rowText),
      };
      const other = cells.get(partition);
      if (other === undefined) {
        cells.set(partition, cell);
        addTransactions(disk.read(TRANS, [partition]), found);
        objects.push(...rows);
      } else found.problems.push(...compare(partition, other, cell));
    }
  }
  // A transaction has objects in any partition.
  addObjects(objects, decode, found);
  const transactions = [...found.transactions.values()];
  transactions.sort((a, b) => a.tid < b.tid ? -1 : 1);
  return { transactions, problems: found.problems };
}

/** The id that a storage has saved, `null` if there is none. */
export function savedNid(disk: Disk): number | null {
  // It may be erased.
  if (disk.read("SELECT 1 FROM sqlite_master WHERE name='config'", []).length === 0) return null;
  const [row] = disk.read("SELECT value FROM config WHERE name='nid'", []);
  return row === undefined ? null : Number(row[0]);
}

/** The cells that a disk holds, by increasing partition. */
export function ownCells(disk: Disk): { readonly partition: number; readonly readable: boolean }[] {
  const nid = savedNid(disk);
  if (nid === null) return [];
  const rows = disk.read("SELECT partition, tid FROM pt WHERE nid=? ORDER BY partition", [nid]);
  return rows.map(([partition, tid]) => ({
    partition: asNumber(partition),
    // The state is stored negated, except that an out-of-date cell has the tid it is replicated to.
    readable: asNumber(tid) < 0 && isReadable(-asNumber(tid) as CellState),
  }));
}

/** Whether a disk has a cell that may not be read. */
function outOfDate(disk: Disk): boolean {
  return ownCells(disk).some(({ readable }) => !readable);
}

function addTransactions(rows: readonly Row[], { transactions }: Found): void {
  for (const row of rows) {
    const tid = asTid(row[0]);
    const description = new TextDecoder().decode(asBytes(row[2]));
    transactions.set(tid, { tid, ttid: asTid(row[1]), description, objects: new Map() });
  }
}

function addObjects(rows: readonly Row[], decode: Decode, found: Found): void {
  for (const row of rows) {
    const oid = asOid(row[0]);
    const tid = asTid(row[1]);
    const transaction = found.transactions.get(tid);
    if (transaction === undefined) {
      found.problems.push(`object ${hexId(oid)} has revision ${hexId(tid)} of no transaction`);
      continue;
    }
    const data = nullable(row[4], asBytes);
    transaction.objects.set(oid, data === null ? null : decode(asNumber(row[3]), data));
  }
}

function* compare(partition: number, one: Cell, other: Cell): Iterable<string> {
  for (const kind of ["transactions", "objects"] as const) {
    const [rows, others] = [new Set(one[kind]), new Set(other[kind])];
    for (
      const [host, difference] of [
        [one.host, rows.difference(others)],
        [other.host, others.difference(rows)],
      ] as const
    ) {
      if (difference.size === 0) continue;
      yield `${one.host} and ${other.host} differ in partition ${partition}: only ${host} has ` +
        `${difference.size} ${kind}, ${[...difference][0]}`;
    }
  }
}

function rowText(row: Row): string {
  return row.map((value) => {
    if (typeof value === "bigint") return value.toString(16);
    return value instanceof Uint8Array ? new TextDecoder("latin1").decode(value) : String(value);
  }).join("|");
}
