/** Packing, a slice at a time. */

import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import {
  type Database,
  PACK_START,
  type PackPosition,
  UndoPackError,
} from "../../../../storage/database/mod.ts";
import {
  commit,
  commitObjects,
  count,
  oid,
  pack,
  read,
  type Register,
  slowingTime,
  text,
  tid,
  withDatabase,
  withInitialized,
} from "../support.ts";

/** The tids of an object, descending. */
async function tids(db: Database, id: number): Promise<number[]> {
  return (await db.history(oid(id), 0, 10_000)).map(({ tid }) => Number(tid));
}

/** Registers these tests. */
export function testPacking(test: Register): void {
  test("packSlice() keeps the last record at the pack tid, unless it has no data", async (place) => {
    await withInitialized(place, async (db) => {
      const nothing = (id: number) => ({ oid: oid(id), dataId: null, dataSerial: null });
      await commit(db, 10, { 0: "a10", 3: "b10", 6: "c10", 9: "d10" });
      await commit(db, 20, { 0: "a20", 3: "b20" });
      await commitObjects(db, 30, [nothing(3), nothing(6), nothing(12)]);
      await commit(db, 40, { 0: "a40", 3: "b40" });
      await commit(db, 50, { 15: "e50" });
      equal(await pack(db, 0, 35), 7);
      deepEqual(await tids(db, 0), [40, 20]);
      equal(await read(db, 0, 20), "a20");
      deepEqual(await tids(db, 3), [40], "deleted, and created again since");
      deepEqual(await tids(db, 6), []);
      equal(await db.object(oid(6), null, null), undefined, "it does not exist");
      equal(await db.lastSerial(oid(6)), null);
      deepEqual(await tids(db, 9), [10]);
      deepEqual(await tids(db, 12), [], "a lone deletion");
      deepEqual(await tids(db, 15), [50], "more recent");
      equal(await pack(db, 0, 35), 0, "it is idempotent");
      equal((await db.transaction(tid(10)))?.tid, 10n, "metadata stays");
    });
    equal(await count(place, "data"), 5);
  });

  test("packSlice() of some oids leaves the others", (place) =>
    withInitialized(place, async (db) => {
      for (const id of [10, 20, 30]) await commit(db, id, { 0: "a", 3: "b", 6: "c", 1: "d" });
      equal(await pack(db, 0, 30, [3, 6, 300]), 4);
      deepEqual(await Promise.all([0, 3, 6, 1].map(async (id) => (await tids(db, id)).length)), [
        3,
        1,
        1,
        3,
      ]);
      equal(await pack(db, 0, 30, []), 0);
      equal(await pack(db, 1, 20), 1, "another partition");
      deepEqual(await tids(db, 1), [30, 20]);
    }));

  test("packSlice() keeps data that a later undo shares, and its link", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "first" });
      await commit(db, 20, { 3: "second" });
      const dataId = await db.shareData(oid(3), tid(10)) ?? null;
      await commitObjects(db, 30, [{ oid: oid(3), dataId, dataSerial: tid(10) }]);
      equal(await pack(db, 0, 30), 2);
      const record = await db.object(oid(3), null, null);
      equal(record?.dataSerial, 10n);
      equal(await read(db, 3), "first");
    });
    equal(await count(place, "data"), 1);
  });

  test("packSlice() goes through a long history in several slices", (place) =>
    withInitialized(place, async (db) => {
      await place.query(history(3, 500));
      await place.query(history(6, 3));
      const lengths: number[] = [];
      let position: PackPosition | null = PACK_START;
      while (position !== null) {
        const slice = await db.packSlice(
          0,
          { packTid: tid(490), oids: null },
          position,
          () => true,
        );
        lengths.push(slice.deleted);
        position = slice.next;
        equal(Number((await db.object(oid(3), null, null))?.serial), 500);
      }
      ok(lengths.length > 10 && Math.max(...lengths) <= 50, `${lengths}`);
      deepEqual(await tids(db, 3), [500, 499, 498, 497, 496, 495, 494, 493, 492, 491]);
      deepEqual(await tids(db, 6), []);
    }, { now: slowingTime() }));

  test("packSlice() does nothing when it is not wanted any more", (place) =>
    withInitialized(place, async (db) => {
      for (const id of [10, 20]) await commit(db, id, { 3: "a" });
      const scope = { packTid: tid(20), oids: null };
      deepEqual(await db.packSlice(0, scope, PACK_START, () => false), {
        next: PACK_START,
        deleted: 0,
      });
      deepEqual(await tids(db, 3), [20, 10]);
    }));

  test("packSlice() spares the data of running transactions", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "shared", 6: "dropped" });
      await commit(db, 20, { 3: "b", 6: "b" });
      const [kept, dropped] = [
        await db.shareData(oid(3), tid(10)),
        await db.shareData(oid(6), tid(10)),
      ];
      ok(typeof kept === "bigint" && typeof dropped === "bigint");
      const objects = [{ oid: oid(3), dataId: kept, dataSerial: tid(10) }];
      await db.vote(tid(27), objects, null, null);
      equal(await pack(db, 0, 20), 2);
      await rejects(db.shareData(oid(3), tid(10)), UndoPackError);
      equal(text((await db.loadData(dropped)).data), "dropped");
      db.releaseData([dropped]);
      await db.flush();
      await rejects(db.loadData(dropped));
      db.unlock(tid(27), tid(30), objects, false);
      equal(await read(db, 3), "shared");
      equal(await pack(db, 0, 30), 1);
      equal(await read(db, 3), "shared");
    });
    equal(await count(place, "data"), 2);
  });

  test("shareData() during a pack gives data that stays, or UndoPackError", async (place) => {
    const objects = 60;
    await withInitialized(place, async (db) => {
      const all = (value: string) =>
        Object.fromEntries(Array.from({ length: objects }, (_, i) => [i * 3, `${value}${i}`]));
      await commit(db, 10, all("old"));
      await commit(db, 20, all("new"));
      const packing = pack(db, 0, 20);
      const held: bigint[] = [];
      let refused = 0;
      for (let i = 0; i < objects; i++) {
        // The last ones first: some are packed already, others not yet.
        const id = oid((objects - 1 - i) * 3);
        const shared = await db.shareData(id, tid(10)).catch((error) => {
          ok(error instanceof UndoPackError, `${error}`);
          return null;
        });
        if (typeof shared === "bigint") held.push(shared);
        else refused++;
      }
      equal(await packing, objects);
      equal(held.length + refused, objects);
      for (const id of held) ok(text((await db.loadData(id)).data).startsWith("old"));
      await rejects(db.shareData(oid(0), tid(10)), UndoPackError);
      db.releaseData(held);
    }, { now: slowingTime() });
    equal(await count(place, "data"), objects);
  });

  test("setCompletedPack() is remembered", async (place) => {
    await withInitialized(place, async (db) => {
      await db.setCompletedPack(1, tid(30));
    });
    await withDatabase(place, async (db) => {
      deepEqual((await db.completedPacks()).map(({ pack }) => Number(pack)), [0, 30, 0]);
    });
  });

  function history(id: number, length: number): string {
    const rows = Array.from({ length }, (_, i) => `(0, ${id}, ${i + 1}, NULL, 7)`);
    return `INSERT INTO obj VALUES ${rows.join(", ")}`;
  }
}
