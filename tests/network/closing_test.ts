import assert from "node:assert/strict";
import { ConnectionClosed, type Request } from "../../network/handler.ts";
import { encodeMessage } from "../../protocol/codec.ts";
import { ZERO_TID } from "../../protocol/ids.ts";
import { accepted } from "./scene.ts";
import { quiet } from "./support.ts";

Deno.test("Connection handles what arrived whole before the end, and drops what is truncated", async () => {
  const names: string[] = [];
  const scene = await accepted({ notifyReady: () => names.push("ready") }, {
    onClosed: () => names.push("closed"),
  });
  const ready = encodeMessage("NotifyReady", 0, {});
  scene.peer.write(ready, ready, ready.subarray(0, 2));
  scene.peer.transport.end();
  await quiet();
  assert.deepEqual(names, ["ready", "ready", "closed"]);
  assert.ok(!scene.connection.open);
});

Deno.test("Connection handles what arrived before the end even when it is paused", async () => {
  const names: string[] = [];
  const scene = await accepted({
    notifyReady() {
      names.push("ready");
      scene.connection.pause();
    },
  });
  const ready = encodeMessage("NotifyReady", 0, {});
  const three = new Uint8Array([...ready, ...ready, ...ready]);
  scene.peer.write(three);
  await quiet();
  assert.deepEqual(names, ["ready"]);
  for (const link of scene.network.links) link.cut();
  await quiet();
  assert.deepEqual(names, ["ready", "ready", "ready"]);
  assert.equal(scene.closings.length, 1);
});

Deno.test("Connection.pause() stops handling until as many resume()", async () => {
  let count = 0;
  const { connection, peer } = await accepted({ notifyReady: () => count++ });
  connection.pause();
  connection.pause();
  peer.send("NotifyReady", 0, {});
  await quiet();
  connection.resume();
  await quiet();
  assert.equal(count, 0);
  connection.resume();
  await quiet();
  assert.equal(count, 1);
});

Deno.test("after close() by a handler, requests are dropped but for those that must take effect", async () => {
  const names: string[] = [];
  const record = (name: string) => () => names.push(name);
  const scene = await accepted({
    notifyReady: () => scene.connection.close(),
    askPrimary: record("AskPrimary"),
    repair: record("Repair"),
    stopOperation: record("StopOperation"),
    askFinishTransaction: record("AskFinishTransaction"),
    askLockInformation: record("AskLockInformation"),
    setNodeState: record("SetNodeState"),
    addPendingNodes: record("AddPendingNodes"),
    setNumReplicas: record("SetNumReplicas"),
    setClusterState: record("SetClusterState"),
  });
  const tid = ZERO_TID;
  const messages = [
    encodeMessage("NotifyReady", 0, {}),
    encodeMessage("AskPrimary", 1, {}),
    encodeMessage("Repair", 2, { nids: [], dryRun: true }),
    encodeMessage("StopOperation", 3, {}),
    encodeMessage("AskFinishTransaction", 4, {
      ttid: tid,
      oids: [],
      deleted: [],
      checked: [],
      pack: null,
    }),
    encodeMessage("AskLockInformation", 5, { ttid: tid, tid, pack: false }),
    encodeMessage("SetNodeState", 6, { nid: 1, state: 1 }),
    encodeMessage("AddPendingNodes", 7, { nids: [] }),
    encodeMessage("SetNumReplicas", 8, { replicas: 1 }),
    encodeMessage("SetClusterState", 9, { state: 1 }),
  ];
  scene.peer.write(new Uint8Array(messages.flatMap((bytes) => [...bytes])));
  await quiet();
  assert.deepEqual(names, [
    "StopOperation",
    "AskFinishTransaction",
    "AskLockInformation",
    "SetNodeState",
    "AddPendingNodes",
    "SetNumReplicas",
    "SetClusterState",
  ]);
  assert.ok(scene.peer.isClosed);
});

Deno.test("after abort() everything received is dropped, and everything sent arrives", async () => {
  const scene = await accepted({
    notifyReady() {
      scene.connection.notify("StopOperation", {});
      scene.connection.abort();
      scene.connection.notify("NotifyReady", {});
    },
    setNumReplicas: () => assert.fail("handled"),
  });
  scene.peer.send("NotifyReady", 0, {});
  scene.peer.send("SetNumReplicas", 1, { replicas: 1 });
  await quiet();
  assert.deepEqual(scene.peer.summary, [["StopOperation", 0, {}]]);
  assert.ok(scene.peer.isClosed);
  assert.deepEqual(scene.closings, [null]);
});

Deno.test("an aborted connection ends although the peer neither reads nor closes", async () => {
  const scene = await accepted();
  scene.peer.transport.pause();
  for (let i = 0; i < 100; i++) scene.connection.notify("FlushLog", {});
  scene.connection.abort();
  await quiet();
  assert.equal(scene.closings.length, 0);
  await scene.clock.advance(10_000);
  assert.equal(scene.closings.length, 1);
});

Deno.test("requests fail when the connection is lost or closed already", async () => {
  const scene = await accepted();
  const first = scene.connection.ask("AskClusterState", {});
  const second = scene.connection.command("SetNumReplicas", { replicas: 1 });
  for (const link of scene.network.links) link.cut();
  await assert.rejects(first, /connection to .* was lost: the network broke/);
  await assert.rejects(second, ConnectionClosed);
  await assert.rejects(scene.connection.ask("AskClusterState", {}), /is not connected/);
  scene.connection.notify("NotifyReady", {});
  assert.equal(scene.connection.pendingRequests, 0);
  assert.match(String(scene.closings[0]), /the network broke/);
});

Deno.test("close() fails what waits for answers before it returns, each on its own", async () => {
  const { connection, closings, log } = await accepted();
  const failed: string[] = [];
  connection.request("AskClusterState", {}, () => {}, () => {
    failed.push("first");
    throw new Error("bug");
  });
  connection.request("AskClusterState", {}, () => {}, (error) => failed.push(error.name));
  connection.close();
  assert.deepEqual(failed, ["first", "ConnectionClosed"]);
  assert.deepEqual(closings, [null]);
  connection.close();
  assert.equal(closings.length, 1);
  log.assertHas(/ERROR handling the loss .* failed: .*bug/);
});

Deno.test("an answer to a connection that is gone is dropped silently", async () => {
  let answer = () => {};
  const scene = await accepted({
    askClusterState(_: unknown, from: Request<"AskClusterState">) {
      answer = () => from.answer({ state: null });
    },
  });
  scene.peer.send("AskClusterState", 0, {});
  await quiet();
  scene.peer.transport.close();
  await quiet();
  answer();
  await quiet();
  assert.deepEqual(scene.log.lines, []);
});

Deno.test("a message that can't be encoded is not sent at all", async () => {
  const { connection, peer } = await accepted();
  assert.throws(() => connection.notify("NotifyReplicationDone", { partition: -1, tid: ZERO_TID }));
  assert.throws(() =>
    connection.request("AskNewOIDs", { count: -1 }, () => assert.fail(), () => assert.fail())
  );
  connection.notify("NotifyReady", {});
  await quiet();
  assert.deepEqual(peer.summary.map(([name]) => name), ["NotifyReady"]);
  assert.equal(connection.pendingRequests, 0);
});
