import assert from "node:assert/strict";
import { Master } from "../../master/mod.ts";
import { ClusterState } from "../../protocol/enums.ts";
import {
  answerOf,
  begin,
  checkWaiting,
  errorOf,
  finishArgs,
  settle,
  withCluster,
  withScene,
} from "./support.ts";

const STOP = { state: ClusterState.STOPPING };

Deno.test("Stopping tells storages to exit, without outdating any cell", async () => {
  await withCluster(2, {}, async ({ scene, admin, client, s }) => {
    const stop = admin.command("SetClusterState", STOP);
    await settle();
    assert.equal(stop.answer, "Cluster state changed");
    assert.deepEqual(scene.sent(), [
      "A1 Error ACK Cluster state changed",
      "A1 NotifyClusterInformation STOPPING",
      "S1 NotifyClusterInformation STOPPING",
      "S2 NotifyClusterInformation STOPPING",
      "C1 NotifyClusterInformation STOPPING",
      "S1 NotifyNodeInformation S1 DOWN",
      "S2 NotifyNodeInformation S2 DOWN",
    ]);
    for (const peer of [admin, client, s(1), s(2)]) assert(peer.closed);
    assert.equal(s(1).last("NotifyNodeInformation").nodes[0]?.idTimestamp, null);
    assert.equal(scene.outcome, "ended");
    assert.deepEqual([s(1).data.ptid, s(1).data.rows], [1, "UU|UU"]);
    await assert.rejects(scene.client(), /refused/);
  });
});

Deno.test("Stopping lets transactions end, and none begin", async () => {
  await withCluster(2, {}, async ({ scene, admin, client, s }) => {
    for (const n of [1, 2]) s(n).manual.add("AskLockInformation");
    const first = await begin(client);
    const second = await begin(client);
    const finish = client.ask("AskFinishTransaction", finishArgs(first, 1n));
    await settle();
    const stop = admin.command("SetClusterState", STOP);
    const late = client.ask("AskBeginTransaction", { tid: null });
    const again = admin.command("SetClusterState", STOP);
    await settle();
    assert(stop.answer && again.answer);
    assert.equal(scene.outcome, "running");
    for (const n of [1, 2]) {
      const { args, from } = s(n).take("AskLockInformation");
      from.answer({ ttid: args.ttid });
    }
    await settle();
    answerOf(finish);
    checkWaiting(late);
    assert.equal(scene.outcome, "running", "the other one is not finished");
    client.notify("AbortTransaction", { ttid: second, nids: [1, 2] });
    await settle();
    assert.equal(scene.outcome, "ended");
    assert(late.error);
    assert.equal(s(1).data.ptid, 1);
  });
});

Deno.test("Stopping only accepts clients that have a transaction to conclude", async () => {
  await withCluster(1, {}, async ({ scene, admin, client, s }) => {
    s(1).manual.add("AskLockInformation");
    const ttid = await begin(client);
    client.ask("AskFinishTransaction", finishArgs(ttid, 1n));
    await settle();
    await client.kill();
    admin.command("SetClusterState", STOP);
    await settle();
    const stranger = await scene.client();
    assert.match(errorOf(stranger.identification), /^NOT_READY the cluster is stopping/);
    const storage = await scene.storage();
    assert.match(errorOf(storage.identification), /^NOT_READY the cluster is stopping/);
    const back = await scene.client({ nid: client.nid });
    const final = back.ask("AskFinalTID", { ttid });
    await settle();
    s(1).take("AskLockInformation").from.answer({ ttid });
    await settle();
    assert(answerOf(final).tid !== null);
    assert.equal(scene.outcome, "ended");
  });
});

Deno.test("Stopping ends when the cluster is not operational any more", async () => {
  await withCluster(1, {}, async ({ scene, admin, client, s }) => {
    await begin(client);
    admin.command("SetClusterState", STOP);
    await settle();
    assert.equal(scene.outcome, "running");
    await s(1).kill();
    assert.equal(scene.outcome, "ended");
  });
});

Deno.test("Stopping outside of operation ends at once", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const s1 = await scene.storage();
    scene.sent();
    admin.command("SetClusterState", STOP);
    await settle();
    assert.equal(scene.outcome, "ended");
    assert.deepEqual(scene.sentTo("S1"), [
      "NotifyClusterInformation STOPPING",
      "NotifyNodeInformation S1 DOWN",
    ]);
    assert(s1.closed);
  });
});

Deno.test("Master.run() ends when its signal aborts, and changes nothing", async () => {
  await withCluster(2, {}, async ({ scene, s }) => {
    await scene.stop();
    assert.equal(scene.outcome, "ended");
    assert.deepEqual(scene.sent(), []);
    assert(s(1).closed && s(2).closed);
  });
});

Deno.test("Master.run() refuses options that can't work", async () => {
  for (
    const [options, expected] of [
      [{ nid: 1 }, /nid 1 is not the id of a master/],
      [{ partitions: 0 }, /partitions must be more than zero/],
      [{ partitions: 65537 }, /partitions must be at most 65536/],
      [{ replicas: -1 }, /replicas must be a positive integer/],
      [{ autostart: 0 }, /autostart must be at least 1/],
    ] as const
  ) {
    await withScene(options, async (scene) => {
      assert.match(String(scene.outcome), expected);
      await assert.rejects(scene.master.address, expected);
    });
  }
});

Deno.test("Master.run() refuses an address that is in use", async () => {
  await withScene({}, async (scene) => {
    const master = new Master(scene.env, {
      cluster: "test",
      bind: { host: "10.0.0.1", port: 10000 },
      masters: [{ host: "10.0.0.1", port: 10000 }],
      nid: null,
      partitions: 1,
      replicas: 0,
      autostart: null,
    });
    await assert.rejects(
      master.run(new AbortController().signal),
      /can't listen to 10\.0\.0\.1:10000: .*in use/,
    );
  });
});

Deno.test("Master.address is the real one", async () => {
  await withScene({ bind: { host: "10.0.0.1", port: 0 } }, async (scene) => {
    const { port } = await scene.master.address;
    assert(port > 0);
  });
});
