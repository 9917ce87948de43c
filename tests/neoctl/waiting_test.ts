import assert from "node:assert/strict";
import { ClusterState, NodeType } from "../../protocol/enums.ts";
import { toTid } from "../../protocol/ids.ts";
import { nidOf } from "../../protocol/nodes.ts";
import type { Received } from "../admin/scripted_peer.ts";
import { settle } from "../admin/support.ts";
import { storage, tableOf } from "./samples.ts";
import { ack, answer, type Setup, setup } from "./support.ts";

/** Answers one after the other, and then always the last one. */
function inTurn(...answers: object[]) {
  let next = 0;
  return (message: Received) => message.answer(answers[Math.min(next++, answers.length - 1)] ?? {});
}

const states = (...names: (keyof typeof ClusterState)[]) =>
  inTurn(...names.map((name) => ({ state: ClusterState[name] })));

/** Runs a command that waits; returns how it ended, if it did after some time. */
async function run(tested: Setup, command: string, seconds: number, timeout: number | null = null) {
  const running = tested.run(command, timeout, { wait: true });
  let outcome = null;
  running.then((result) => outcome = result);
  for (let passed = 0; passed < seconds; passed += 0.2) await tested.clock.advance(200);
  await settle();
  return outcome;
}

const success = (stdout: string) => ({ status: 0, stdout, stderr: "", note: null });

Deno.test("neoctl --wait start waits until the cluster serves clients", async () => {
  const script = { SetClusterState: ack("Cluster state changed") };
  const AskClusterState = states("RECOVERING", "VERIFYING", "RUNNING");
  const tested = await setup({ ...script, AskClusterState });
  assert.deepEqual(await run(tested, "start", 1), success("Cluster state changed\n"));
  assert.equal(tested.sent.length, 4);
  const stuck = await setup({ ...script, AskClusterState: states("RECOVERING") });
  assert.equal(await run(stuck, "start", 10), null);
});

Deno.test("neoctl --wait gives up when the time is over", async () => {
  const tested = await setup({
    SetClusterState: ack("Cluster state changed"),
    AskClusterState: states("RECOVERING"),
  });
  assert.deepEqual(await run(tested, "start", 3, 2), {
    status: 1,
    stdout: "",
    stderr: "ERROR: not done after 2 seconds\n",
    note: null,
  });
});

Deno.test("neoctl --wait truncate waits until the cluster serves clients again", async () => {
  const tested = await setup({
    Truncate: ack(""),
    AskLastTransaction: answer({ tid: toTid(5) }),
    AskClusterState: states("RECOVERING", "RUNNING"),
  });
  const outcome = await run(tested, "truncate tid:5", 1);
  assert.deepEqual({ ...outcome ?? {}, note: null }, success(""));
});

/** A cluster that stops; then its admin closes the connection, and ends if it does. */
function stopping(ends: boolean) {
  let asked = 0;
  const script = {
    SetClusterState: ack("Cluster state changed"),
    AskClusterState: ({ answer, connection }: Received) => {
      if (++asked < 3) return answer({ state: ClusterState.STOPPING });
      connection.close();
      if (ends) tested?.admin.close();
    },
  };
  let tested: Setup | undefined;
  return setup(script).then((made) => tested = made);
}

Deno.test("neoctl --wait set cluster stopping waits until the admin has gone", async () => {
  const tested = await stopping(true);
  assert.deepEqual(
    await run(tested, "set cluster stopping", 2),
    success("Cluster state changed\n"),
  );
});

Deno.test("neoctl --wait set cluster stopping fails when the connection is lost", async () => {
  const tested = await stopping(false);
  assert.deepEqual(await run(tested, "set cluster stopping", 15), {
    ...success(""),
    status: 1,
    stderr: "ERROR: connection lost: it is not known whether the cluster has stopped\n",
  });
});

Deno.test("neoctl --wait set cluster stopping fails when the cluster serves again", async () => {
  const tested = await setup({
    SetClusterState: ack("Cluster state changed"),
    AskClusterState: states("RUNNING", "STOPPING", "RUNNING"),
  });
  assert.deepEqual(await run(tested, "set cluster stopping", 2), {
    ...success(""),
    status: 1,
    stderr: "ERROR: the cluster has not stopped: it is RUNNING\n",
  });
});

Deno.test("neoctl --wait set cluster stopping gives up when the time is over", async () => {
  const tested = await setup({
    SetClusterState: ack("Cluster state changed"),
    AskClusterState: states("STOPPING"),
  });
  const outcome = await run(tested, "set cluster stopping", 3, 2);
  assert.deepEqual((outcome ?? { status: null }).status, 1);
});

Deno.test("neoctl --wait tweak waits until all is replicated, but for what is excluded", async () => {
  const table = (...map: string[]) => ({ ptid: 1, replicas: 0, rows: tableOf(...map) });
  const script = {
    TweakPartitionTable: answer({ changed: true, rows: tableOf("F", "O", "O") }),
    AskNodeList: answer({ nodes: [storage(1), storage(2), storage(3)] }),
  };
  const tested = await setup({
    ...script,
    AskPartitionList: inTurn(table("F", "O", "O"), table("F", "U", "O"), table(".", "U", "O")),
  });
  const outcome = await run(tested, "tweak S3", 1);
  assert.deepEqual(outcome, success("S1 R F\nS2 R O\nS3 R O\n"));
  assert.equal(tested.admin.received.filter(({ name }) => name === "AskPartitionList").length, 3);
  const dry = await setup(script);
  assert.deepEqual(await run(dry, "tweak -n", 0), success("S1 R F\nS2 R O\nS3 R O\n"));
});

/** A cluster of S1, S2 and their only master, whose table is asked for in turn. */
const restart = (...tables: string[][]) => ({
  AskClusterState: states("RUNNING"),
  AskPrimary: answer({ nid: nidOf(NodeType.MASTER, 1) }),
  AskNodeList: answer({ nodes: [storage(1), storage(2)] }),
  AskPartitionList: inTurn(
    ...tables.map((map) => ({ ptid: 1, replicas: 1, rows: tableOf(...map) })),
  ),
});

Deno.test("neoctl rolling-restart --check fails if no node may be restarted", async () => {
  const tested = await setup(restart(["UU", "OU"]));
  assert.deepEqual(await tested.run("rolling-restart --check S2"), {
    status: 1,
    stdout: "wait:\nS2 (127.0.0.1:20001) catches up with partition 0\nleft: S1 (127.0.0.1:20000)\n",
    stderr: "",
    note: null,
  });
  const { status, stdout } = await tested.run("rolling-restart --check S2", null, { json: true });
  assert.equal(status, 1);
  assert.deepEqual(JSON.parse(stdout), {
    go: false,
    next: null,
    reasons: ["S2 (127.0.0.1:20001) catches up with partition 0"],
    left: [{ name: "S1", type: "STORAGE", address: "127.0.0.1:20000" }],
  });
});

Deno.test("neoctl --wait rolling-restart --check waits until a node may be restarted", async () => {
  const tested = await setup(restart(["UU", "OO"], ["UU", "OU"], ["UU", "UU"]));
  const outcome = await run(tested, "rolling-restart --check S2", 1);
  const reason = "each of its partitions can be read on another storage that is running";
  assert.deepEqual(outcome, success(`next: S1 (127.0.0.1:20000)\n${reason}\n`));
  const stuck = await setup(restart(["UU", "OO"]));
  const late = await run(stuck, "rolling-restart --check S2", 3, 2);
  assert.deepEqual(late, {
    status: 1,
    stdout: "",
    stderr: "ERROR: not done after 2 seconds\n",
    note: null,
  });
});
