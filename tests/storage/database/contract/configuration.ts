/** Opening, configuration and closing. */

import { deepEqual, equal, rejects } from "node:assert/strict";
import { MAX_TID } from "../../../../protocol/ids.ts";
import { DatabaseError, LimitError } from "../../../../storage/database/mod.ts";
import {
  commit,
  count,
  oid,
  type Register,
  text,
  tid,
  withDatabase,
  withInitialized,
} from "../support.ts";

/** Registers these tests. */
export function testConfiguration(test: Register): void {
  test("a new database is empty", (place) =>
    withDatabase(place, async (db) => {
      equal(db.clusterName, null);
      equal(db.nid, null);
      equal(db.backupTid, null);
      equal(db.truncateTid, null);
      equal(db.partitions, 0);
      equal(await db.loadPartitionTable(), null);
      deepEqual(await db.lastIds(), { lastTid: null, lastOid: null, firstTid: MAX_TID });
      deepEqual(await db.lockedTransactions(), new Map());
      deepEqual(await db.packOrders(tid(0)), []);
      deepEqual(await db.completedPacks(), []);
    }));

  test("configuration is read back, ids in hexadecimal", async (place) => {
    await withDatabase(place, async (db) => {
      await db.setClusterName("clusté");
      await db.setNid(7);
      await db.setBackupTid(tid(0xab));
      await db.setTruncateTid(tid(0xcdn));
      await db.setTruncateTid(null);
      equal(db.truncateTid, null);
    });
    await withDatabase(place, (db) => {
      equal(db.clusterName, "clusté");
      equal(db.nid, 7);
      equal(db.backupTid, 0xabn);
      equal(db.truncateTid, null);
      return Promise.resolve();
    });
    const rows = await place.query("SELECT name, value FROM config ORDER BY name");
    const values = rows.map((row) =>
      row.map((value) => value instanceof Uint8Array ? text(value) : value)
    );
    deepEqual(values, [
      ["backup_tid", "00000000000000ab"],
      ["name", "clusté"],
      ["nid", "7"],
      ["version", "4"],
    ]);
  });

  test("a database of something else is neither used nor erased", async (place) => {
    await place.query("CREATE TABLE obj (a INTEGER); CREATE TABLE visitors (a INTEGER)");
    for (const reset of [false, true]) {
      await rejects(place.open({ reset }), {
        name: "DatabaseError",
        message: "the database is not one of NEO, as it contains visitors: " +
          "give the node a database of its own",
      });
    }
    deepEqual(await count(place, "obj"), 0);
    await place.query("DROP TABLE obj; DROP TABLE visitors; CREATE TABLE config (a INTEGER)");
    await rejects(place.open(), { message: /not one of NEO, as it contains config/ });
  });

  test("a cluster name that is too long is refused", (place) =>
    withDatabase(place, async (db) => {
      await rejects(db.setClusterName("x".repeat(256)), LimitError);
    }));

  test("a database that is open is locked", (place) =>
    withDatabase(place, async () => {
      await rejects(place.open(), { name: "DatabaseError", message: "database is locked" });
    }));

  test("reset erases everything", async (place) => {
    await withInitialized(place, (db) => commit(db, 10, { 1: "a" }));
    await withDatabase(place, (db) => {
      equal(db.clusterName, null);
      equal(db.partitions, 0);
      return Promise.resolve();
    }, { reset: true });
    equal(await count(place, "obj"), 0);
  });

  test("erase() leaves no table", async (place) => {
    await withInitialized(place, async (db) => {
      await commit(db, 10, { 1: "a" });
      equal(await db.object(oid(1), tid(9), null), null); // Committed without fsync.
      await db.erase();
      await rejects(db.lastSerial(oid(1)), DatabaseError);
    });
    await rejects(place.query("SELECT * FROM config"));
    await withDatabase(place, (db) => Promise.resolve(equal(db.nid, null)));
  });

  test("a newer schema is refused", async (place) => {
    await withDatabase(place, () => Promise.resolve());
    await place.query("UPDATE config SET value = '5' WHERE name = 'version'; SELECT 1");
    await rejects(place.open(), /can not be downgraded/);
  });

  test("close() is idempotent and calls made later reject", async (place) => {
    const db = await place.open();
    await Promise.all([db.close(), db.close()]);
    await rejects(db.flush(), DatabaseError);
    await rejects(db.lastSerial(oid(1)), DatabaseError);
  });
}
