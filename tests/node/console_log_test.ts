import assert from "node:assert/strict";
import { LogLevel } from "../../network/log.ts";
import { ConsoleLog, localDate } from "../../node/console_log.ts";

Deno.test("ConsoleLog.show() puts the same prefix before each line", () => {
  let shown = "";
  const console = new ConsoleLog(LogLevel.WARNING, "text", (bytes) => {
    // As a terminal that is nearly full, takes a few bytes each time.
    const taken = bytes.subarray(0, 7);
    shown += new TextDecoder().decode(taken);
    return taken.length;
  });
  const date = new Date(2026, 10, 22, 10, 11, 27).getTime() / 1000 + 0.24709;
  console.show(date, LogLevel.WARNING, "NEO", { path: "node/pt.ts", line: 483 }, "one\ntwo");
  console.show(date, LogLevel.ERROR, "M1", null, "three");
  assert.equal(
    shown,
    "2026-11-22 10:11:27.2470 WARNING   NEO        [            pt:483] one\n" +
      "2026-11-22 10:11:27.2470 WARNING   NEO        [            pt:483] two\n" +
      "2026-11-22 10:11:27.2470 ERROR     M1         [              :   ] three\n",
  );
});

Deno.test("ConsoleLog.show() does not throw when the console is gone", () => {
  const console = new ConsoleLog(LogLevel.INFO, "text", () => {
    throw new Deno.errors.BrokenPipe("gone");
  });
  console.show(0, LogLevel.ERROR, "NEO", null, "lost");
});

Deno.test("localDate() truncates to a tenth of a millisecond", () => {
  const date = new Date(2026, 0, 2, 3, 4, 5).getTime() / 1000;
  assert.equal(localDate(date + 0.99999), "2026-01-02 03:04:05.9999");
  assert.equal(localDate(date), "2026-01-02 03:04:05.0000");
});

Deno.test("ConsoleLog.show() writes an object for each record when it is for programs", () => {
  let shown = "";
  const console = new ConsoleLog(LogLevel.WARNING, "json", (bytes) => {
    shown += new TextDecoder().decode(bytes);
    return bytes.length;
  });
  console.show(1.5, LogLevel.WARNING, "NEO", { path: "node/pt.ts", line: 483 }, "one\ntwo");
  console.identify("test", 3);
  console.show(2, LogLevel.ERROR, "NEO", null, '"');
  const common = { name: "NEO", cluster: null, node: null };
  assert.deepEqual(shown.split("\n").filter(Boolean).map((line) => JSON.parse(line)), [
    {
      ...common,
      time: "1970-01-01T00:00:01.500Z",
      level: "WARNING",
      source: "node/pt.ts:483",
      message: "one\ntwo",
    },
    {
      ...common,
      cluster: "test",
      node: "S3",
      time: "1970-01-01T00:00:02.000Z",
      level: "ERROR",
      source: null,
      message: '"',
    },
  ]);
});
