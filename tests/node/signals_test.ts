import assert from "node:assert/strict";
import { until } from "../support/processes.ts";
import { SampleProcess } from "./sample_process.ts";

const linux = Deno.build.os === "linux";

Deno.test("watchSignals() stops a program in good order on SIGTERM and SIGINT", async () => {
  for (const signal of ["TERM", "INT"]) {
    await using sample = new SampleProcess("wait");
    assert.equal(await sample.line(), "ready");
    await sample.kill(signal);
    assert.equal(await sample.line(), `stopped by SIG${signal}`);
    assert.equal((await sample.end()).code, 0);
    assert.deepEqual(sample.messages(), ["started", `stopping on SIG${signal}`]);
  }
});

Deno.test("watchSignals() stops a program at once on the second signal", async () => {
  await using sample = new SampleProcess("stubborn");
  assert.equal(await sample.line(), "ready");
  await sample.kill("INT");
  assert.equal(await sample.line(), "stopping");
  await sample.kill("TERM");
  assert.equal((await sample.end()).code, 128 + 15);
});

Deno.test("watchSignals() takes the echoes of a Ctrl-C for the same wish", async () => {
  await using sample = new SampleProcess("stubborn");
  assert.equal(await sample.line(), "ready");
  await sample.kill("INT");
  assert.equal(await sample.line(), "stopping");
  const start = performance.now();
  let ended = false;
  const end = sample.end().finally(() => ended = true);
  await until("it is told once more", async () => {
    if (!ended) await sample.kill("INT").catch(() => {});
    return ended;
  });
  assert.equal((await end).code, 128 + 2);
  assert(performance.now() - start >= 3000);
});

Deno.test("watchSignals() flushes, reopens and describes on ordinary signals", async () => {
  await using sample = new SampleProcess("wait");
  assert.equal(await sample.line(), "ready");
  assert.deepEqual(sample.messages(), []);
  await sample.kill("USR1");
  await until("the log is flushed", () => sample.messages().length === 1);
  for (const signal of ["USR2", "HUP"]) {
    await Deno.rename(sample.logfile, `${sample.folder}/${signal}`);
    await sample.kill(signal);
    await until("the log is opened again", () => exists(sample.logfile));
  }
  assert.deepEqual(sample.messages(`${sample.folder}/USR2`), ["started"]);
});

Deno.test({
  name: "watchSignals() flushes, reopens and describes on real-time signals when FFI is allowed",
  ignore: !linux,
  fn: async () => {
    await using sample = new SampleProcess("wait");
    assert.equal(await sample.line(), "ready");
    assert.deepEqual(sample.messages(), []);
    await sample.kill("34");
    await until("the log is flushed", () => sample.messages().length === 1);
    await Deno.rename(sample.logfile, `${sample.folder}/old`);
    await sample.kill("35");
    await until("the log is opened again", () => exists(sample.logfile));
    // Nothing tells when these two are done, but they can't be lost: they are kept by the system.
    await sample.kill("36");
    await sample.kill("37");
    await until("the state is recorded", async () => {
      await sample.kill("34");
      return sample.messages().includes("State:\nthe state of the sample");
    });
    await sample.kill("TERM");
    assert.deepEqual(await sample.end(), { code: 0, signal: null, stderr: "" });
  },
});

Deno.test({
  name: "watchSignals() warns when real-time signals can't be received",
  ignore: !linux,
  fn: async () => {
    await using sample = new SampleProcess("end", [], []);
    const { code, stderr } = await sample.end();
    assert.equal(code, 0);
    assert.match(stderr, /WARNING .* can't be received \(this needs --allow-ffi\); use SIGUSR1/);
  },
});

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
