import assert from "node:assert/strict";
import { SampleProcess } from "./sample_process.ts";

Deno.test("runNode() prints the help on stdout and exits with 0", async () => {
  await using sample = new SampleProcess("x", ["--help"]);
  assert.equal(await sample.line(), "usage: neoadmin [options]");
  const { code, stderr } = await sample.end();
  assert.deepEqual([code, stderr], [0, ""]);
});

Deno.test("runNode() exits with 2 and the usage when the command line is wrong", async () => {
  await using sample = new SampleProcess("x", ["--nothing"]);
  const { code, stderr } = await sample.end();
  assert.equal(code, 2);
  assert.equal(
    stderr,
    "usage: neoadmin [options]\nneoadmin: error: unknown option --nothing\n" +
      "Try 'neoadmin --help'.\n",
  );
});

Deno.test("runNode() exits with 1 and a line when the configuration is wrong", async () => {
  await using early = new SampleProcess("x", ["-f", "/none"]);
  await using late = new SampleProcess("config");
  const { code, stderr } = await early.end();
  assert.equal(code, 1);
  assert.match(stderr, /^neoadmin: error: can't read configuration file \/none: .*\n$/);
  const end = await late.end();
  assert.equal(end.code, 1);
  assert.match(end.stderr, /^.* ERROR {5}NEO .*\] nothing to configure\n$/);
});

Deno.test("runNode() exits with the status of the node and keeps the log", async () => {
  await using sample = new SampleProcess("end");
  const { code, stderr } = await sample.end();
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(sample.messages(), ["started"]);
});

Deno.test("runNode() shows warnings about options, and informative records with --verbose", async () => {
  await using sample = new SampleProcess("end", ["-v", "-b", "0.0.0.0:1"]);
  const { stderr } = await sample.end();
  assert.match(stderr, /WARNING .* bind: other nodes are told to connect to 0\.0\.0\.0/);
  assert.match(stderr, /INFO .*\[sample_program: *\d+\] started$/m);
});

for (
  const [cluster, message] of [
    ["bug", /^unexpected failure: TypeError: a bug\n(.*\n)+caused by: its cause$/],
    ["rejection", /^unexpected failure: Error: nobody listens\n/],
    ["uncaught", /^unexpected failure: Error: thrown by a timer\n/],
  ] as const
) {
  Deno.test(`runNode() records the state and exits with 1 after a failure (${cluster})`, async () => {
    await using sample = new SampleProcess(cluster);
    const { code, stderr } = await sample.end();
    assert.equal(code, 1);
    const [started, state, failure] = sample.messages();
    assert.equal(started, "started");
    assert.equal(state, "Pre-mortem data:\nthe state of the sample");
    assert.match(failure ?? "", message);
    assert.match(stderr, /ERROR .* unexpected failure: /);
  });
}
