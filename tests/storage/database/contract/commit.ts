/** Votes, locks, unlocks, aborts and pack orders. */

import { deepEqual, equal, rejects } from "node:assert/strict";
import { CellState } from "../../../../protocol/enums.ts";
import { MAX_TID } from "../../../../protocol/ids.ts";
import { LimitError } from "../../../../storage/database/mod.ts";
import {
  bytes,
  commit,
  count,
  metadata,
  objectData,
  oid,
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
export function testCommit(test: Register): void {
  test("a transaction goes through vote, lock and unlock", async (place) => {
    await withInitialized(place, async (db) => {
      const objects = [await store(db, 4, "four"), await store(db, 5, "five")];
      const meta = { ...metadata([5, 4, 6], "user"), extension: bytes("\0\xff") };
      await db.vote(tid(10), objects, meta, null);
      deepEqual(await db.lockedTransactions(), new Map([[tid(10), null]]));
      equal(await db.lastSerial(oid(4)), null);
      equal(await db.object(oid(4), null, null), undefined);
      equal(await db.transaction(tid(13)), null);
      await db.lock(tid(10), tid(13), false);
      deepEqual(await db.lockedTransactions(), new Map([[tid(10), tid(13)]]));
      equal(await db.finalTid(tid(10)), null);
      db.unlock(tid(10), tid(13), objects, true);
      equal(await db.lastSerial(oid(4)), 13n);
      equal(await read(db, 4), "four");
      equal(await read(db, 5), "five");
      equal(await db.finalTid(tid(10)), 13n);
      deepEqual(await db.transaction(tid(13)), {
        tid: tid(13),
        ttid: tid(10),
        packed: false,
        ...meta,
      });
      deepEqual(await db.lockedTransactions(), new Map());
    });
    equal(await count(place, "ttrans") + await count(place, "tobj"), 0);
  });

  test("reads see the writes called before, in any order of completion", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "old" });
      const objects = await voteAll(db, 17, { 3: "new", 4: "four" });
      const lock = db.lock(tid(17), tid(20), false);
      db.unlock(tid(17), tid(20), objects, true);
      const reads = await Promise.all([
        db.lastSerial(oid(3)),
        read(db, 3),
        db.history(oid(3), 0, 10),
        db.tids([0, 1, 2], 0, 10),
        db.tidsFrom(2, tid(0), MAX_TID, 10),
        db.finalTid(tid(17)),
        db.oidsFrom(1, oid(0), MAX_TID, 10),
        db.undoHistory(oid(3), tid(20), MAX_TID),
        db.lastIds(),
        lock,
      ]);
      deepEqual(reads, [
        20n,
        "new",
        [{ tid: 20n, size: 3 }, { tid: 10n, size: 3 }],
        [20n, 10n],
        [20n],
        20n,
        { next: null, oids: [4n] },
        { previous: 10n, later: [] },
        { lastTid: 20n, lastOid: 4n, firstTid: 10n },
        undefined,
      ]);
    }));

  test("a record of an object that has a later one in the queue is complete", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "old" });
      await db.flush();
      await commit(db, 20, { 3: "new" });
      const record = await db.object(oid(3), tid(10), null);
      equal(record?.nextSerial, 20n);
    }));

  test("transactions without metadata or without objects are committed", (place) =>
    withInitialized(place, async (db) => {
      const objects = [await store(db, 3, "a")];
      await db.vote(tid(10), objects, null, null);
      deepEqual(await db.lockedTransactions(), new Map([[tid(10), null]]));
      db.unlock(tid(10), tid(13), objects, false);
      equal(await db.lastSerial(oid(3)), 13n);
      equal(await db.transaction(tid(13)), null);
      await db.vote(tid(20), [], metadata([3]), null);
      await db.lock(tid(20), tid(23), false);
      db.unlock(tid(20), tid(23), [], true);
      deepEqual((await db.transaction(tid(23)))?.oids, [3n]);
    }));

  test("abort() forgets a voted transaction, its data and its pack order", async (place) => {
    await withInitialized(place, async (db) => {
      const objects = [await store(db, 3, "a"), await store(db, 4, "b")];
      const ids = objects.flatMap(({ dataId }) => dataId ?? []);
      await db.vote(tid(10), objects, metadata(), { oids: null, tid: tid(5) });
      await db.abort(tid(10), ids);
      deepEqual(await db.lockedTransactions(), new Map());
      deepEqual(await db.packOrders(tid(0)), []);
    });
    equal(await count(place, "data") + await count(place, "pack"), 0);
  });

  test("ids of 2^63 or more are refused when stored and never found", (place) =>
    withInitialized(place, async (db) => {
      const huge = 1n << 63n;
      await rejects(db.storeData(oid(huge), objectData("a")), LimitError);
      const object = { oid: oid(huge), dataId: null, dataSerial: null };
      await rejects(db.vote(tid(10), [object], null, null), LimitError);
      await rejects(db.vote(tid(huge), [], metadata(), null), LimitError);
      await rejects(db.setBackupTid(tid(huge)), LimitError);
      equal(await db.object(oid(huge), null, null), undefined);
      equal(await db.lastSerial(oid(huge)), null);
      await commit(db, 10, { 3: "a" });
      equal((await db.object(oid(3), null, tid(huge)))?.serial, 10n);
      equal(await db.object(oid(3), tid(huge), null), null);
      equal(await db.transaction(tid(huge)), null);
      equal(await db.finalTid(tid(huge)), null);
      await db.abort(tid(huge), []);
      deepEqual(await db.tidsFrom(1, tid(0), tid(huge), 9), [10n]);
      deepEqual(await db.oidsFrom(0, oid(0), tid(huge), 9), { next: null, oids: [3n] });
    }));

  test("pack orders follow their transaction", async (place) => {
    await withInitialized(place, async (db) => {
      const order = { oids: [oid(3), oid(1n << 62n)], tid: tid(5) };
      await db.vote(tid(10), [], metadata(), order);
      deepEqual(await db.packOrders(tid(0)), [], "not committed");
      await db.lock(tid(10), tid(13), true);
      db.unlock(tid(10), tid(13), [], true);
      await db.vote(tid(20), [], metadata(), { oids: null, tid: tid(6) });
      await db.lock(tid(20), tid(23), false);
      db.unlock(tid(20), tid(23), [], true);
      const first = {
        id: tid(13),
        approved: true,
        partial: true,
        oids: order.oids,
        packTid: tid(5),
      };
      const second = { id: tid(23), approved: null, partial: false, oids: null, packTid: tid(6) };
      deepEqual(await db.packOrders(tid(0)), [first, second]);
      deepEqual(await db.packOrders(tid(14)), [second]);
      await db.signPackOrders([], [tid(23), tid(99)]);
      deepEqual(await db.packOrders(tid(23)), [{ ...second, approved: false }]);
      await db.changePartitionTable(2, 0, [
        { partition: 1, nid: SELF, state: CellState.OUT_OF_DATE },
        { partition: 2, nid: SELF, state: CellState.OUT_OF_DATE },
      ], false);
      deepEqual(await db.packOrders(tid(0)), [], "no readable partition has them");
    });
  });

  test("pack orders without transaction are removed when the database is opened", async (place) => {
    await withInitialized(place, async (db) => {
      await db.vote(tid(10), [], metadata(), { oids: null, tid: tid(5) });
      await db.lock(tid(10), tid(13), true);
      db.unlock(tid(10), tid(13), [], true);
      await db.vote(tid(20), [], metadata(), { oids: null, tid: tid(5) });
    });
    await place.query("INSERT INTO pack VALUES (17, NULL, 0, NULL, 5); SELECT 1");
    await withDatabase(place, () => Promise.resolve());
    const rows = await place.query("SELECT tid FROM pack ORDER BY tid");
    deepEqual(rows.map(([id]) => Number(id)), [13, 20]);
  });
}
