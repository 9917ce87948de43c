/** Random packs of random histories, interrupted at random, compared with a model of a few lines. */

import { deepEqual, equal } from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { type Database, PACK_START, type PackPosition } from "../../../storage/database/mod.ts";
import {
  initialize,
  oid,
  PARTITIONS,
  type Place,
  slowingTime,
  tid,
  withDatabase,
} from "./support.ts";

const OBJECTS = 3;

/** A record: what it refers to is counted in previous records of the object with data. */
type Kind = { readonly type: "data" | "deletion" } | {
  readonly type: "undo";
  readonly back: number;
};

interface Record {
  readonly oid: number;
  readonly tid: number;
  readonly dataId: number | null;
  readonly valueTid: number | null;
}

/** An order; the slices after which the database is closed and the partition starts again. */
interface Order {
  readonly packTid: number;
  readonly oids: readonly number[] | null;
  readonly interruptions: readonly number[];
}

const anyKind: fc.Arbitrary<Kind> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ type: "data" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "deletion" as const }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("undo" as const), back: fc.nat(3) }) },
);
/** For each object of partition 1, records with the gaps between their tids. */
const anyHistory = fc.array(
  fc.array(fc.tuple(anyKind, fc.integer({ min: 1, max: 3 })), { size: "max", maxLength: 60 }),
  { minLength: OBJECTS, maxLength: OBJECTS },
);
const anyOrder: fc.Arbitrary<Order> = fc.record({
  packTid: fc.nat(120),
  oids: fc.option(fc.subarray(Array.from({ length: OBJECTS }, (_, i) => i * PARTITIONS + 1))),
  interruptions: fc.array(fc.nat(6), { maxLength: 2 }),
});

function recordsOf(history: readonly (readonly (readonly [Kind, number])[])[]): Record[] {
  const records: Record[] = [];
  let nextId = 2 ** 48;
  for (const [i, kinds] of history.entries()) {
    const own: Record[] = [];
    let last = 0;
    for (const [kind, gap] of kinds) {
      last += gap;
      const record = { oid: i * PARTITIONS + 1, tid: last, valueTid: null };
      const target = kind.type === "undo" ? own.toReversed()[kind.back] : undefined;
      if (target !== undefined) {
        own.push({ ...record, dataId: target.dataId, valueTid: target.tid });
      } else own.push({ ...record, dataId: kind.type === "data" ? nextId++ : null });
    }
    records.push(...own);
  }
  return records;
}

/** The rule, object by object. */
function packed(records: readonly Record[], { packTid, oids }: Order): Record[] {
  const byOid = Map.groupBy(records, ({ oid }) => oid);
  return [...byOid].flatMap(([oid, own]) => {
    if (oids !== null && !oids.includes(oid)) return own;
    const last = own.findLast(({ tid }) => tid <= packTid);
    if (last === undefined) return own;
    return own.filter(({ tid }) => tid > last.tid || tid === last.tid && last.dataId !== null);
  });
}

/** Packs until a slice is reached. Returns whether it came to the end. */
async function pack(db: Database, order: Order, slices: number): Promise<boolean> {
  const scope = { packTid: tid(order.packTid), oids: order.oids && order.oids.map(oid) };
  let position: PackPosition | null = PACK_START;
  for (let i = 0; i < slices && position !== null; i++) {
    position = (await db.packSlice(1, scope, position, () => true)).next;
  }
  return position === null;
}

async function check(place: Place, records: readonly Record[]): Promise<void> {
  const rows = await place.query(
    "SELECT oid, tid, data_id, value_tid FROM obj ORDER BY oid, tid",
  );
  deepEqual(
    rows.map((row) => row.map((value) => value === null ? null : Number(value))),
    records.map(({ oid, tid, dataId, valueTid }) => [oid, tid, dataId, valueTid]),
  );
  const data = await place.query("SELECT id FROM data ORDER BY id");
  const ids = new Set(records.map(({ dataId }) => dataId).filter((id) => id !== null));
  deepEqual(data.map(([id]) => Number(id)), [...ids].sort((a, b) => a - b));
}

async function execute(
  place: Place,
  history: readonly (readonly (readonly [Kind, number])[])[],
  orders: readonly Order[],
): Promise<void> {
  const now = slowingTime();
  let records = recordsOf(history);
  const tuples = records.map(({ oid, tid, dataId, valueTid }) =>
    `(1, ${oid}, ${tid}, ${dataId ?? "NULL"}, ${valueTid ?? "NULL"})`
  );
  const ids = new Set(records.map(({ dataId }) => dataId).filter((id) => id !== null));
  await withDatabase(place, (db) => initialize(db), { reset: true });
  if (tuples.length > 0) await place.query(`INSERT INTO obj VALUES ${tuples.join(", ")}`);
  if (ids.size > 0) {
    const data = [...ids].map((id) => `(${id}, '01234567890123456789', 0, 'x')`);
    await place.query(`INSERT INTO data VALUES ${data.join(", ")}`);
  }
  for (const order of orders) {
    for (const slices of [...order.interruptions, Infinity]) {
      await withDatabase(place, async (db) => {
        const done = await pack(db, order, slices);
        if (slices === Infinity) equal(done, true);
      }, { now });
    }
    records = packed(records, order);
    await check(place, records);
  }
}

/** Checks random packs. */
export async function checkPackModel(place: Place, runs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      anyHistory,
      fc.array(anyOrder, { minLength: 1, maxLength: 3 }),
      (history, orders) => execute(place, history, orders),
    ),
    { numRuns: runs },
  );
}
