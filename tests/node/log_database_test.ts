import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { LogLevel } from "../../network/log.ts";
import {
  LOG_BACKLOG,
  LogDatabase,
  type LogDatabaseOptions,
  RECORD_OVERHEAD,
} from "../../node/log_database.ts";
import { nextNumber } from "../../node/log_file.ts";

const PROTOCOL = Uint8Array.of(1, 2, 3);

/** A log database in its own folder, at a time that only moves by hand. */
class Scene implements Disposable {
  readonly folder = Deno.makeTempDirSync();
  readonly path = `${this.folder}/node.log`;
  readonly warnings: string[] = [];
  time = 1000;

  open(options: Partial<LogDatabaseOptions> = {}): LogDatabase {
    return new LogDatabase(this.path, {
      now: () => this.time,
      warn: (message) => this.warnings.push(message),
      protocol: () => PROTOCOL,
      backlog: LOG_BACKLOG,
      maxSize: 0,
      keep: 0,
      ...options,
    });
  }

  rows(sql: string, path = this.path): unknown[] {
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      return db.prepare(sql).all().map((row) => Object.values(row));
    } finally {
      db.close();
    }
  }

  messages(path = this.path): unknown[] {
    return this.rows("SELECT msg FROM log ORDER BY date", path).flat();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

function packet(body: Uint8Array = Uint8Array.of(0x90)) {
  return { sent: true, id: 7, code: 0x8001, peer: "S1 (127.0.0.1:20000)", body };
}

Deno.test("LogDatabase keeps records in memory until a warning or a flush", () => {
  using scene = new Scene();
  const log = scene.open();
  log.add(LogLevel.DEBUG, null, "one");
  log.addPacket(packet());
  assert.deepEqual(scene.messages(), []);
  scene.time = 1001;
  log.add(LogLevel.WARNING, null, "two");
  assert.deepEqual(scene.messages(), ["one", "two"]);
  log.add(LogLevel.INFO, null, "three");
  assert.equal(scene.messages().length, 2);
  log.flush();
  assert.deepEqual(scene.messages(), ["one", "two", "three"]);
  log.add(LogLevel.INFO, null, "four");
  log.close();
  assert.equal(scene.messages().length, 4);
});

Deno.test("LogDatabase has the tables and values that viewers expect", () => {
  using scene = new Scene();
  const log = scene.open();
  log.add(LogLevel.INFO, null, "nobody");
  log.identify({ name: null, cluster: "test", nid: null });
  scene.time = 1001.5;
  log.addPacket({ ...packet(), sent: false, peer: "None (127.0.0.1:1)" });
  log.identify({ name: null, cluster: "test", nid: 1 });
  scene.time = 1002.5;
  const body = Uint8Array.of(0x91, 1);
  log.addPacket(packet(body));
  body.fill(0);
  log.add(LogLevel.ERROR, null, "line\nline");
  log.close();
  assert.deepEqual(scene.rows("SELECT * FROM log ORDER BY date"), [
    [1000, null, 20, null, null, "nobody"],
    [1002.5, 1, 40, null, null, "line\nline"],
  ]);
  assert.deepEqual(scene.rows("SELECT * FROM packet ORDER BY date"), [
    [1001.5, 0, 7, 0x8001, "< None (127.0.0.1:1)", Uint8Array.of(0x90)],
    [1002.5, 1, 7, 0x8001, "> S1 (127.0.0.1:20000)", Uint8Array.of(0x91, 1)],
  ]);
  assert.deepEqual(scene.rows("SELECT * FROM node ORDER BY id"), [
    [0, null, "test", null],
    [1, null, "test", 1],
  ]);
  assert.deepEqual(scene.rows("SELECT * FROM protocol"), [[0, PROTOCOL]]);
  const columns = (table: string) =>
    scene.rows(`SELECT name, type, "notnull", pk FROM pragma_table_info('${table}')`);
  assert.deepEqual(columns("packet"), [
    ["date", "REAL", 1, 1],
    ["node", "INTEGER", 0, 0],
    ["msg_id", "INTEGER", 1, 0],
    ["code", "INTEGER", 1, 0],
    ["peer", "TEXT", 1, 0],
    ["body", "BLOB", 0, 0],
  ]);
  assert.deepEqual(columns("log").map((column) => Object.values(column as object)[0]), [
    "date",
    "node",
    "level",
    "pathname",
    "lineno",
    "msg",
  ]);
});

Deno.test("LogDatabase goes on with an existing file", () => {
  using scene = new Scene();
  for (const nid of [1, 2, 1]) {
    const log = scene.open();
    log.identify({ name: null, cluster: "test", nid });
    log.addPacket(packet());
    log.close();
  }
  scene.time = 2000;
  scene.open({ protocol: () => Uint8Array.of(4) }).close();
  assert.deepEqual(scene.rows("SELECT id, nid FROM node"), [[0, 1], [1, 2]]);
  assert.deepEqual(scene.rows("SELECT node FROM packet ORDER BY date"), [[0], [1], [0]]);
  assert.deepEqual(scene.rows("SELECT * FROM protocol ORDER BY date"), [
    [0, PROTOCOL],
    [2000, Uint8Array.of(4)],
  ]);
});

Deno.test("LogDatabase gives the next free dates to records of the same moment", () => {
  using scene = new Scene();
  const log = scene.open();
  for (let i = 0; i < 3; i++) log.add(LogLevel.INFO, null, `a${i}`);
  scene.time = nextNumber(nextNumber(1000));
  log.add(LogLevel.INFO, null, "b");
  log.flush();
  // The clock was set back.
  scene.time = 1000;
  log.add(LogLevel.INFO, null, "c");
  log.close();
  const after = (steps: number) => {
    let date = 1000;
    for (; steps > 0; steps--) date = nextNumber(date);
    return date;
  };
  assert.deepEqual(scene.rows("SELECT date, msg FROM log ORDER BY date"), [
    [1000, "a0"],
    [after(1), "a1"],
    [after(2), "a2"],
    [after(3), "b"],
    [after(4), "c"],
  ]);
});

Deno.test("nextNumber() is the smallest greater double", () => {
  assert.equal(nextNumber(1), 1 + Number.EPSILON);
  assert.equal(nextNumber(1.7e9) - 1.7e9, 2 ** -22);
});

Deno.test("LogDatabase forgets the oldest records when the backlog is full", () => {
  using scene = new Scene();
  const log = scene.open({ backlog: 10 * (RECORD_OVERHEAD + 100) });
  for (let i = 0; i < 25; i++) {
    scene.time++;
    log.add(LogLevel.DEBUG, null, String(i).padStart(100));
  }
  log.flush();
  assert.deepEqual(
    scene.messages().map(Number),
    [15, 16, 17, 18, 19, 20, 21, 22, 23, 24],
  );
  log.close();
});

Deno.test("LogDatabase keeps a message without its body when this is bigger than the backlog", () => {
  using scene = new Scene();
  const log = scene.open({ backlog: 5000 });
  log.addPacket(packet(new Uint8Array(5001)));
  log.close();
  assert.deepEqual(scene.rows("SELECT msg_id, body FROM packet"), [[7, null]]);
});

Deno.test("LogDatabase writes each record at once when there is no backlog", () => {
  using scene = new Scene();
  const log = scene.open({ backlog: 0 });
  log.add(LogLevel.DEBUG, null, "now");
  assert.deepEqual(scene.messages(), ["now"]);
  log.addPacket(packet());
  assert.equal(scene.rows("SELECT * FROM packet").length, 1);
  log.close();
});

Deno.test("LogDatabase.reopen() goes on in a new file after a rename", () => {
  using scene = new Scene();
  const log = scene.open();
  log.identify({ name: null, cluster: "test", nid: 1 });
  log.add(LogLevel.WARNING, null, "old");
  log.add(LogLevel.DEBUG, null, "kept");
  Deno.renameSync(scene.path, scene.path + ".1");
  log.reopen();
  log.flush();
  assert.deepEqual(scene.messages(scene.path + ".1"), ["old"]);
  assert.deepEqual(scene.messages(), ["kept"]);
  assert.deepEqual(scene.rows("SELECT id, nid FROM node"), [[0, 1]]);
  log.close();
});

Deno.test("LogDatabase.reopen() drops the protocol from a file without messages", () => {
  using scene = new Scene();
  const log = scene.open();
  const tables = "SELECT name FROM sqlite_master WHERE name = 'protocol'";
  Deno.renameSync(scene.path, scene.path + ".1");
  log.reopen();
  assert.deepEqual(scene.rows(tables, scene.path + ".1"), []);
  assert.deepEqual(scene.rows(tables), [["protocol"]]);
  log.addPacket(packet());
  log.flush();
  Deno.renameSync(scene.path, scene.path + ".2");
  log.reopen();
  assert.deepEqual(scene.rows(tables, scene.path + ".2"), [["protocol"]]);
  log.close();
});

Deno.test("LogDatabase renames the tables of very old databases", () => {
  using scene = new Scene();
  const db = new DatabaseSync(scene.path);
  db.exec("CREATE TABLE log (date REAL, name TEXT, msg TEXT)");
  db.exec("CREATE TABLE packet (date REAL, name TEXT, body BLOB)");
  db.exec("INSERT INTO log VALUES (1, 'old', 'text')");
  db.close();
  const log = scene.open();
  log.add(LogLevel.WARNING, null, "new");
  log.close();
  assert.deepEqual(scene.rows("SELECT msg FROM log1"), [["text"]]);
  assert.deepEqual(scene.rows("SELECT count(*) FROM packet1"), [[0]]);
  assert.deepEqual(scene.messages(), ["new"]);
});

Deno.test("LogDatabase refuses a path that can't be a log database", () => {
  using scene = new Scene();
  Deno.writeTextFileSync(scene.path, "something else, and certainly not a database. ".repeat(9));
  assert.throws(() => scene.open(), {
    name: "ConfigError",
    message: /^can't open log database .*node\.log: file is not a database$/,
  });
});

Deno.test("LogDatabase sets aside a file that is damaged", () => {
  using scene = new Scene();
  const log = scene.open();
  log.add(LogLevel.WARNING, null, "before");
  log.close();
  const size = Deno.statSync(scene.path).size;
  // As when a power failure kept some pages from the disk.
  {
    using file = Deno.openSync(scene.path, { write: true });
    file.seekSync(100, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array(size - 100).fill(0x55));
  }
  const next = scene.open();
  next.add(LogLevel.WARNING, null, "after");
  next.close();
  assert.deepEqual(scene.messages(), ["after"]);
  assert.equal(scene.warnings.length, 1);
  assert.match(scene.warnings[0] ?? "", /is damaged: .*: renamed to .*node\.log\.damaged$/);
  assert.equal(Deno.statSync(`${scene.path}.damaged`).size, size);
});

Deno.test("LogDatabase sets aside a file of which it notices later that it is damaged", () => {
  using scene = new Scene();
  const log = scene.open();
  for (let n = 0; n < 50; n++) log.add(LogLevel.INFO, null, `${n} ${"x".repeat(1000)}`);
  log.flush();
  {
    using file = Deno.openSync(scene.path, { write: true });
    const { size } = file.statSync();
    for (let page = 1; page < size / 4096; page++) {
      file.seekSync(page * 4096, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(8).fill(0x55));
    }
  }
  const other = new DatabaseSync(scene.path);
  // What this process has in memory is not valid any more.
  other.exec("PRAGMA user_version = 1");
  other.close();
  log.add(LogLevel.WARNING, null, "after");
  log.close();
  assert.deepEqual(scene.messages(), ["after"]);
  assert.match(scene.warnings.join(), /is damaged/);
});

Deno.test("LogDatabase begins without a file that another process locks", () => {
  using scene = new Scene();
  scene.open().close();
  const other = new DatabaseSync(scene.path);
  other.exec("BEGIN IMMEDIATE");
  const log = scene.open();
  assert.match(scene.warnings.join(), /can't write to log database .* locked/);
  other.exec("ROLLBACK");
  other.close();
  log.add(LogLevel.WARNING, null, "later");
  log.close();
  assert.deepEqual(scene.messages(), ["later"]);
});

Deno.test("two nodes may write to one file", () => {
  using scene = new Scene();
  const logs = [1, 2].map((nid) => {
    const log = scene.open();
    log.identify({ name: null, cluster: "c", nid });
    return log;
  });
  for (const log of logs) log.add(LogLevel.WARNING, null, "text");
  for (const log of logs) log.close();
  assert.deepEqual(scene.rows("SELECT id, nid FROM node ORDER BY id"), [[0, 1], [1, 2]]);
  assert.deepEqual(scene.warnings, []);
});

Deno.test("LogDatabase leaves the database of something else as it is", () => {
  using scene = new Scene();
  const db = new DatabaseSync(scene.path);
  db.exec("CREATE TABLE log (a); CREATE TABLE obj (a)");
  db.close();
  assert.throws(() => scene.open(), {
    name: "ConfigError",
    message: /^can't open log database .*: it is something else than a log, as it contains 'obj'$/,
  });
  assert.deepEqual(scene.rows("SELECT name FROM sqlite_master"), [["log"], ["obj"]]);
});

Deno.test("LogDatabase waits in memory while another process locks the file", () => {
  using scene = new Scene();
  const log = scene.open();
  const other = new DatabaseSync(scene.path);
  other.exec("BEGIN IMMEDIATE");
  log.add(LogLevel.WARNING, null, "first");
  log.add(LogLevel.WARNING, null, "second");
  assert.equal(scene.warnings.length, 1);
  assert.match(scene.warnings[0] ?? "", /keeping recent records in memory: database is locked/);
  other.exec("COMMIT");
  other.close();
  scene.time += 60;
  log.add(LogLevel.DEBUG, null, "third");
  assert.deepEqual(scene.messages(), ["first", "second", "third"]);
  log.add(LogLevel.DEBUG, null, "fourth");
  assert.equal(scene.messages().length, 3);
  log.close();
});

Deno.test("LogDatabase warns once and goes on when the file is full, until it is rotated", () => {
  using scene = new Scene();
  const log = scene.open({ maxSize: 64 << 10 });
  for (let i = 0; i < 100; i++) {
    scene.time++;
    log.add(LogLevel.WARNING, null, "x".repeat(2000));
  }
  assert.equal(scene.warnings.length, 1);
  assert.match(scene.warnings[0] ?? "", /database or disk is full/);
  assert.ok(Deno.statSync(scene.path).size <= 64 << 10);
  const written = scene.messages().length;
  assert.ok(written > 0 && written < 100);
  Deno.renameSync(scene.path, scene.path + ".1");
  log.reopen();
  log.close();
});

Deno.test("LogDatabase.flush() goes on in a new file after a rename, without being told", () => {
  using scene = new Scene();
  const log = scene.open();
  log.add(LogLevel.WARNING, null, "old");
  Deno.renameSync(scene.path, scene.path + ".1");
  log.add(LogLevel.WARNING, null, "new");
  assert.deepEqual(scene.messages(scene.path + ".1"), ["old"]);
  assert.deepEqual(scene.messages(), ["new"]);
  Deno.removeSync(scene.path);
  // Even if there is nothing to write: whoever asked may wait for the file.
  log.flush();
  assert.deepEqual(scene.messages(), []);
  log.close();
});

Deno.test("LogDatabase starts a new file when the file is full, and keeps some former ones", () => {
  using scene = new Scene();
  const log = scene.open({ maxSize: 64 << 10, keep: 2 });
  for (let i = 0; i < 200; i++) {
    scene.time++;
    log.add(LogLevel.WARNING, null, `${i}`.padEnd(2000));
  }
  log.close();
  assert.deepEqual(scene.warnings, []);
  const files = [...Deno.readDirSync(scene.folder)].map(({ name }) => name).sort();
  assert.deepEqual(files, ["node.log", "node.log.1", "node.log.2"]);
  const kept = [".2", ".1", ""].flatMap((end) => scene.messages(scene.path + end)).map(Number);
  assert.equal(kept.at(-1), 199);
  assert.deepEqual(kept, kept.map((_, index) => 200 - kept.length + index), "without holes");
  for (const name of files) {
    assert.ok(Deno.statSync(`${scene.folder}/${name}`).size <= 64 << 10);
  }
});
