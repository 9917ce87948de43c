import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { LogLevel } from "../../network/log.ts";
import { ConsoleLog } from "../../node/console_log.ts";
import { NodeLog } from "../../node/node_log.ts";

function shownBy(work: (console: ConsoleLog) => void, level = LogLevel.WARNING): string {
  let shown = "";
  work(
    new ConsoleLog(level, "text", (bytes) => {
      shown += new TextDecoder().decode(bytes);
      return bytes.length;
    }),
  );
  return shown;
}

function withDatabase(work: (path: string, rows: (sql: string) => unknown[]) => void): void {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/log`;
  try {
    work(path, (sql) => {
      const db = new DatabaseSync(path, { readOnly: true });
      const rows = db.prepare(sql).all().map((row) => Object.values(row));
      db.close();
      return rows;
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("NodeLog shows warnings and errors on the console, with where they come from", () => {
  const shown = shownBy((console) => {
    const log = new NodeLog({ console });
    log.debug("a");
    log.info("b");
    log.warning("c");
    log.error("d");
    log.dump("e");
  });
  const lines = shown.trimEnd().split("\n").map((line) => line.replace(/^\S+ \S+ /, ""));
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? "", /^WARNING {3}NEO {8}\[ node_log_test: {0,2}\d+\] c$/);
  assert.match(lines[1] ?? "", /^ERROR {5}NEO {8}\[ node_log_test: {0,2}\d+\] d$/);
});

Deno.test("NodeLog shows less or more according to the level of its console", () => {
  const shown = shownBy((console) => {
    const log = new NodeLog({ console, name: "M1" });
    log.debug("a");
    log.info("b");
  }, LogLevel.INFO);
  assert.match(shown, /INFO {6}M1 {9}\[.*\] b\n$/);
  assert.ok(!shown.includes(" a\n"));
});

Deno.test("NodeLog records everything in its database", () =>
  withDatabase((path, rows) => {
    const shown = shownBy((console) => {
      const log = new NodeLog({ console, database: path });
      log.debug("a");
      log.identify("test", null);
      log.identify("test", 3);
      log.identify("test", 3);
      log.describe = () => "all well";
      log.dumpState("State:");
      assert.ok(log.packet);
      log.packet({ sent: true, id: 1, code: 2, peer: "M1 (::1)", body: new Uint8Array(1) });
      log.close();
      log.debug("too late");
    });
    assert.equal(shown, "");
    assert.deepEqual(rows("SELECT node, level, pathname, msg FROM log ORDER BY date"), [
      [null, 10, "tests/node/node_log_test.ts", "a"],
      [0, 20, "tests/node/node_log_test.ts", "Node ID: S3"],
      [0, 20, "node/node_log.ts", "State:\nall well"],
    ]);
    assert.deepEqual(rows("SELECT node, peer FROM packet"), [[0, "> M1 (::1)"]]);
    const [[lineno] = []] = rows("SELECT lineno FROM log ORDER BY date LIMIT 1") as number[][];
    const source = Deno.readTextFileSync(new URL(import.meta.url)).split("\n");
    assert.match(source[(lineno ?? 0) - 1] ?? "", /log\.debug\("a"\)/);
  }));

Deno.test("NodeLog.packet is null when there is no database", () => {
  assert.equal(new NodeLog().packet, null);
});

Deno.test("NodeLog.dumpState() survives a description that fails", () =>
  withDatabase((path, rows) => {
    const log = new NodeLog({ database: path });
    log.describe = () => {
      throw new Error("broken");
    };
    log.dumpState("State:");
    log.close();
    assert.deepEqual(rows("SELECT msg FROM log"), [[
      "State:\ncan't describe the state: broken",
    ]]);
  }));

Deno.test("NodeLog tells on the console that its database is in trouble", () =>
  withDatabase((path) => {
    const shown = shownBy((console) => {
      const log = new NodeLog({ console, database: path, immediate: true, maxSize: 32 << 10 });
      for (let n = 0; n < 9; n++) log.debug("x".repeat(8_000));
      log.close();
    });
    assert.equal(shown.match(/can't write to log database/g)?.length, 1, shown);
  }));
