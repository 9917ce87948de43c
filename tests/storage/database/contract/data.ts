/** Raw data: ids, references, deduplication. */

import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { CellState } from "../../../../protocol/enums.ts";
import { LimitError, UndoPackError } from "../../../../storage/database/mod.ts";
import {
  bytes,
  commit,
  commitObjects,
  count,
  initialize,
  objectData,
  oid,
  read,
  type Register,
  SELF,
  store,
  text,
  tid,
  voteAll,
  withDatabase,
  withInitialized,
} from "../support.ts";

/** Registers these tests. */
export function testData(test: Register): void {
  test("data ids are in the range of the partition and continue after a restart", async (place) => {
    const range = 1n << 48n;
    await withInitialized(place, async (db) => {
      const ids = await Promise.all(
        [3, 4, 3, 5].map((id) => db.storeData(oid(id), objectData(`data of ${id}`))),
      );
      deepEqual(ids, [0n, range, 1n, 2n * range]);
      const dataId = ids[0] ?? null;
      await commitObjects(db, 10, [{ oid: oid(3), dataId, dataSerial: null }]);
    });
    await withDatabase(place, async (db) => {
      equal(await db.storeData(oid(3), objectData("next")), 1n, "1 was left by a crash");
      equal(text((await db.loadData(1n)).data), "next");
      equal(await read(db, 3), "data of 3");
    });
  });

  test("data stored by transactions that voted survives a restart", async (place) => {
    await withInitialized(place, async (db) => {
      await voteAll(db, 10, { 3: "voted" });
    });
    await withDatabase(place, async (db) => {
      equal(await db.storeData(oid(3), objectData("next")), 1n);
      await db.validate(tid(10), tid(13));
      equal(await read(db, 3), "voted");
    });
  });

  test("ids of data are not used twice when the partition table is received again", (place) =>
    withInitialized(place, async (db) => {
      const objects = await voteAll(db, 10, { 3: "first" });
      db.unlock(tid(10), tid(13), objects, true);
      const second = store(db, 3, "second");
      await initialize(db);
      deepEqual(
        [objects[0]?.dataId, (await second).dataId, (await store(db, 3, "third")).dataId],
        [0n, 1n, 2n],
      );
    }));

  test("loadData() reads data that is not voted", (place) =>
    withInitialized(place, async (db) => {
      const data = objectData(new Uint8Array([0, 1, 0x27, 0x5c, 255]), 1);
      const id = await db.storeData(oid(3), data);
      const loaded = await db.loadData(id);
      deepEqual({ ...loaded, data: new Uint8Array(loaded.data) }, data);
    }));

  test("empty data is not a deletion", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "" });
      equal(await read(db, 3), "");
      await commitObjects(db, 20, [{ oid: oid(3), dataId: null, dataSerial: null }]);
      equal(await read(db, 3), null);
      equal(await db.lastSerial(oid(3)), 20n);
      deepEqual(await db.history(oid(3), 0, 9), [{ tid: 20n, size: 0 }, { tid: 10n, size: 0 }]);
    }));

  test("releaseData() deletes what nothing refers to", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "kept" });
      const shared = await db.shareData(oid(3), tid(10));
      const withdrawn = await db.storeData(oid(3), objectData("withdrawn"));
      ok(typeof shared === "bigint");
      db.releaseData([shared, withdrawn]);
      db.releaseData([shared]); // Everything it held is already released: nothing happens.
      await db.flush();
      equal(await read(db, 3), "kept");
      await rejects(db.loadData(withdrawn));
    });
    equal(await count(place, "data"), 1);
  });

  test("data with two references is kept until both are dropped", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "shared" });
      const id = await db.shareData(oid(3), tid(10));
      equal(await db.shareData(oid(3), tid(10)), id);
      await db.setTruncateTid(tid(1));
      ok(typeof id === "bigint");
      await db.truncate(); // The record goes.
      db.releaseData([id]);
      equal(text((await db.loadData(id)).data), "shared");
      db.releaseData([id]);
    });
    equal(await count(place, "data"), 0);
  });

  test("shareData() tells records without data from missing ones", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "a" });
      await commitObjects(db, 20, [{ oid: oid(3), dataId: null, dataSerial: null }]);
      equal(await db.shareData(oid(3), tid(10)), 0n);
      equal(await db.shareData(oid(3), tid(20)), null);
      await rejects(db.shareData(oid(3), tid(15)), UndoPackError);
      await db.changePartitionTable(2, 0, [
        { partition: 0, nid: SELF, state: CellState.OUT_OF_DATE },
      ], false);
      equal(await db.shareData(oid(3), tid(15)), undefined);
    }));

  test("deduplication stores equal data once", async (place) => {
    await withInitialized(place, async (db) => {
      const [a, b, other, compressed] = await Promise.all([
        db.storeData(oid(3), objectData("same")),
        db.storeData(oid(4), objectData("same")),
        db.storeData(oid(4), objectData("other")),
        db.storeData(oid(4), objectData("same", 1)),
      ]);
      equal(a, b);
      equal(new Set([a, other, compressed]).size, 3);
      db.releaseData([a]);
      equal(text((await db.loadData(a)).data), "same");
      db.releaseData([b]);
      // It is gone: the next one is a new row.
      const again = await db.storeData(oid(4), objectData("same"));
      equal(text((await db.loadData(again)).data), "same");
    }, { dedup: true });
    // Like any database: it is not an option of the process.
    await withDatabase(place, async (db) => {
      const ids = [3, 4].map((id) => db.storeData(oid(id), objectData("twice")));
      const [a, b] = await Promise.all(ids);
      equal(a, b);
    });
  });

  test("data that is damaged is not shared with what is copied", async (place) => {
    const undone = { oid: oid(3), data: objectData("right") };
    await withInitialized(place, async (db) => {
      await db.cells.addObjects([{ ...undone, tid: tid(10), dataSerial: null }]);
    });
    await place.query("UPDATE data SET value = x'77726f6e67'; SELECT 1");
    await withDatabase(place, async (db) => {
      await db.cells.addObjects([{ ...undone, tid: tid(20), dataSerial: tid(10) }]);
      await db.flush();
      equal(await read(db, 3, 20), "right");
      equal(await read(db, 3, 10), "wrong");
    });
  });

  test("deduplication heals data that is damaged", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "right" });
    }, { dedup: true });
    await place.query("UPDATE data SET value = x'77726f6e67'; SELECT 1");
    await withDatabase(place, async (db) => {
      await commit(db, 20, { 6: "right" });
      equal(await read(db, 3), "right");
      equal(await read(db, 6), "right");
    });
    equal(await count(place, "data"), 1);
  });

  test("deduplication refuses different data with the same checksum", (place) =>
    withInitialized(place, async (db) => {
      const data = objectData("one");
      await db.storeData(oid(3), data);
      await rejects(db.storeData(oid(3), { ...data, data: bytes("two") }), LimitError);
      equal(await db.storeData(oid(3), objectData("three")), 1n, "the database goes on");
    }, { dedup: true }));
}
