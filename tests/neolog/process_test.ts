import assert from "node:assert/strict";
import { runTool } from "../support/processes.ts";
import { Logs } from "./support.ts";

const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-env=HOME,TMPDIR"];

function neolog(...args: string[]) {
  return runTool(...PERMISSIONS, "--allow-run=gzip", "neolog/main.ts", ...args);
}

Deno.test("neolog shows a log, and tells in one line what it can't do", async () => {
  using logs = new Logs();
  logs.write("a.log", 1, (log) => log.text(1, "hello"));
  const good = await neolog("-d", "", logs.path("a.log"));
  assert.deepEqual(good, { code: 0, stdout: "INFO      S1         hello\n", stderr: "" });
  const [help, none, missing, wrong] = await Promise.all([
    neolog("--help"),
    neolog(),
    neolog(logs.path("none")),
    neolog("-d", "%Q", logs.path("a.log")),
  ]);
  assert.deepEqual([help.code, help.stderr], [0, ""]);
  assert.match(help.stdout, /^usage: neolog \[options\] FILE…\n/);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /neolog: error: no log file is given\n/);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^neolog: error: can't open .*\/none: No such file.*\n$/);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^neolog: error: option -d\/--date: '%Q' is no field of a date/m);
});

Deno.test("neolog ends when nobody reads its output", async () => {
  using logs = new Logs();
  logs.write("a.log", 1, (log) => {
    for (let i = 0; i < 5000; i++) log.text(i, "x".repeat(100));
  });
  const command = `deno run ${PERMISSIONS.join(" ")} neolog/main.ts -d '' ${logs.path("a.log")}`;
  const { stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", `${command} | head -n 1; echo "\${PIPESTATUS[0]}"`],
  }).output();
  assert.match(new TextDecoder().decode(stdout), /^INFO {6}S1 {9}x{100}\n1\n$/);
  assert.equal(new TextDecoder().decode(stderr), "");
});
