/** Random histories, executed by a database and by a model of a few lines. */

import { deepEqual, equal } from "node:assert/strict";
import fc from "npm:fast-check@4.3.0";
import { MAX_TID } from "../../../protocol/ids.ts";
import { type Database, type StoredObject, UndoPackError } from "../../../storage/database/mod.ts";
import {
  metadata,
  oid,
  pack,
  PARTITIONS,
  type Place,
  store,
  text,
  tid,
  withDatabase,
  withInitialized,
} from "./support.ts";

const OIDS = 4;

/** What a transaction does with an object: undo goes back to one of the previous revisions. */
type Change =
  | { readonly type: "store"; readonly oid: number; readonly data: string }
  | { readonly type: "delete"; readonly oid: number }
  | { readonly type: "undo"; readonly oid: number; readonly back: number };

/** A transaction, and how it ends. */
interface Step {
  readonly changes: readonly Change[];
  readonly end: "unlock" | "abort" | "release" | "restart" | "truncate" | "pack";
}

interface Revision {
  readonly tid: number;
  readonly data: string | null;
  readonly dataSerial: number | null;
}

const anyOid = fc.integer({ min: 0, max: OIDS - 1 });
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    type: fc.constant("store" as const),
    oid: anyOid,
    data: fc.string({ maxLength: 3 }),
  }),
  fc.record({ type: fc.constant("delete" as const), oid: anyOid }),
  fc.record({ type: fc.constant("undo" as const), oid: anyOid, back: fc.nat(3) }),
);
const anyStep: fc.Arbitrary<Step> = fc.record({
  changes: fc.uniqueArray(anyChange, { maxLength: OIDS, selector: ({ oid }) => oid }),
  end: fc.constantFrom(
    "unlock",
    "unlock",
    "unlock",
    "unlock",
    "abort",
    "release",
    "restart",
    "truncate",
    "pack",
    "pack",
  ),
});
const anyHistory = fc.array(anyStep, { maxLength: 12 });

/** Executes a history, restarting where it says so, and compares with the model all along. */
async function execute(place: Place, history: readonly Step[], dedup: boolean): Promise<void> {
  const model = new Map<number, Revision[]>();
  let next = 0;
  await withInitialized(place, () => Promise.resolve(), { dedup, reset: true });
  while (next < history.length) {
    await withDatabase(place, async (db) => {
      await db.dropUnfinished();
      await compare(db, model);
      let step: Step | undefined;
      do {
        step = history[next++];
        if (step !== undefined) await executeStep(db, model, step, 10 * next);
        await compare(db, model);
      } while (step !== undefined && step.end !== "restart");
      await db.dropUnfinished();
    });
  }
  // Nothing is lost, nothing is left.
  const [[orphans] = []] = await place.query(
    "SELECT COUNT(*) FROM data WHERE id NOT IN (SELECT data_id FROM obj WHERE data_id IS NOT NULL)",
  );
  equal(Number(orphans), 0);
}

async function executeStep(
  db: Database,
  model: Map<number, Revision[]>,
  { changes, end }: Step,
  ttid: number,
): Promise<void> {
  const objects: StoredObject[] = [];
  const revisions: [number, Revision][] = [];
  const finalTid = ttid + PARTITIONS;
  for (const change of changes) {
    const target = change.type === "undo"
      ? model.get(change.oid)?.toReversed()[change.back]
      : undefined;
    if (change.type === "store") {
      objects.push(await store(db, change.oid, change.data));
      revisions.push([change.oid, { tid: finalTid, data: change.data, dataSerial: null }]);
    } else if (target !== undefined) {
      const dataId = await db.shareData(oid(change.oid), tid(target.tid)) ?? null;
      objects.push({ oid: oid(change.oid), dataId, dataSerial: tid(target.tid) });
      const { data } = target;
      revisions.push([change.oid, { tid: finalTid, data, dataSerial: target.tid }]);
    } else {
      objects.push({ oid: oid(change.oid), dataId: null, dataSerial: null });
      revisions.push([change.oid, { tid: finalTid, data: null, dataSerial: null }]);
    }
  }
  const ids = objects.flatMap(({ dataId }) => dataId ?? []);
  if (end === "release") return db.releaseData(ids);
  await db.vote(tid(ttid), objects, metadata(), null);
  if (end === "abort") return await db.abort(tid(ttid), ids);
  if (end === "restart") return;
  await db.lock(tid(ttid), tid(finalTid), false);
  db.unlock(tid(ttid), tid(finalTid), objects, true);
  for (const [id, revision] of revisions) {
    model.set(id, [...model.get(id) ?? [], revision]);
  }
  if (end === "truncate") await truncate(db, model, finalTid - 15);
  if (end === "pack") await packAll(db, model, finalTid - ttid % 3 * 10);
}

/** Packs while an undo holds what is packed, or tries to. */
async function packAll(db: Database, model: Map<number, Revision[]>, packTid: number) {
  const packing = (async () => {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await pack(db, partition, packTid);
    }
  })();
  for (const [id, revisions] of model) {
    const [first] = revisions;
    if (first === undefined) continue;
    const shared = await db.shareData(oid(id), tid(first.tid)).catch((error) => {
      if (!(error instanceof UndoPackError)) throw error;
    });
    if (typeof shared !== "bigint") continue;
    equal(text((await db.loadData(shared)).data), first.data);
    db.releaseData([shared]);
  }
  await packing;
  for (const [id, revisions] of model) {
    const last = revisions.findLast(({ tid }) => tid <= packTid);
    if (last === undefined) continue;
    const kept = revisions.filter((one) => one.tid > last.tid || one === last && one.data !== null);
    if (kept.length > 0) model.set(id, kept);
    else model.delete(id);
  }
}

async function truncate(db: Database, model: Map<number, Revision[]>, last: number) {
  await db.setTruncateTid(tid(Math.max(last, 0)));
  await db.truncate();
  for (const [id, revisions] of model) {
    const kept = revisions.filter(({ tid }) => tid <= last);
    if (kept.length > 0) model.set(id, kept);
    else model.delete(id);
  }
}

async function compare(db: Database, model: Map<number, Revision[]>): Promise<void> {
  for (let id = 0; id < OIDS; id++) {
    const revisions = model.get(id) ?? [];
    const last = revisions.at(-1);
    equal(await db.lastSerial(oid(id)), last === undefined ? null : BigInt(last.tid));
    const history = await db.history(oid(id), 0, 100);
    deepEqual(history.map(({ tid }) => Number(tid)).reverse(), revisions.map(({ tid }) => tid));
    for (const [i, { tid: serial, data, dataSerial }] of revisions.entries()) {
      const record = await db.object(oid(id), null, tid(serial + 1));
      const next = revisions[i + 1];
      deepEqual(record && { ...record, data: record.data && text(record.data.data) }, {
        serial: BigInt(serial),
        nextSerial: next === undefined ? null : BigInt(next.tid),
        data,
        dataSerial: dataSerial === null ? null : BigInt(dataSerial),
      });
    }
  }
  const living = [...model].filter(([, all]) => all.at(-1)?.data !== null).map(([id]) => id);
  const listed = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    listed.push(...(await db.oidsFrom(partition, oid(0), MAX_TID, 100)).oids.map(Number));
  }
  deepEqual(listed.sort(), living.sort());
}

/** Checks random histories. */
export async function checkModel(place: Place, runs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(anyHistory, fc.boolean(), (history, dedup) => execute(place, history, dedup)),
    { numRuns: runs },
  );
}
