/** Copying, comparing and deleting what cells hold. */

import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { CellState } from "../../../../protocol/enums.ts";
import {
  type CopiedTransaction,
  type Database,
  LimitError,
} from "../../../../storage/database/mod.ts";
import {
  bytes,
  commit,
  commitObjects,
  count,
  objectData,
  oid,
  PARTITIONS,
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

const { OUT_OF_DATE, UP_TO_DATE, DISCARDED } = CellState;

function transaction(id: number, oids: number[] = []): CopiedTransaction {
  return {
    tid: tid(id),
    ttid: tid(id - PARTITIONS),
    packed: false,
    user: bytes("user"),
    description: bytes(""),
    extension: bytes("x"),
    oids: oids.map(oid),
    pack: null,
  };
}

function change(db: Database, state: CellState, ptid = 2, partition = 0): Promise<void> {
  return db.changePartitionTable(ptid, 0, [{ partition, nid: SELF, state }], false);
}

/** Records as `[tid, oid]`. */
async function records(db: Database, first: [number, number], max: number, length = 100) {
  const found = await db.cells.records(
    0,
    { tid: tid(first[0]), oid: oid(first[1]) },
    tid(max),
    length,
  );
  return found.map(({ tid, oid }) => [Number(tid), Number(oid)]);
}

async function dropAll(db: Database): Promise<number> {
  let dropped = 0;
  for (let [partition] = db.cells.discarded; partition !== undefined;) {
    dropped += await db.cells.dropSlice(partition);
    [partition] = db.cells.discarded;
  }
  return dropped;
}

/** Registers these tests. */
export function testCellContents(test: Register): void {
  test("records() lists a range in the order of tids", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 0: "a", 3: "b", 6: "c", 1: "other partition" });
      await commit(db, 20, { 0: "d" });
      await commit(db, 30, { 3: "e" });
      deepEqual(await records(db, [0, 0], 30), [[10, 0], [10, 3], [10, 6], [20, 0], [30, 3]]);
      deepEqual(await records(db, [10, 3], 20), [[10, 3], [10, 6], [20, 0]]);
      deepEqual(await records(db, [10, 1], 30, 2), [[10, 3], [10, 6]]);
      deepEqual(await records(db, [11, 1], 30, 2), [[20, 0], [30, 3]]);
      deepEqual(await records(db, [31, 0], 30), []);
      deepEqual(await records(db, [20, 0], 19), []);
    }));

  test("addTransactions() and addObjects() copy what was committed elsewhere", (place) =>
    withInitialized(place, async (db) => {
      const pack = { approved: true, partial: true, oids: [oid(3)], packTid: tid(5) };
      db.cells.addTransactions([{ ...transaction(12, [0, 3]), pack }, transaction(15)]);
      await db.cells.addObjects([
        { oid: oid(0), tid: tid(12), data: objectData("zero", 1), dataSerial: null },
        { oid: oid(3), tid: tid(12), data: null, dataSerial: null },
      ]);
      await db.flush();
      const { pack: _, ...expected } = transaction(12, [0, 3]);
      deepEqual(await db.transaction(tid(12)), expected);
      deepEqual(
        await db.cells.packOrders(0, tid(12), tid(12)),
        new Map([
          [tid(12), { id: tid(12), ...pack }],
        ]),
      );
      deepEqual((await db.cells.packOrders(0, tid(13), tid(20))).size, 0);
      const record = await db.object(oid(0), null, null);
      deepEqual(record?.data, objectData("zero", 1));
      equal(await read(db, 3), null, "a deletion");
    }));

  test("addObjects() keeps the data of an undo once", async (place) => {
    await withInitialized(place, async (db) => {
      const undone = { oid: oid(0), data: objectData("old") };
      await db.cells.addObjects([
        { ...undone, tid: tid(10), dataSerial: null },
        { oid: oid(0), tid: tid(20), data: objectData("new"), dataSerial: null },
        { ...undone, tid: tid(30), dataSerial: tid(10) },
      ]);
      await db.cells.addObjects([{ ...undone, tid: tid(40), dataSerial: tid(30) }]);
      // What it was copied from may have been packed, or replaced.
      await db.cells.addObjects([
        { ...undone, tid: tid(50), dataSerial: tid(11) },
        { ...undone, tid: tid(60), dataSerial: tid(20) },
      ]);
      await db.flush();
      for (const id of [10, 30, 40, 50, 60]) equal(await read(db, 0, id), "old");
      equal(await read(db, 0, 20), "new");
      equal((await db.object(oid(0), tid(40), null))?.dataSerial, tid(30));
    });
    equal(await count(place, "data"), 4);
  });

  for (const dedup of [false, true]) {
    const name = dedup ? ", nor deduplicated data" : "";
    test(`addObjects() leaves no record that is not wanted any more${name}`, async (place) => {
      await withInitialized(place, async (db) => {
        const objects = [10, 20].map((id) => (
          { oid: oid(0), tid: tid(id), data: objectData(`at ${id}`), dataSerial: null }
        ));
        // Asked before all, before each object, and when the database has time.
        for (const answers of [[true, true, true, false], [true, true, false], [false]]) {
          await db.cells.addObjects(objects, () => answers.shift() ?? false);
          deepEqual(answers, []);
        }
        await db.flush();
        equal(await count(place, "data"), 0);
        await db.cells.addObjects(objects, () => true);
        await db.flush();
        deepEqual(await records(db, [0, 0], 100), [[10, 0], [20, 0]]);
      }, { dedup });
      equal(await count(place, "data"), 2);
    });
  }

  test("addObjects() writes nothing more after dropUnfinished()", (place) =>
    withInitialized(place, async (db) => {
      const added = db.cells.addObjects([
        { oid: oid(0), tid: tid(10), data: objectData("a"), dataSerial: null },
      ]);
      await Promise.all([added, db.dropUnfinished()]);
      await db.flush();
      deepEqual(await records(db, [0, 0], 100), []);
    }));

  test("deleteObjects() deletes nothing that is not wanted any more", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 12, { 0: "a" });
      await db.cells.deleteObjects(0, [{ tid: tid(12), oid: oid(0) }], () => false);
      equal(await read(db, 0), "a");
    }));

  test("truncate() and dropSlice() see what was added just before", async (place) => {
    await withInitialized(place, async (db) => {
      await db.setTruncateTid(tid(5));
      db.cells.addTransactions([transaction(12)]);
      await db.truncate();
      deepEqual(await db.tidsFrom(0, tid(0), tid(100), 10), []);
      db.cells.addTransactions([transaction(15)]);
      const discarded = change(db, DISCARDED);
      await dropAll(db);
      await discarded;
    });
    equal(await count(place, "trans"), 0);
  });

  test("addObjects() and addTransactions() refuse what the database can't hold", (place) =>
    withInitialized(place, async (db) => {
      const huge = tid(1n << 63n);
      await rejects(
        db.cells.addObjects([{ oid: oid(0), tid: huge, data: objectData("a"), dataSerial: null }]),
        LimitError,
      );
      throws(() => db.cells.addTransactions([{ ...transaction(12), ttid: huge }]), LimitError);
      await commit(db, 10, { 0: "works" });
      equal(await read(db, 0), "works");
    }));

  test("deleteObjects() and deleteTransactions() delete records and unused data", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 12, { 0: "a", 3: "b" });
      await commit(db, 15, { 0: "c" });
      await db.cells.deleteObjects(0, [
        { tid: tid(12), oid: oid(0) },
        { tid: tid(15), oid: oid(0) },
        { tid: tid(16), oid: oid(0) },
      ]);
      db.cells.deleteTransactions(0, [tid(12)]);
      deepEqual(await records(db, [0, 0], 100), [[12, 3]]);
      deepEqual(await db.tidsFrom(0, tid(0), tid(100), 10), [tid(15)]);
      equal(await db.lastSerial(oid(0)), null);
    });
    equal(await count(place, "data"), 1);
  });

  test("the resume point of a cell that is filled is kept and never goes back", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 12, { 0: "a" });
      await change(db, OUT_OF_DATE);
      deepEqual([...await db.cells.resumePoints()], [[0, tid(12)]]);
      db.cells.setResumePoint(0, tid(50));
      db.cells.setResumePoint(0, tid(40));
      db.cells.setResumePoint(1, tid(60)); // Readable: it needs none.
      await db.flush();
    });
    await withDatabase(place, async (db) => {
      ok(db.isReadable(1));
      deepEqual([...await db.cells.resumePoints()], [[0, tid(50)]]);
      await change(db, UP_TO_DATE, 3);
      equal((await db.cells.resumePoints()).size, 0);
    });
  });

  test("lowerPack() only lowers the last completed pack, raisePack() only raises it", (place) =>
    withDatabase(place, async (db) => {
      await db.setNid(SELF);
      await db.changePartitionTable(1, 0, [{ partition: 0, nid: 2, state: UP_TO_DATE }], true);
      await db.changePartitionTable(
        2,
        0,
        [{ partition: 0, nid: SELF, state: OUT_OF_DATE }],
        false,
        tid(42),
      );
      const packs = async () => (await db.completedPacks()).map(({ pack }) => pack);
      db.cells.lowerPack(0, tid(50));
      deepEqual(await packs(), [tid(42)]);
      db.cells.lowerPack(0, tid(30));
      deepEqual(await packs(), [tid(30)]);
      db.cells.raisePack(0, tid(40));
      deepEqual(await packs(), [tid(40)]);
      db.cells.raisePack(0, tid(35));
      deepEqual(await packs(), [tid(40)]);
    }));

  test("discardUnfinished() forgets what transactions have in a partition", async (place) => {
    await withInitialized(place, async (db) => {
      const objects = await voteAll(db, 3, { 0: "a", 1: "b" });
      await voteAll(db, 4, { 3: "c" });
      db.cells.discardUnfinished(new Set([0]));
      await db.flush();
      deepEqual([...await db.lockedTransactions()], [[tid(3), null], [tid(4), null]]);
      await db.lock(tid(3), tid(6), false);
      db.unlock(tid(3), tid(6), objects.filter(({ oid }) => oid === 1n), true);
      equal(await read(db, 0), undefined);
      equal(await read(db, 1), "b");
    });
    equal(await count(place, "data"), 1);
    equal(await count(place, "tobj"), 0);
  });

  test("dropSlice() deletes partitions that were discarded, and nothing else", async (place) => {
    await withInitialized(place, async (db) => {
      for (let n = 1; n <= 300; n++) await commit(db, 10 + n, { [n]: `object ${n}` });
      await commit(db, 1000, { 0: "undone" });
      const data = await db.cells.orphans(-1n);
      equal(data.orphans.length, 0);
      deepEqual(db.cells.discarded, []);
      await change(db, DISCARDED);
      deepEqual(db.cells.discarded, [0]);
      ok(await dropAll(db) >= 200);
      deepEqual(await records(db, [0, 0], 2000), []);
      equal(await read(db, 1), "object 1");
      await db.flush();
    });
    const left = async (table: string) => {
      const [row] = await place.query(`SELECT COUNT(*) FROM ${table} WHERE \`partition\` = 0`);
      return Number(row?.[0]);
    };
    equal(await left("obj"), 0);
    equal(await left("trans"), 0);
    equal(await count(place, "obj"), 200);
    equal(await count(place, "data"), 200);
  });

  test("what was discarded before is dropped after the next whole table", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 12, { 0: "a" });
      await change(db, DISCARDED);
    });
    await withDatabase(place, async (db) => {
      deepEqual(db.cells.discarded, []);
      const cells = [0, 1, 2].map((partition) => (
        { partition, nid: partition === 0 ? 2 : SELF, state: UP_TO_DATE }
      ));
      await db.changePartitionTable(3, 0, cells, true);
      deepEqual(db.cells.discarded, [0]);
      await dropAll(db);
      equal(await db.object(oid(0), null, null), undefined);
    });
  });

  test("dropSlice() stops when the partition comes back", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 12, { 0: "a" });
      await change(db, DISCARDED);
      const slice = db.cells.dropSlice(0);
      await change(db, OUT_OF_DATE, 3);
      equal(await slice, 0);
      equal(await db.cells.dropSlice(0), 0);
      equal(await read(db, 0), "a");
    }));

  test("nothing is discarded when the operator wants to keep it", (place) => {
    const messages: string[] = [];
    const log = (_level: string, message: string) => void messages.push(message);
    return withInitialized(place, async (db) => {
      await change(db, DISCARDED);
      deepEqual(db.cells.discarded, []);
      ok(messages.some((message) => /partition 0 is discarded, its data is kept/.test(message)));
    }, { disableDropPartitions: true, log });
  });

  test("orphans() finds what a crash left, deleteOrphans() deletes it", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 12, { 0: "a" });
      await voteAll(db, 3, { 0: "voted" });
      await db.flush();
    });
    await place.query(
      "INSERT INTO data SELECT id + 100, hash, compression, value FROM data; SELECT 1",
    );
    await withDatabase(place, async (db) => {
      const running = await db.storeData(oid(1), objectData("running"));
      const { orphans, last } = await db.cells.orphans(-1n);
      equal(orphans.length, 2);
      ok(last !== null && last >= running);
      deepEqual(await db.cells.orphans(last), { orphans: [], last: null });
      await db.cells.deleteOrphans([...orphans, running]);
      deepEqual((await db.cells.orphans(-1n)).orphans, []);
      equal(text((await db.loadData(running)).data), "running");
      const shared = await store(db, 1, "again");
      await commitObjects(db, 13, [shared]);
      equal(await read(db, 1), "again");
    });
    equal(await count(place, "data"), 4);
  });
}
