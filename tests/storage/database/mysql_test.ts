import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import {
  createMysqlDatabase,
  type Database,
  LimitError,
  openDatabase,
} from "../../../storage/database/mod.ts";
import { parseMysqlAddress } from "../../../storage/database/mysql_address.ts";
import { MysqlConnection } from "../../../storage/database/mysql_connection.ts";
import { openMysql } from "../../../storage/database/mysql.ts";
import { type Value, write } from "../../../storage/database/sql.ts";
import { openSqlDatabase } from "../../../storage/database/sql_database.ts";
import { hasMariadb, Mariadb } from "../../support/mariadb.ts";
import { commitUntil, testCrashes } from "./crash.ts";
import { mysqlBackend } from "./mysql_backend.ts";
import {
  bytes,
  commit,
  commitObjects,
  databaseOptions,
  initialize,
  metadata,
  objectData,
  oid,
  openError,
  pack,
  type Place,
  read,
  store,
  tid,
  withDatabase,
  withInitialized,
} from "./support.ts";

const MIB = 1024 * 1024;

/** Kills the connections of a database, as an administrator may, and waits until they are gone. */
async function killConnections(server: Mariadb, place: Place): Promise<void> {
  const [[name] = []] = await place.query("SELECT DATABASE()");
  const list = () =>
    server.query(
      `SELECT id FROM information_schema.processlist WHERE db = '${name}' AND user = 'neo'`,
    );
  const victims = await list();
  ok(victims.length >= 1);
  for (const [id] of victims) await server.query(`KILL ${id}`);
  while ((await list()).length > 0);
}

if (hasMariadb) {
  let server: Mariadb;
  Deno.test.beforeAll(async () => {
    server = await Mariadb.start();
  });
  Deno.test.afterAll(() => server.stop());
  const backend = mysqlBackend(() => server);
  const test = (name: string, body: (place: Place) => Promise<void>) =>
    Deno.test(name, () => backend.withPlace(body));

  testCrashes("MySQL", (body) => backend.withPlace(body), async (place, step) => {
    const db = await place.open({ setTimer: () => () => {} }); // No commit by delay.
    await commitUntil(db, step);
    await server.kill();
    await db.close();
    await server.restart();
  });

  test("openDatabase() connects through TCP", async (place) => {
    const [[name] = []] = await place.query("SELECT DATABASE()");
    const db = await openDatabase("PyMySQL", databaseOptions(server.url(String(name))));
    await initialize(db);
    await commit(db, 10, { 3: "a" });
    equal(await read(db, 3), "a");
    await db.close();
  });

  test("createMysqlDatabase() creates a database once", async (place) => {
    const address = place.address.replace(/@neo\d+/, "@created`1");
    await createMysqlDatabase(address);
    await createMysqlDatabase(address);
    const db = await openDatabase("MySQL", databaseOptions(address));
    equal(db.nid, null);
    await db.close();
    const refused = place.address.replace("neo:", "nobody:");
    await rejects(createMysqlDatabase(refused), /Access denied/);
  });

  test("openDatabase() says why a server can not be used", async (place) => {
    const nobody = place.address.replace("neo:", "nobody:");
    ok((await openError("MySQL", databaseOptions(nobody))).includes("Access denied"));
    const [, name] = /@(neo\d+)\//.exec(place.address) ?? [];
    const missing = place.address.replace(`${name}/`, "missing/");
    ok((await openError("MySQL", databaseOptions(missing))).includes("Unknown database"));
    const nowhere = `${name}${server.folder}/nothing`;
    ok((await openError("MySQL", databaseOptions(nowhere))).startsWith("DatabaseError: MySQL: "));
    equal(
      await openError("MySQL", databaseOptions(place.address, { engine: "RocksDB" })),
      "DatabaseError: the server does not have storage engine RocksDB",
    );
    await server.query("SET GLOBAL max_allowed_packet = 16 * 1024 * 1024");
    try {
      equal(
        await openError("MySQL", databaseOptions(place.address)),
        "DatabaseError: the server's max_allowed_packet is 16384 KiB, it must be at least 32769 KiB: " +
          "set max_allowed_packet=64M in its configuration",
      );
    } finally {
      await server.query("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024");
    }
  });

  test("openDatabase() warns when commits are not durable", async (place) => {
    await server.query("SET GLOBAL innodb_flush_log_at_trx_commit = 2");
    try {
      const messages: string[] = [];
      const db = await place.open({
        log: (level, message) => messages.push(`${level} ${message}`),
      });
      await db.close();
      equal(messages.length, 1);
      match(messages[0] ?? "", /^warning .*innodb_flush_log_at_trx_commit is 2/);
    } finally {
      await server.query("SET GLOBAL innodb_flush_log_at_trx_commit = 1");
    }
  });

  test("openMysql() gives an engine that does not take the lock back once it is closed", async (place) => {
    const engine = await openMysql(databaseOptions(place.address));
    await engine.close();
    await rejects(engine.commit([write("SELECT 1")], true), /the database is closed/);
    await rejects(engine.read("SELECT 1", []), /the database is closed/);
    await withDatabase(place, () => Promise.resolve());
  });

  test("commit() leaves nothing of a transaction that the server rolls back", async (place) => {
    const engine = await openMysql(databaseOptions(place.address));
    const address = parseMysqlAddress(place.address, null);
    const other = await MysqlConnection.open(address, address.database, []);
    try {
      const create = "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL) ENGINE = InnoDB";
      await engine.commit([
        write(create),
        write("INSERT INTO t SELECT seq, 0 FROM seq_1_to_100"),
      ], true);
      // Of two that wait for each other, the one that has written less is rolled back.
      await other.query("START TRANSACTION", []);
      await other.query("UPDATE t SET v = 1 WHERE id > 2", []);
      const refused = rejects(
        engine.commit([
          write("UPDATE t SET v = 2 WHERE id = 1"),
          write("UPDATE t SET v = 2 WHERE id = 3"),
          write("UPDATE t SET v = 2 WHERE id = 2"),
          write("INSERT INTO t VALUES (200, 2)"),
        ], true),
        /Deadlock/,
      );
      const waiting = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
      while ((await server.query(waiting)).length === 0);
      await other.query("UPDATE t SET v = 1 WHERE id = 1", []);
      await other.query("COMMIT", []);
      await refused;
      deepEqual(await engine.read("SELECT COUNT(*), MIN(v), MAX(v) FROM t WHERE id <> 2", []), [
        [99n, 1, 1],
      ]);
      deepEqual(await engine.read("SELECT v FROM t WHERE id = 2", []), [[0]]);
      // The writer can go on.
      await engine.commit([write("INSERT INTO t VALUES (300, 3)")], true);
      deepEqual(await engine.read("SELECT id FROM t WHERE id > 100", []), [[300]]);
    } finally {
      await other.close();
      await engine.close();
    }
  });

  test("openDatabase() waits for the server as long as it is told", async (place) => {
    await server.kill();
    const messages: string[] = [];
    let restarted: Promise<void> | null = null;
    const db = await place.open({
      wait: -1,
      log: (_level, message) => {
        messages.push(message);
        restarted ??= server.restart();
      },
    });
    await restarted;
    await db.close();
    ok(messages[0]?.startsWith("waiting for the database server: "), messages[0]);
  });

  test("the tables are those of other implementations", async (place) => {
    await withDatabase(place, () => Promise.resolve());
    const reference = await server.createDatabase();
    const dump = new URL("../../fixtures/databases/refdb1.sql", import.meta.url).pathname;
    await server.load(reference, dump);
    const tables = "bigdata config data obj pack pt tobj todel trans ttrans".split(" ");
    const schema = async (query: (sql: string) => Promise<unknown[][]>) => {
      const definitions = [];
      for (const table of tables) {
        const [row] = await query(`SHOW CREATE TABLE ${table}`);
        definitions.push(String(row?.[1]).replace(/ AUTO_INCREMENT=\d+| DEFAULT CHARSET=.*/g, ""));
      }
      return definitions;
    };
    deepEqual(await schema(place.query), await schema((sql) => server.query(sql, reference)));
    const names = (await place.query("SHOW TABLES")).flat();
    deepEqual(names, tables);
  });

  test("big data is cut, read back in every way, and deleted", async (place) => {
    const big = new Uint8Array(17 * MIB).fill(0x27); // A quote, that needs an escape.
    big[big.length - 1] = 1;
    const almost = new Uint8Array(16 * MIB - 1).fill(0x5c);
    await withInitialized(place, async (db) => {
      const ids = [];
      for (const data of [big, almost]) ids.push(await db.storeData(oid(3), objectData(data, 1)));
      const same = async (id: bigint, data: Uint8Array) => {
        const loaded = await db.loadData(id);
        equal(loaded.compression, 1);
        ok(Uint8Array.from(loaded.data).every((byte, i) => byte === data[i]));
        equal(loaded.data.byteLength, data.byteLength);
      };
      const [bigId = -1n, almostId = -1n] = ids;
      await same(bigId, big);
      await same(almostId, almost);
      const objects = [{ oid: oid(3), dataId: bigId, dataSerial: null }];
      await db.vote(tid(10), objects, metadata(), null);
      db.unlock(tid(10), tid(13), objects, true);
      db.releaseData([almostId]);
      const record = await db.object(oid(3), null, null);
      equal(record?.data?.data.byteLength, big.byteLength);
      equal(record?.data?.compression, 1);
      deepEqual(await db.history(oid(3), 0, 9), [{ tid: 13n, size: 17 * MIB }]);
      const other = await db.storeData(oid(6), objectData(big));
      await db.flush();
      const rows = await place.query("SELECT id, LENGTH(value) FROM bigdata ORDER BY id");
      deepEqual(rows.map((row) => row.map(Number)), [
        [1, 8 * MIB],
        [2, 8 * MIB],
        [3, MIB],
        [4, 8 * MIB],
        [5, 8 * MIB],
        [6, MIB],
      ]);
      const pointers = await place.query("SELECT compression, HEX(value) FROM data ORDER BY id");
      deepEqual(pointers, [[129, "0000000101100000"], [128, "0000000401100000"]]);
      db.releaseData([other]);
      await db.flush();
      deepEqual((await place.query("SELECT COUNT(*) FROM bigdata")).map(([n]) => Number(n)), [3]);
    });
    await withDatabase(place, async (db) => {
      await db.setTruncateTid(tid(1));
      await db.truncate();
      deepEqual((await place.query("SELECT COUNT(*) FROM bigdata")).map(([n]) => Number(n)), [0]);
    });
  });

  test("big data is packed, even while it is read", async (place) => {
    const options = databaseOptions(place.address);
    const engine = await openMysql(options);
    let beforeChunk: (() => Promise<unknown>) | null = null;
    const hooked = new Proxy(engine, {
      get(target, name) {
        if (name !== "read") {
          const value: unknown = Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        }
        return async (sql: string, parameters: readonly Value[]) => {
          const hook = beforeChunk;
          if (hook !== null && sql.includes("FROM bigdata")) {
            beforeChunk = null;
            await hook();
          }
          return await target.read(sql, parameters);
        };
      },
    });
    const db = await openSqlDatabase(hooked, options);
    try {
      await initialize(db);
      const dataId = await db.storeData(oid(3), objectData(new Uint8Array(16 * MIB)));
      await commitObjects(db, 10, [{ oid: oid(3), dataId, dataSerial: null }]);
      await commit(db, 20, { 3: "small" });
      const length = async () => (await db.object(oid(3), tid(10), null))?.data?.data.byteLength;
      equal(await length(), 16 * MIB);
      beforeChunk = () => pack(db, 0, 20);
      equal(await length(), undefined, "it is gone, and that is no failure");
      equal(await read(db, 3), "small");
      deepEqual((await place.query("SELECT COUNT(*) FROM bigdata")).map(([n]) => Number(n)), [0]);
    } finally {
      await db.close();
    }
  });

  test("big data is deduplicated", async (place) => {
    const big = new Uint8Array(16 * MIB).fill(7);
    await withInitialized(place, async (db) => {
      const first = await db.storeData(oid(3), objectData(big));
      equal(await db.storeData(oid(3), objectData(big)), first);
    }, { dedup: true });
    deepEqual((await place.query("SELECT COUNT(*) FROM bigdata")).map(([n]) => Number(n)), [2]);
  });

  test("vote() refuses metadata that is too long for a column", (place) =>
    withInitialized(place, async (db) => {
      const longest = "x".repeat(65535);
      await rejects(db.vote(tid(10), [], metadata([], `${longest}y`), null), LimitError);
      for (const name of ["description", "extension"]) {
        const wrong = { ...metadata(), [name]: bytes(`${longest}y`) };
        await rejects(db.vote(tid(10), [], wrong, null), LimitError);
      }
      await db.vote(tid(10), [], metadata([], longest), null);
      equal((await db.lockedTransactions()).size, 1);
    }));

  test("deduplication is decided when the database is created", async (place) => {
    await withDatabase(place, () => Promise.resolve());
    const messages: string[] = [];
    await withDatabase(place, () => Promise.resolve(), {
      dedup: true,
      log: (_level, message) => messages.push(message),
    });
    ok(messages[0]?.includes("option ignored"));
  });

  test("deferred deletions of other implementations are done", async (place) => {
    await withInitialized(place, (db) => commit(db, 10, { 3: "kept" }));
    await place.query(
      "INSERT INTO data VALUES (7, REPEAT('x', 20), 0, 'lost'); " +
        "INSERT INTO todel VALUES (0), (7), (9); SELECT 1",
    );
    await withDatabase(place, async (db) => equal(await read(db, 3), "kept"));
    deepEqual(
      (await place.query("SELECT id FROM data UNION ALL SELECT data_id FROM todel"))
        .map(([id]) => Number(id)),
      [0],
    );
  });

  test("lost connections are opened again when nothing is uncommitted", (place) =>
    withInitialized(place, async (db) => {
      await commit(db, 10, { 3: "a" });
      await db.flush();
      equal(await read(db, 3), "a");
      await killConnections(server, place);
      equal(await read(db, 3), "a");
      await killConnections(server, place);
      await commit(db, 20, { 3: "b" });
      equal(await read(db, 3), "b");
      await rejects(place.open(), { message: "database is locked" });
    }));

  test("close() does not wait for a server that is lost", async (place) => {
    const db = await place.open({ wait: -1 });
    await initialize(db);
    await server.kill();
    const read = rejects(db.lastSerial(oid(3)), { name: "DatabaseError" });
    await Promise.all([db.close(), read]);
    await server.restart();
  });

  test("a server that is lost fails the database, and nothing acknowledged is lost", async (place) => {
    const db: Database = await place.open();
    await initialize(db);
    await commit(db, 10, { 3: "acknowledged" });
    await db.flush();
    const objects = [await store(db, 6, "b")];
    await server.kill();
    const vote = db.vote(tid(20), objects, metadata(), null);
    await rejects(vote, /^DatabaseError: MySQL: /);
    ok((await db.failed).message.startsWith("MySQL: "));
    await rejects(db.lastSerial(oid(3)), { name: "DatabaseError" });
    await db.close();
    await server.restart();
    await withDatabase(place, async (db) => equal(await read(db, 3), "acknowledged"));
  });
}
