/** What a node does with a database before it is operational. */

import { deepEqual, equal } from "node:assert/strict";
import { CellState } from "../../../../protocol/enums.ts";
import {
  commit,
  count,
  initialize,
  metadata,
  objectData,
  oid,
  PARTITIONS,
  read,
  type Register,
  SELF,
  store,
  tid,
  voteAll,
  withDatabase,
  withInitialized,
} from "../support.ts";

/** Registers these tests. */
export function testRecovery(test: Register): void {
  test("a voted transaction is reported after a restart, and dropped", async (place) => {
    await withInitialized(place, async (db) => {
      await voteAll(db, 10, { 3: "a" });
      const objects = [await store(db, 4, "without metadata")];
      await db.vote(tid(14), objects, null, null);
      await db.vote(tid(18), [], metadata(), { oids: null, tid: tid(5) });
      await db.lock(tid(18), tid(21), false);
    });
    await withDatabase(place, async (db) => {
      deepEqual(
        await db.lockedTransactions(),
        new Map([[tid(10), null], [tid(14), null], [tid(18), tid(21)]]),
      );
      await db.dropUnfinished();
      deepEqual(await db.lockedTransactions(), new Map());
      equal(await db.lastSerial(oid(3)), null);
    });
    for (const table of ["data", "tobj", "ttrans", "pack"]) equal(await count(place, table), 0);
  });

  test("validate() commits whatever exists of a transaction", async (place) => {
    await withInitialized(place, async (db) => {
      const objects = [await store(db, 3, "a")];
      await db.vote(tid(10), objects, metadata([3]), { oids: null, tid: tid(5) });
      await db.vote(tid(14), [await store(db, 4, "b")], null, null);
      await db.vote(tid(18), [], metadata([7]), null);
    });
    await withDatabase(place, async (db) => {
      await db.validate(tid(10), tid(13));
      await db.validate(tid(14), tid(17));
      await db.validate(tid(18), tid(21));
      await db.validate(tid(30), tid(33)); // Nothing of it is here.
      deepEqual(await db.lockedTransactions(), new Map());
      equal(await read(db, 3), "a");
      equal(await db.finalTid(tid(10)), 13n);
      equal(await read(db, 4, 17), "b");
      equal(await db.transaction(tid(17)), null);
      deepEqual((await db.transaction(tid(21)))?.oids, [7n]);
      equal((await db.packOrders(tid(0)))[0]?.approved, true);
      await db.dropUnfinished();
      equal(await read(db, 3), "a");
    });
  });

  test("dropUnfinished() deletes data that was never voted", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "kept" });
      const lost = await db.storeData(oid(3), objectData("lost"));
      await db.shareData(oid(3), tid(10));
      await db.dropUnfinished();
      db.releaseData([lost]); // Late.
      equal(await read(db, 3), "kept");
    });
    equal(await count(place, "data"), 1);
  });

  test("lastIds() only looks at readable partitions", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "a" }); // Metadata in partition 1.
      await commit(db, 12, { 7: "b" }); // Metadata in partition 0, object in 1.
      deepEqual(await db.lastIds(), { lastTid: 12n, lastOid: 7n, firstTid: 10n });
      await db.changePartitionTable(2, 0, [
        { partition: 1, nid: SELF, state: CellState.OUT_OF_DATE },
      ], false);
      deepEqual(await db.lastIds(), { lastTid: 12n, lastOid: 3n, firstTid: 12n });
    }));

  test("truncate() deletes what is after in all partitions, in slices", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "kept", 4: "kept" });
      const many: Record<number, string> = {};
      for (let id = 0; id < 2500; id++) many[id * PARTITIONS] = `${id}`;
      await commit(db, 20, many);
      await commit(db, 30, { 3: "gone", 4: "gone too" });
      await db.vote(tid(40), [], metadata(), { oids: null, tid: tid(5) });
      await db.lock(tid(40), tid(43), true);
      db.unlock(tid(40), tid(43), [], true);
      await db.changePartitionTable(2, 0, [
        { partition: 1, nid: SELF, state: CellState.OUT_OF_DATE },
        { partition: 2, nid: SELF, state: CellState.DISCARDED },
      ], false);
      await db.setTruncateTid(tid(10));
      await db.truncate();
      equal(db.truncateTid, null);
      equal(await read(db, 3), "kept");
      equal(await db.lastSerial(oid(4)), 10n);
      equal(await read(db, 0), undefined);
    });
    equal(await count(place, "obj"), 2);
    equal(await count(place, "data"), 2);
    const tids = await place.query("SELECT tid FROM trans ORDER BY tid");
    deepEqual(tids.map(([id]) => Number(id)), [10], "even in a partition that is given to others");
    const cells = await place.query("SELECT tid FROM pt ORDER BY `partition`");
    deepEqual(cells.map(([id]) => Number(id)), [-1, 10]);
  });

  test("truncate() leaves nothing in a partition that is given back before it is dropped", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "kept" });
      await commit(db, 30, { 3: "gone", 6: "gone" });
      const change = (ptid: number, state: CellState) =>
        db.changePartitionTable(ptid, 0, [{ partition: 0, nid: SELF, state }], false);
      await change(2, CellState.DISCARDED);
      await db.setTruncateTid(tid(10));
      await db.truncate();
      await change(3, CellState.OUT_OF_DATE);
      equal(await read(db, 3), "kept");
      equal(await read(db, 6), undefined);
      deepEqual(await db.tidsFrom(0, tid(0), tid(100), 10), []);
    }));

  test("truncate() does nothing when it is not requested", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "kept" });
      await db.truncate();
      equal(await read(db, 3), "kept");
    }));

  test("a database that is initialized again keeps its data", async (place) => {
    await withInitialized(place, (db) => commit(db, 10, { 3: "kept" }));
    await withDatabase(place, async (db) => {
      await initialize(db);
      equal(await read(db, 3), "kept");
    });
  });
}
