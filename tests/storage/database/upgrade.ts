/** Databases of older versions, made from one of the current version. */

import { deepEqual, equal, rejects } from "node:assert/strict";
import { CellState } from "../../../protocol/enums.ts";
import {
  type Backend,
  commit,
  initialize,
  type Place,
  read,
  tid,
  withDatabase,
} from "./support.ts";

/** Each step goes back one version. */
const DOWNGRADES: readonly (readonly string[])[] = [
  [
    "CREATE TABLE pt4 AS SELECT * FROM pt",
    "DROP TABLE pt",
    "CREATE TABLE pt (`partition` INTEGER NOT NULL, nid INTEGER NOT NULL, tid BIGINT NOT NULL, " +
    "PRIMARY KEY (`partition`, nid))",
    "INSERT INTO pt SELECT `partition`, nid, tid FROM pt4",
    "DROP TABLE pt4",
    "INSERT INTO config VALUES ('partitions', '3')",
    "DROP TABLE pack",
  ],
  [
    "CREATE TABLE pt3 AS SELECT * FROM pt",
    "DROP TABLE pt",
    "CREATE TABLE pt (rid INTEGER NOT NULL, nid INTEGER NOT NULL, state SMALLINT NOT NULL, " +
    "PRIMARY KEY (rid, nid))",
    "INSERT INTO pt SELECT `partition`, nid, CASE tid WHEN -1 THEN 0 WHEN -2 THEN 2 " +
    "WHEN -3 THEN 4 ELSE 1 END FROM pt3",
    "DROP TABLE pt3",
  ],
  [
    "CREATE TABLE obj2 AS SELECT * FROM obj",
    "DROP TABLE obj",
    "CREATE TABLE obj (`partition` INTEGER NOT NULL, tid BIGINT NOT NULL, oid BIGINT NOT NULL, " +
    "data_id BIGINT, value_tid BIGINT, PRIMARY KEY (`partition`, tid, oid))",
    "INSERT INTO obj SELECT `partition`, tid, oid, data_id, value_tid FROM obj2",
    "DROP TABLE obj2",
  ],
  [
    "DROP TABLE ttrans",
    "CREATE TABLE ttrans (ttid BIGINT)",
  ],
];

async function downgrade(place: Place, to: number): Promise<void> {
  for (let version = 3; version >= to; version--) {
    for (const sql of DOWNGRADES[3 - version] ?? []) await place.query(`${sql}; SELECT 1`);
  }
  await place.query(
    to === 0
      ? "DELETE FROM config WHERE name = 'version'; SELECT 1"
      : `UPDATE config SET value = '${to}' WHERE name = 'version'; SELECT 1`,
  );
}

async function makeDatabase(place: Place): Promise<void> {
  await withDatabase(place, async (db) => {
    await initialize(db);
    await commit(db, 10, { 3: "a", 4: "b" });
    await db.changePartitionTable(2, 1, [
      { partition: 0, nid: 2, state: CellState.FEEDING },
      { partition: 1, nid: 2, state: CellState.OUT_OF_DATE },
      { partition: 2, nid: 2, state: CellState.CORRUPTED },
    ], false);
  });
}

async function checkUpgraded(place: Place): Promise<void> {
  await withDatabase(place, async (db) => {
    equal(await read(db, 3), "a");
    equal(await read(db, 4, 10), "b");
    equal(db.nid, 1);
    equal(db.partitions, 3);
    await commit(db, 20, { 3: "new" });
    equal(await read(db, 3), "new");
    deepEqual(await db.packOrders(tid(0)), []);
  });
  const rows = await place.query("SELECT * FROM pt ORDER BY 1, 2");
  deepEqual(rows.map((row) => row.map((value) => value === null ? null : Number(value))), [
    [0, 1, -1, 0],
    [0, 2, -2, null],
    [1, 1, -1, 0],
    [1, 2, 0, null],
    [2, 1, -1, 0],
    [2, 2, -3, null],
  ]);
  const config = await place.query("SELECT name FROM config WHERE name = 'partitions'");
  deepEqual(config, []);
}

/** Registers the tests of upgrades for a back-end. */
export function testUpgrades(backend: Backend): void {
  const test = (name: string, body: (place: Place) => Promise<void>) =>
    Deno.test(`${backend.name}: ${name}`, () => backend.withPlace(body));

  for (const version of [0, 1, 2, 3]) {
    test(`a database of version ${version} is upgraded`, async (place) => {
      await makeDatabase(place);
      await downgrade(place, version);
      await checkUpgraded(place);
    });
  }

  test("unfinished transactions of version 0 prevent the upgrade", async (place) => {
    await makeDatabase(place);
    await downgrade(place, 0);
    await place.query("INSERT INTO ttrans VALUES (7); SELECT 1");
    await rejects(place.open(), /unfinished transactions of a version that is too old/);
  });

  test("a step whose table was replaced before a crash is not repeated", async (place) => {
    for (const version of [2, 3]) {
      await makeDatabase(place);
      await place.query(
        `UPDATE config SET value = '${version}' WHERE name = 'version'; SELECT 1`,
      );
      await checkUpgraded(place);
      await withDatabase(place, () => Promise.resolve(), { reset: true });
    }
  });

  test("a rebuild that was interrupted is done again, or finished", async (place) => {
    await makeDatabase(place);
    await downgrade(place, 1);
    // Not finished.
    await place.query("CREATE TABLE new_obj AS SELECT * FROM obj WHERE tid < 0; SELECT 1");
    // Finished, except for its name.
    await place.query(
      "CREATE TABLE new_pt (`partition` INTEGER NOT NULL, nid INTEGER NOT NULL, " +
        "tid BIGINT NOT NULL, pack BIGINT, PRIMARY KEY (`partition`, nid)); SELECT 1",
    );
    await place.query(
      "INSERT INTO new_pt SELECT rid, nid, CASE state WHEN 0 THEN -1 WHEN 2 THEN -2 " +
        "ELSE 1 - state END, CASE WHEN nid = 1 THEN 0 END FROM pt; SELECT 1",
    );
    await place.query("DROP TABLE pt; SELECT 1");
    await checkUpgraded(place);
  });
}
