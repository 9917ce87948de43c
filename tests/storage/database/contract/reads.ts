/** Reads of committed objects and transactions. */

import { deepEqual, equal, ok } from "node:assert/strict";
import { MAX_TID } from "../../../../protocol/ids.ts";
import {
  commit,
  commitObjects,
  oid,
  type Register,
  text,
  tid,
  withDatabase,
  withInitialized,
} from "../support.ts";

/** Registers these tests. */
export function testReads(test: Register): void {
  test("object() finds the record at, before, or last", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "one" });
      await commit(db, 20, { 3: "two" });
      await commitObjects(db, 30, [{ oid: oid(3), dataId: 0n, dataSerial: tid(10) }]);
      const find = async (at: number | null, before: number | null) => {
        const record = await db.object(
          oid(3),
          at === null ? null : tid(at),
          before === null ? null : tid(before),
        );
        return record && [
          Number(record.serial),
          record.nextSerial && Number(record.nextSerial),
          record.data && text(record.data.data),
          record.dataSerial && Number(record.dataSerial),
        ];
      };
      const first = [10, 20, "one", null];
      const second = [20, 30, "two", null];
      const third = [30, null, "one", 10];
      deepEqual(await find(null, null), third);
      deepEqual(await find(10, null), first);
      deepEqual(await find(20, null), second);
      deepEqual(await find(15, null), null);
      deepEqual(await find(null, 20), first);
      deepEqual(await find(null, 21), second);
      deepEqual(await find(null, 1000), third);
      deepEqual(await find(null, 10), null);
      equal(await db.object(oid(6), null, tid(10)), undefined);
      equal(await db.object(oid(6), tid(10), null), undefined);
    }));

  test("history() is by descending tid", (place) =>
    withInitialized(place, async (db) => {
      for (let i = 1; i <= 4; i++) await commit(db, i * 10, { 3: "x".repeat(i) });
      const history = async (first: number, last: number) =>
        (await db.history(oid(3), first, last)).map(({ tid, size }) => [Number(tid), size]);
      deepEqual(await history(0, 2), [[40, 4], [30, 3]]);
      deepEqual(await history(1, 9), [[30, 3], [20, 2], [10, 1]]);
      deepEqual(await history(4, 9), []);
      deepEqual(await db.history(oid(6), 0, 9), []);
    }));

  test("tids() and tidsFrom() list transactions", (place) =>
    withInitialized(place, async (db) => {
      for (const id of [10, 11, 12, 13, 16]) await commit(db, id, { 3: "x" });
      deepEqual(await db.tids([0, 1, 2], 0, 3), [16n, 13n, 12n]);
      deepEqual(await db.tids([0, 1, 2], 2, 9), [12n, 11n, 10n]);
      deepEqual(await db.tids([1], 1, 2), [13n]);
      deepEqual(await db.tids([], 0, 9), []);
      deepEqual(await db.tidsFrom(1, tid(10), tid(16), 2), [10n, 13n]);
      deepEqual(await db.tidsFrom(1, tid(11), tid(15), 9), [13n]);
    }));

  test("oidsFrom() examines objects and lists those that exist", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 0: "a", 3: "b", 6: "c", 1: "other partition" });
      await commitObjects(db, 20, [{ oid: oid(3), dataId: null, dataSerial: null }]);
      await commit(db, 30, { 9: "d" });
      const list = async (min: number, at: number, length: number) => {
        const { next, oids } = await db.oidsFrom(0, oid(min), tid(at), length);
        return [next === null ? null : Number(next), oids.map(Number)];
      };
      deepEqual(await list(0, 30, 9), [null, [0, 6, 9]]);
      deepEqual(await list(0, 10, 9), [null, [0, 3, 6]]);
      deepEqual(await list(0, 30, 2), [6, [0]]);
      deepEqual(await list(6, 30, 2), [12, [6, 9]]);
      deepEqual(await list(12, 30, 2), [null, []]);
    }));

  test("undoHistory() leaves out most of a long history", (place) =>
    withInitialized(place, async (db) => {
      for (let id = 10; id < 100; id++) await commit(db, id, { 3: `${id}` });
      deepEqual(await db.undoHistory(oid(3), tid(20), tid(50)), {
        previous: 19n,
        later: [{ tid: 49n, dataSerial: null }],
      });
    }));

  test("undoHistory() gives the neighbours of the undone revision", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "one" });
      await commit(db, 20, { 3: "two" });
      await commitObjects(db, 30, [{ oid: oid(3), dataId: 0n, dataSerial: tid(10) }]);
      deepEqual(await db.undoHistory(oid(3), tid(20), MAX_TID), {
        previous: 10n,
        later: [{ tid: 30n, dataSerial: 10n }],
      });
      const undo = { tid: 30n, dataSerial: 10n };
      for (
        const [snapshot, last] of [[31, []], [25, [20]], [21, [20]], [20, []], [5, []]] as const
      ) {
        deepEqual(await db.undoHistory(oid(3), tid(10), tid(snapshot)), {
          previous: null,
          later: [...last.map((id) => ({ tid: tid(id), dataSerial: null })), undo],
        });
      }
      equal(await db.undoHistory(oid(3), tid(15), MAX_TID), null);
      equal(await db.undoHistory(oid(6), tid(10), MAX_TID), null);
    }));

  test("devicePath() names the host and the device", (place) =>
    withDatabase(place, async (db) => {
      const path = await db.devicePath();
      equal(path.length, 2);
      ok(path.every((part) => part !== ""));
    }));
}
