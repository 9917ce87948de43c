import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { DatabaseError, openDatabase } from "../../../storage/database/mod.ts";
import { openSqlDatabase } from "../../../storage/database/sql_database.ts";
import { write } from "../../../storage/database/sql.ts";
import { openSqlite } from "../../../storage/database/sqlite.ts";
import { testCrashes } from "./crash.ts";
import { sqliteBackend } from "./sqlite_backend.ts";
import {
  bytes,
  commit,
  databaseOptions,
  initialize,
  metadata,
  objectData,
  oid,
  openError,
  read,
  tid,
  withDatabase,
  withInitialized,
} from "./support.ts";

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "neo-sqlite-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

testCrashes("SQLite", async (test) => {
  await sqliteBackend("SQLite", "").withPlace(test);
}, async (place, step) => {
  const victim = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("crash_victim.ts", import.meta.url).href, place.address, step],
    stdout: "piped",
  }).spawn();
  try {
    const { value } = await victim.stdout.getReader().read();
    equal(new TextDecoder().decode(value), "ready\n");
  } finally {
    victim.kill("SIGKILL");
    await victim.status;
  }
});

Deno.test("openDatabase() keeps everything of a memory database until it is closed", async () => {
  const db = await openDatabase("SQLite", databaseOptions(":memory:"));
  await initialize(db);
  await commit(db, 10, { 3: "a" });
  equal(await read(db, 3), "a");
  await db.close();
});

Deno.test("openSqlite() gives an engine that ends its commit before it is closed", () =>
  withFolder(async (folder) => {
    const options = databaseOptions(`${folder}/a.sqlite`);
    const engine = await openSqlite(options);
    const committing = engine.commit([
      write("CREATE TABLE t (x)"),
      write("INSERT INTO t VALUES (1)"),
    ], true);
    await engine.close();
    await committing;
    const again = await openSqlite(options);
    deepEqual(await again.read("SELECT x FROM t", []), [[1n]]);
    await again.close();
  }));

Deno.test("openDatabase() refuses a storage engine with SQLite", async () => {
  const message = await openError("SQLite", databaseOptions(":memory:", { engine: "InnoDB" }));
  equal(message, "DatabaseError: SQLite has no storage engine to choose, 'InnoDB' is refused");
});

Deno.test("openDatabase() says why a file can not be used", () =>
  withFolder(async (folder) => {
    const missing = await openError("SQLite", databaseOptions(`${folder}/no/neo.sqlite`));
    ok(missing.startsWith("DatabaseError: the database file can not be opened: No such file"));
    await Deno.writeTextFile(`${folder}/text`, "This is not a database. ".repeat(50));
    const text = await openError("SQLite", databaseOptions(`${folder}/text`));
    equal(text, "DatabaseError: SQLite: file is not a database");
    // A failure releases the lock.
    equal(await openError("SQLite", databaseOptions(`${folder}/text`)), text);
  }));

Deno.test("openDatabase() refuses to deduplicate a SQLite database that holds duplicates", () =>
  sqliteBackend("SQLite", "").withPlace(async (place) => {
    await withInitialized(place, (db) => commit(db, 10, { 3: "same", 4: "same" }));
    await rejects(place.open({ dedup: true }), /holds duplicates/);
    await withDatabase(place, async (db) => equal(await read(db, 3), "same"));
  }));

Deno.test("a SQLite database that is full fails and loses nothing that was acknowledged", () =>
  withFolder(async (folder) => {
    const options = databaseOptions(`${folder}/neo.sqlite`);
    const engine = await openSqlite(options);
    const db = await openSqlDatabase(engine, options);
    await initialize(db);
    await commit(db, 10, { 3: "acknowledged" });
    await db.flush();
    await engine.commit([write("PRAGMA max_page_count = 1")], false); // The present size, in fact.
    const dataId = await db.storeData(oid(3), objectData(new Uint8Array(100_000)));
    const vote = db.vote(tid(20), [{ oid: oid(3), dataId, dataSerial: null }], metadata(), null);
    const full = { name: "DatabaseError", message: "SQLite: database or disk is full" };
    await Promise.all([
      rejects(vote, full),
      rejects(db.lock(tid(20), tid(23), false), full),
      rejects(db.loadData(dataId), full),
    ]);
    equal((await db.failed).message, full.message);
    await rejects(db.lastSerial(oid(3)), full);
    await rejects(db.flush(), full);
    await db.close();
    const again = await openDatabase("SQLite", options);
    equal(await read(again, 3), "acknowledged");
    deepEqual(await again.lockedTransactions(), new Map());
    await again.close();
  }));

Deno.test("what was committed without fsync gets durable even if nothing else is to be written", () =>
  sqliteBackend("SQLite", "").withPlace(async (place) => {
    const wal = `${place.address.slice("file:".length)}-wal`;
    const size = async () => (await Deno.stat(wal)).size;
    await withInitialized(place, async (db) => {
      // SQLite does an fsync of the WAL when, and only when, it appends a commit to it.
      for (const durable of [() => db.flush(), () => db.lock(tid(1), tid(4), false)]) {
        await db.flush();
        const id = await db.storeData(oid(3), objectData("a"));
        await db.loadData(id);
        const before = await size();
        await durable();
        ok(await size() > before);
      }
      const before = await size();
      await db.flush();
      equal(await size(), before, "all was durable");
    }, { setTimer: () => () => {} });
    deepEqual(
      await place.query("SELECT name FROM config ORDER BY 1"),
      [
        "name",
        "nid",
        "ptid",
        "replicas",
        "version",
      ].map((name) => [name]),
    );
  }));

Deno.test("a SQLite database waits for another process that uses it", () =>
  sqliteBackend("SQLite", "").withPlace(async (place) => {
    await withInitialized(place, async (db) => {
      const other = new DatabaseSync(place.address.slice("file:".length));
      try {
        other.exec("BEGIN IMMEDIATE");
        const done = commit(db, 10, { 3: "a" });
        equal(await db.lastSerial(oid(6)), null, "reads are not stalled");
        other.exec("COMMIT");
        await done;
      } finally {
        other.close();
      }
      equal(await read(db, 3), "a");
    });
  }));

Deno.test("pragmas of the URI are applied", () =>
  withFolder(async (folder) => {
    const journal = async (parameters: string) => {
      const path = `${folder}/${parameters.length}.sqlite`;
      const db = await openDatabase("SQLite", databaseOptions(`file:${path}?${parameters}`));
      await initialize(db);
      await commit(db, 10, { 3: "a" });
      equal(await read(db, 3), "a");
      await db.close();
      const file = new DatabaseSync(path);
      const row = file.prepare("PRAGMA journal_mode").get();
      file.close();
      return row?.journal_mode;
    };
    equal(await journal("cache_size=-4000&synchronous=normal"), "wal");
    equal(await journal("synchronous=off"), "wal");
    equal(await journal("journal_mode=truncate"), "delete", "only WAL is kept in the file");
  }));

Deno.test("tables of SQLite are those of other implementations", () =>
  sqliteBackend("SQLite", "").withPlace(async (place) => {
    await withDatabase(place, () => Promise.resolve(), { dedup: true });
    const normal = (sql: unknown) =>
      String(sql).replace(/--.*/g, "").replace(/\s+/g, " ").replace(/ ?([(),]) ?/g, "$1").trim();
    const schema = async (query: (sql: string) => Promise<unknown[][]>) => {
      const rows = await query("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL");
      return new Map(rows.map(([name, sql]) => [name, normal(sql)]));
    };
    const ours = await schema(place.query);
    equal(ours.get("_data_i1"), "CREATE UNIQUE INDEX _data_i1 ON data(hash,compression)");
    ours.delete("_data_i1");
    const path = new URL("../../fixtures/databases/refdb1.sqlite", import.meta.url).pathname;
    await withFolder(async (folder) => {
      await Deno.copyFile(path, `${folder}/copy`);
      const file = new DatabaseSync(`${folder}/copy`);
      const theirs = await schema((sql) =>
        Promise.resolve(file.prepare(sql).all().map((row) => Object.values(row)))
      );
      file.close();
      deepEqual(ours, theirs);
    });
  }));

Deno.test("an error that is not one of the database has its type too", async () => {
  const db = await openDatabase("SQLite", databaseOptions(":memory:"));
  await initialize(db);
  const wrong = { oid: oid(3), dataId: 1n << 70n, dataSerial: null };
  await rejects(
    db.vote(tid(10), [wrong], { ...metadata(), user: bytes("u") }, null),
    DatabaseError,
  );
  await db.close();
});
