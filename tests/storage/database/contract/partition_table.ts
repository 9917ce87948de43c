/** The saved partition table. */

import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { CellState } from "../../../../protocol/enums.ts";
import { type Database, LimitError } from "../../../../storage/database/mod.ts";
import {
  commit,
  type Place,
  type Register,
  SELF,
  tid,
  withDatabase,
  withInitialized,
} from "../support.ts";

/** Registers these tests. */
export function testPartitionTable(test: Register): void {
  const { OUT_OF_DATE, UP_TO_DATE, FEEDING, CORRUPTED, DISCARDED } = CellState;
  const saved = async (place: Place) => {
    const rows = await place.query("SELECT * FROM pt ORDER BY 1, 2");
    return rows.map((row) => row.map((value) => value === null ? null : Number(value)));
  };
  const change = (db: Database, state: CellState, partition = 0, lastPack = tid(0)) =>
    db.changePartitionTable(2, 0, [{ partition, nid: SELF, state }], false, lastPack);

  test("changePartitionTable() with reset saves the whole table", async (place) => {
    const cells = [
      { partition: 0, nid: SELF, state: UP_TO_DATE },
      { partition: 0, nid: 2, state: OUT_OF_DATE },
      { partition: 1, nid: 2, state: FEEDING },
      { partition: 2, nid: 2, state: CORRUPTED },
      { partition: 2, nid: SELF, state: OUT_OF_DATE },
    ];
    await withDatabase(place, async (db) => {
      await db.setNid(SELF);
      await db.changePartitionTable(8, 1, [{ partition: 5, nid: 9, state: UP_TO_DATE }], true);
      equal(db.partitions, 6);
      const done = db.changePartitionTable(9, 1, cells, true);
      equal(db.partitions, 3);
      ok(db.isAssigned(0) && db.isReadable(0));
      ok(!db.isAssigned(1) && !db.isReadable(1));
      ok(db.isAssigned(2) && !db.isReadable(2));
      await done;
    });
    deepEqual(await saved(place), [
      [0, 1, -1, 0],
      [0, 2, 0, null],
      [1, 2, -2, null],
      [2, 1, 0, 0],
      [2, 2, -3, null],
    ]);
    await withDatabase(place, async (db) => {
      equal(db.partitions, 3);
      ok(db.isReadable(0) && db.isAssigned(2) && !db.isReadable(2));
      deepEqual(await db.loadPartitionTable(), {
        ptid: 9,
        replicas: 1,
        cells: cells.toSorted((a, b) => a.partition - b.partition || a.nid - b.nid),
      });
    });
  });

  test("an own cell that gets out of date resumes after its last tid", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 0: "a" }); // Metadata in partition 1, object in 0.
      await commit(db, 12, { 1: "b" }); // Metadata in partition 0, object in 1.
      await change(db, OUT_OF_DATE, 0);
      await change(db, OUT_OF_DATE, 1);
      await change(db, OUT_OF_DATE, 2);
      ok(!db.isReadable(0));
      deepEqual((await db.loadPartitionTable())?.cells.map(({ state }) => state), [0, 0, 0]);
    });
    deepEqual(await saved(place), [[0, 1, 12, 0], [1, 1, 12, 0], [2, 1, 0, 0]]);
    // The position survives a repetition, and a corrupted cell starts again.
    await withDatabase(place, async (db) => {
      await change(db, OUT_OF_DATE, 0);
      await change(db, CORRUPTED, 1);
      await change(db, OUT_OF_DATE, 1);
    });
    deepEqual(await saved(place), [[0, 1, 12, 0], [1, 1, 0, 0], [2, 1, 0, 0]]);
  });

  test("an own cell that gets out of date in backup mode resumes at the backup tid", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 12, { 0: "a" });
      await db.setBackupTid(tid(11));
      await change(db, OUT_OF_DATE, 0);
    });
    deepEqual((await saved(place))[0], [0, 1, 11, 0]);
  });

  test("a new own cell starts from the last pack unless it is readable", async (place) => {
    await withDatabase(place, async (db) => {
      await db.setNid(SELF);
      const cells = [0, 1].map((partition) => ({ partition, nid: 2, state: UP_TO_DATE }));
      await db.changePartitionTable(1, 0, cells, true);
      await change(db, OUT_OF_DATE, 0, tid(42));
      await change(db, UP_TO_DATE, 1, tid(42));
      await change(db, UP_TO_DATE, 0, tid(43)); // Not new: `pack` stays.
      deepEqual(await db.completedPacks(), [
        { partition: 0, pack: 42n },
        { partition: 1, pack: 0n },
      ]);
    });
    deepEqual(await saved(place), [[0, 1, -1, 42], [0, 2, -1, null], [1, 1, -1, 0], [
      1,
      2,
      -1,
      null,
    ]]);
  });

  test("a discarded cell is removed", async (place) => {
    await withInitialized(place, async (db) => {
      await db.changePartitionTable(2, 0, [
        { partition: 0, nid: SELF, state: DISCARDED },
        { partition: 0, nid: 2, state: UP_TO_DATE },
      ], false);
      ok(!db.isAssigned(0));
      await db.changePartitionTable(3, 0, [{ partition: 0, nid: 2, state: DISCARDED }], false);
    });
    deepEqual(await saved(place), [[1, 1, -1, 0], [2, 1, -1, 0]]);
  });

  test("changePartitionTable() refuses a partition that has no place in the tables", (place) =>
    withInitialized(place, async (db) => {
      await rejects(change(db, UP_TO_DATE, 65536), LimitError);
      await change(db, UP_TO_DATE, 65535);
    }));

  test("setNid() gives a copy cells of its own, which have what was copied", async (place) => {
    await withInitialized(place, async (db) => {
      await db.changePartitionTable(2, 1, [
        { partition: 0, nid: 2, state: UP_TO_DATE },
        { partition: 1, nid: SELF, state: OUT_OF_DATE },
        { partition: 2, nid: SELF, state: CORRUPTED },
      ], false);
      await commit(db, 30, { 3: "x" });
      await db.setNid(5);
      ok(db.isAssigned(0) && db.isAssigned(2) && !db.isReadable(0) && !db.isReadable(2));
      deepEqual([...await db.cells.resumePoints()], [[0, tid(30)], [1, tid(0)], [2, tid(0)]]);
      deepEqual(await db.loadPartitionTable().then((table) => table?.cells.length), 7);
    });
    deepEqual(await saved(place), [
      [0, SELF, -1, null],
      [0, 2, -1, null],
      [0, 5, 30, 0],
      [1, SELF, 0, null],
      [1, 5, 0, 0],
      [2, SELF, -3, null],
      [2, 5, 0, 0],
    ]);
  });
}
