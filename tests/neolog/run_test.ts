import assert from "node:assert/strict";
import { deflateSync } from "node:zlib";
import { LogLevel } from "../../network/log.ts";
import { showLogs } from "../../neolog/run.ts";
import { ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { toOid, toTid } from "../../protocol/ids.ts";
import { nidOf } from "../../protocol/nodes.ts";
import { DEFAULTS, Logs, Writer } from "./support.ts";
import { until } from "../network/support.ts";

const M1 = nidOf(NodeType.MASTER, 1);

Deno.test("showLogs() shows texts and messages as the log viewer of NEO does", async () => {
  using logs = new Logs();
  logs.write("m.log", M1, (log) => {
    log.text(1.00019, "begin\nsecond line");
    log.message(2, "AskNewOIDs", { count: 3 }, "C1 (127.0.0.1:9)");
    log.message(3, "NotifyNodeInformation", {
      timestamp: 2.5,
      nodes: [
        {
          type: NodeType.STORAGE,
          address: { host: "::1", port: 20000 },
          nid: 1,
          state: NodeState.RUNNING,
          idTimestamp: 1.5,
        },
        { type: NodeType.MASTER, address: null, nid: M1, state: NodeState.DOWN, idTimestamp: null },
      ],
    }, "A1 (h:2)");
    log.message(4, "Error", { code: ErrorCode.DENIED, message: "no\x1b[31m" });
    log.raw(5, 0x7fff, Uint8Array.of(0x90));
    log.raw(6, 0x8000, Uint8Array.of(0x91, 1));
    log.text(7, "bad", LogLevel.ERROR);
  });
  const nodes = [
    "PACKET    M1          ! M1 | MASTER  |             | DOWN    | None",
    "PACKET    M1          ! S1 | STORAGE | [::1]:20000 | RUNNING | 1970-01-01 00:00:01.500000",
  ];
  assert.deepEqual((await logs.show(["m.log"])).split("\n"), [
    "INFO      M1         begin",
    "INFO      M1         second line",
    "PACKET    M1         #0x0007 AskNewOIDs                     > C1 (127.0.0.1:9)",
    "PACKET    M1         #0x0007 NotifyNodeInformation          > A1 (h:2)",
    ...nodes,
    "PACKET    M1         #0x0007 Error                          > M1 (h:1)",
    "PACKET    M1         DENIED (no\\x1b[31m)",
    "PACKET    M1         #0x0007 UnknownPacket[32767]           > M1 (h:1)",
    "PACKET    M1         #0x0007 Error                          > M1 (h:1)",
    "PACKET    M1         Can't decode packet",
    "ERROR     M1         bad",
    "",
  ]);
  const colored = (await logs.show(["m.log"], { color: true, all: true, node: ["-"] })).split("\n");
  assert.equal(colored[0], "\x1b[32mbegin\x1b[39;49;0m");
  assert.match(colored[2] ?? "", /^#0x0007 AskNewOIDs {21}> C1 \(127\.0\.0\.1:9\) \t\| \(3,\)$/);
  assert.match(colored[3] ?? "", / \t\| \(2\.5,\)$/);
  assert.match(colored[8] ?? "", / \t\| \(\)$|\(h:1\)$/);
  assert.match(await logs.show(["m.log"], { date: "%Y" }), /^19(69|70)\.0001 INFO {6}M1/);
});

Deno.test("showLogs() decompresses data in messages when asked to", async () => {
  using logs = new Logs();
  const plain = new TextEncoder().encode("data ".repeat(10));
  const data = new Uint8Array(deflateSync(plain));
  logs.write("c.log", 1, (log) => {
    log.message(1, "AnswerObject", {
      oid: toOid(1),
      serial: toTid(2),
      nextSerial: null,
      compression: 1,
      checksum: new Uint8Array(20),
      data,
      dataSerial: null,
    });
  });
  const shown = await logs.show(["c.log"], { decompress: true });
  const text = "data ".repeat(10);
  assert.match(shown, new RegExp(`, None, \\(${data.length}, b'${text}'\\), None\\)\n$`));
  assert.doesNotMatch(await logs.show(["c.log"], { all: true }), /data data/);
});

Deno.test("showLogs() merges files by date and names nodes as asked", async () => {
  using logs = new Logs();
  logs.write("a.x.log", 1, (log) => {
    log.text(1, "one");
    log.text(4, "four");
  });
  logs.write("b.log", null, (log) => {
    log.raw(2, 1, Uint8Array.of(0xc1));
    log.text(2, "two");
    log.text(3, "three");
  });
  const words = async (options = {}) =>
    (await logs.show(["a.x.log", "b.log"], options)).split("\n").filter(Boolean)
      .map((line) => line.replace(/^\S+ +(\S+) .* ?\b(\S+)$/, "$1 $2"));
  assert.deepEqual(
    (await words()).filter((word) => !word.endsWith(")")),
    ["S1 one", "b two", "b three", "S1 four"],
  );
  assert.equal((await words({ cluster: true }))[0], "test/S1 one");
  assert.equal((await words({ noNid: true }))[0], "a one");
  assert.deepEqual(await words({ node: ["S1"] }), ["S1 one", "S1 four"]);
  assert.deepEqual((await words({ from: 3, to: 3.5 })).length, 1);
});

Deno.test("showLogs() only shows the messages, transactions and objects that are asked for", async () => {
  using logs = new Logs();
  logs.write("s.log", 1, (log) => {
    log.message(1, "AskObject", { oid: toOid(1), at: null, before: toTid(0x1234) });
    log.message(2, "AskObject", { oid: toOid(2), at: toTid(0x1234), before: null });
    log.message(3, "AskTransactionInformation", { tid: toTid(0x1234) });
    log.text(4, "conflict on 0000000000000001 at 0x1234");
    log.text(5, "12345 of 0x12341");
  });
  const dates = async (options: Parameters<Logs["show"]>[1]) =>
    (await logs.show(["s.log"], { ...options, date: "%S" })).split("\n").filter(Boolean)
      .map((line) => Number.parseInt(line));
  assert.deepEqual(await dates({ message: ["AskObject"] }), [1, 2]);
  assert.deepEqual(await dates({ message: ["Ask*Information"] }), [3]);
  assert.deepEqual(await dates({ message: ["ask*"] }), []);
  assert.deepEqual(await dates({ tid: 0x1234n }), [1, 2, 3, 4]);
  assert.deepEqual(await dates({ oid: 1n }), [1, 4]);
  assert.deepEqual(await dates({ oid: 2n, tid: 0x1234n }), [2]);
});

Deno.test("showLogs() reads logs of very old versions", async () => {
  using logs = new Logs();
  logs.sql(
    "old.log",
    "CREATE TABLE log1 (date REAL PRIMARY KEY, name TEXT, level INTEGER, pathname TEXT, " +
      "lineno INTEGER, msg TEXT) WITHOUT ROWID; INSERT INTO log1 VALUES (1, 'S9', 20, 'x', 1, 'hi');" +
      "CREATE TABLE packet (date REAL PRIMARY KEY, name TEXT, msg_id INTEGER, code INTEGER, " +
      "peer TEXT, body BLOB) WITHOUT ROWID; INSERT INTO packet VALUES (2, NULL, 1, 1, '> M1', NULL)",
  );
  assert.equal(
    await logs.show(["old.log"]),
    "INFO      S9         hi\n" +
      "PACKET    old        #0x0001 RequestIdentification          > M1\n",
  );
});

Deno.test("showLogs() executes nothing of a log", async () => {
  using logs = new Logs();
  logs.sql(
    "evil.log",
    "CREATE VIEW log AS SELECT 1 date, 1 node, 20 level, 'from a view' msg; " +
      "CREATE TABLE packet (date REAL PRIMARY KEY, node, msg_id, code, peer, body) WITHOUT ROWID;" +
      "CREATE TABLE protocol (date REAL PRIMARY KEY, text BLOB);" +
      `INSERT INTO protocol VALUES (0, 'import os; os.system("touch ${logs.path("touched")}")');` +
      "INSERT INTO packet VALUES (1, 'x', 1, 1, '> x', x'90')",
  );
  assert.doesNotMatch(await logs.show(["evil.log"]), /from a view/);
  assert.deepEqual([...Deno.readDirSync(logs.folder)].map(({ name }) => name), ["evil.log"]);
});

Deno.test("showLogs() tells that a table is damaged and shows the others", async () => {
  using logs = new Logs();
  logs.write("d.log", 1, (log) => {
    for (let i = 1; i <= 2000; i++) log.text(i, `text ${i}`);
    log.message(3000, "AskLastTransaction", {});
  });
  const bytes = Deno.readFileSync(logs.path("d.log"));
  // A page of the table of texts, which is the biggest by far.
  bytes.fill(0xff, 4096 * 8, 4096 * 10);
  Deno.writeFileSync(logs.path("d.log"), bytes);
  assert.match(await logs.show(["d.log"]), /AskLastTransaction/);
  assert.equal(logs.complaints.length, 1);
  assert.match(logs.complaints[0] ?? "", /d\.log, table log: .*malformed/);
});

for (
  const [program, extension] of [["gzip", "gz"], ["bzip2", "bz2"], ["xz", "xz"], ["zstd", "zst"]]
) {
  Deno.test(`showLogs() reads logs compressed by ${program}`, async () => {
    using logs = new Logs();
    logs.write("z.log", null, (log) => log.text(1, "hello"));
    try {
      const command = new Deno.Command(program ?? "", { args: ["-q", logs.path("z.log")] });
      assert.ok((await command.output()).success);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      return console.warn(`NOT TESTED: ${program} is not installed`);
    }
    assert.equal(await logs.show([`z.log.${extension}`]), "INFO      z          hello\n");
    Deno.writeTextFileSync(logs.path(`bad.${extension}`), "no such thing");
    await assert.rejects(logs.show([`bad.${extension}`]), {
      name: "ConfigError",
      message: new RegExp(`bad\\.${extension}: ${program} failed: `),
    });
  });
}

Deno.test("showLogs() refuses files that are no logs", async () => {
  using logs = new Logs();
  Deno.writeTextFileSync(logs.path("text"), "not a database at all, only a text. ".repeat(20));
  Deno.writeTextFileSync(logs.path("empty"), "");
  logs.sql("other", "CREATE TABLE something (x)");
  for (
    const [name, message] of [
      ["none", /^can't open .*\/none: No such file/],
      ["empty", /\/empty is empty$/],
      ["text", /\/text can't be read: file is not a database$/],
      ["other", /\/other is not a log of NEO/],
      [".", /is not a file$/],
    ] as const
  ) await assert.rejects(logs.show([name]), { name: "ConfigError", message });
});

Deno.test("showLogs() follows logs, also when they are rotated", async () => {
  using logs = new Logs();
  const log = new Writer(logs.path("f.log"), 1);
  log.text(1, "one");
  log.flush();
  let output = "";
  const flushed = new Set<string>();
  const stop = new AbortController();
  const end = showLogs([logs.path("f.log")], { ...DEFAULTS, follow: true, flush: ["42"] }, {
    print: (text) => output += text,
    complain: (message) => logs.complaints.push(message),
    flush: (pid) => Promise.resolve(void flushed.add(pid)),
  }, stop.signal);
  const shown = (message: string) => until(() => output.endsWith(` ${message}\n`), message);
  await shown("one");
  log.message(2, "AskLastTransaction", {});
  log.text(3, "three");
  log.flush();
  await shown("three");
  Deno.renameSync(logs.path("f.log"), logs.path("f.log.1"));
  log.reopen();
  log.text(4, "four");
  log.flush();
  await shown("four");
  stop.abort();
  assert.equal(await end, true);
  log.close();
  assert.deepEqual([...flushed], ["42"]);
  assert.equal(output.split("\n").length, 5);
  assert.deepEqual(logs.complaints, []);
});
