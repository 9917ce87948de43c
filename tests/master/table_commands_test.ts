import assert from "node:assert/strict";
import { NodeState, NodeType } from "../../protocol/enums.ts";
import { nidOf } from "../../protocol/nodes.ts";
import {
  begin,
  errorOf,
  finishArgs,
  type Peer,
  settle,
  withCluster,
  withScene,
} from "./support.ts";
import { textOf } from "./table_text.ts";

const { DOWN, UNKNOWN } = NodeState;

/** Tweaks; returns what is answered as text. */
async function tweak(admin: Peer, dryRun = false, excluded: number[] = []): Promise<string> {
  const reply = admin.ask("TweakPartitionTable", { dryRun, excluded });
  await settle();
  if (reply.answer === undefined) return errorOf(reply);
  return `${reply.answer.changed ? "changed" : "unchanged"} ${textOf(reply.answer.rows)}`;
}

Deno.test("AdminHandler grows a cluster, and shrinks it again", async () => {
  await withCluster(2, { partitions: 4 }, async ({ scene, admin, client, s }) => {
    const s3 = await scene.storage();
    scene.sent();
    assert.equal(await admin.order("AddPendingNodes", { nids: [3] }), "Nodes added: S3");
    assert.deepEqual(scene.sent(), [
      "S3 StartOperation",
      "A1 NotifyNodeInformation S3 RUNNING",
      "S1 NotifyNodeInformation S3 RUNNING",
      "S2 NotifyNodeInformation S3 RUNNING",
      "C1 NotifyNodeInformation S3 RUNNING",
      "S3 NotifyNodeInformation S3 RUNNING",
      "A1 Error ACK Nodes added: S3",
    ]);
    const moves = "1:S3→O 2:S3→O 1:S2→F 2:S1→F";
    const dry = await tweak(admin, true);
    assert.deepEqual(scene.sent("NotifyPartitionChanges"), [], "only tried");
    assert.equal(await tweak(admin), dry);
    assert.equal(dry, "changed UU.|UFO|FUO|UU.");
    assert.deepEqual(
      scene.sent("NotifyPartitionChanges"),
      ["A1", "S1", "S2", "C1", "S3"].map((to) => `${to} NotifyPartitionChanges 2 ${moves}`),
    );
    assert.equal(await tweak(admin), "unchanged UU.|UFO|FUO|UU.");
    await s3.replicate(1, 2);
    assert.deepEqual(scene.sentTo("C1"), [
      "NotifyPartitionChanges 3 1:S3→U",
      "NotifyPartitionChanges 4 2:S3→U",
      "NotifyPartitionChanges 5 1:S2→D",
      "NotifyPartitionChanges 6 2:S1→D",
    ]);
    const ttid = await begin(client);
    assert((await client.get("AskFinishTransaction", finishArgs(ttid, 1n))).tid);

    assert.equal(await tweak(admin, false, [3]), "changed UU.|UOU|OUU|UU.");
    assert.match(
      await admin.order("SetNodeState", { nid: 3, state: UNKNOWN }),
      /^DENIED a running node must be stopped/,
    );
    await s(2).replicate(1);
    await s(1).replicate(2);
    assert.equal(await admin.order("SetNodeState", { nid: 3, state: DOWN }), "state changed");
    assert(s3.closed);
    assert.match(
      await tweak(admin),
      /^DENIED tweak: down nodes must be listed explicitly$/,
    );
    assert.equal(await tweak(admin, true, [3]), "unchanged UU.|UUO|UUO|UU.");
    assert.equal(
      await admin.order("SetNodeState", { nid: 3, state: UNKNOWN }),
      "node permanently removed",
    );
    assert.equal(await tweak(admin), "unchanged UU|UU|UU|UU");
  });
});

Deno.test("AdminHandler.addPendingNodes() adds pending storages only, in operation once ready", async () => {
  await withCluster(1, {}, async ({ scene, admin, client }) => {
    const nids = [1, 9, client.nid, nidOf(NodeType.MASTER, 1)];
    assert.equal(await admin.order("AddPendingNodes", { nids }), "No node added");
    const slow = scene.peer(NodeType.STORAGE);
    slow.manual.add("StartOperation");
    await slow.identify();
    const other = await scene.storage();
    const added = await admin.order("AddPendingNodes", { nids: [other.nid, slow.nid, slow.nid] });
    assert.equal(added, "Nodes added: S2, S3");
    const beginning = client.ask("AskBeginTransaction", { tid: null });
    await settle();
    assert.deepEqual({ ...beginning }, {}, "transactions wait for the storage that starts");
    slow.notify("NotifyReady", {});
    await settle();
    assert(beginning.answer);
    assert.equal(await admin.order("AddPendingNodes", { nids: [2, 3] }), "No node added");
  });
});

Deno.test("AdminHandler.tweakPartitionTable() ignores what is pending or unknown to it", async () => {
  await withCluster(1, { partitions: 2 }, async ({ scene, admin, client }) => {
    await scene.storage();
    assert.equal(await tweak(admin), "unchanged U|U", "S2 was not added");
    assert.equal(await tweak(admin, false, [2]), "unchanged U|U");
    assert.equal(await tweak(admin, false, [9]), "DENIED unknown storage node S9");
    assert.match(await tweak(admin, false, [client.nid]), /^DENIED unknown storage node C1/);
    assert.equal(await tweak(admin, false, [1]), "DENIED Can't remove all nodes.");
  });
});

Deno.test("AdminHandler.tweakPartitionTable() keeps copies apart, and warns if it can't", async () => {
  await withCluster(2, { partitions: 2, replicas: 0 }, async ({ scene, admin }) => {
    const encode = (text: string) => new TextEncoder().encode(text);
    await admin.order("SetNumReplicas", { replicas: 1 });
    await scene.storage({ extra: new Map([["devpath", [encode("room"), encode("disk")]]]) });
    await admin.order("AddPendingNodes", { nids: [3] });
    await tweak(admin, true);
    assert.match(scene.warnings.join(), /do not allow to keep all copies apart/);
  });
});

Deno.test("AdminHandler.setNumReplicas() changes nothing but the number", async () => {
  await withCluster(2, { partitions: 2 }, async ({ scene, admin }) => {
    for (const replicas of [-1, 65536]) {
      assert.equal(
        await admin.order("SetNumReplicas", { replicas }),
        "DENIED invalid number of replicas",
      );
    }
    assert.deepEqual(scene.sent("NotifyPartitionChanges"), []);
    assert.equal(await admin.order("SetNumReplicas", { replicas: 0 }), "");
    assert.deepEqual(scene.sent(), [
      ...["A1", "S1", "S2", "C1"].map((to) => `${to} NotifyPartitionChanges 2`),
      "A1 Error ACK",
    ]);
    const { replicas, cells } = admin.last("NotifyPartitionChanges");
    assert.deepEqual([replicas, cells], [0, []]);
    assert.equal(await tweak(admin), "changed U.|.U");
    assert.deepEqual(scene.sentTo("S1"), ["NotifyPartitionChanges 3 0:S2→D 1:S1→D"]);
  });
});

Deno.test("AdminHandler adds storages that were added before the cluster fell back to recovery", async () => {
  await withCluster(1, { partitions: 1 }, async ({ scene, admin, s }) => {
    await scene.storage();
    assert.equal(await admin.order("AddPendingNodes", { nids: [2] }), "Nodes added: S2");
    await s(1).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    await scene.storageWith({ ...s(1).data }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(await tweak(admin), "unchanged U");
    assert.equal(await admin.order("AddPendingNodes", { nids: [2] }), "Nodes added: S2");
    assert.equal(await tweak(admin), "changed UO");
  });
});

Deno.test("A transaction in progress is not expected in cells that a tweak creates", async () => {
  await withCluster(2, { partitions: 2, replicas: 0 }, async ({ scene, admin, client, s }) => {
    assert.equal(textOf(admin.last("SendPartitionTable").rows), "U.|.U");
    const ttid = await begin(client);
    await admin.order("SetNumReplicas", { replicas: 1 });
    assert.equal(await tweak(admin), "changed UO|OU");
    const { ttids } = await s(2).get("AskUnfinishedTransactions", { partitions: [0] });
    assert.deepEqual(ttids, [ttid], "it waits for the end before it replicates");
    scene.sent();
    // It stored an object of partition 0, and its metadata where its ttid says.
    const metadata = ttid % 2n === 0n ? [1] : [1, 2];
    const { tid } = await client.get("AskFinishTransaction", finishArgs(ttid, 2n));
    assert.deepEqual(
      scene.sent("AskLockInformation").map((line) => line.slice(0, 2)),
      metadata.map((nid) => `S${nid}`),
    );
    assert.deepEqual(s(2).last("NotifyTransactionFinished"), { ttid, tid });
    assert(!s(2).closed);
    const next = await begin(client);
    await client.get("AskFinishTransaction", finishArgs(next, 2n));
    assert.equal(scene.sent("AskLockInformation").length, 2, "later ones are");
  });
});

Deno.test("A transaction that is finished without a storage whose cells were taken is dropped there", async () => {
  await withCluster(2, { partitions: 1 }, async ({ admin, client, s }) => {
    const ttid = await begin(client);
    await admin.order("SetNumReplicas", { replicas: 0 });
    assert.equal(await tweak(admin), "changed U");
    await client.get("AskFinishTransaction", finishArgs(ttid, 1n));
    assert.equal(s(2).count("AskLockInformation"), 0);
    assert.deepEqual(s(2).last("AbortTransaction"), { ttid, nids: [] });
    assert.equal(s(1).count("AbortTransaction"), 0);
  });
});

Deno.test("AdminHandler.tweakPartitionTable() discards no copy that may not know a newer one", async () => {
  for (const frozen of [1, 2]) {
    await withCluster(2, { partitions: 1, replicas: 2 }, async ({ scene, admin, s }) => {
      const s3 = await scene.storage();
      await admin.order("AddPendingNodes", { nids: [3] });
      await tweak(admin);
      s(frozen).manual.add("Ping");
      await s3.replicate(0);
      await admin.order("SetNumReplicas", { replicas: 0 });
      assert.equal(await tweak(admin, true), "changed U");
      // What S2 knows does not depend on S1.
      if (frozen === 1) return assert.equal(await tweak(admin), "changed U");
      assert.match(await tweak(admin), /^DENIED S2 has not saved yet .*: try again later/);
      s(2).take("Ping").from.answer({});
      await settle();
      assert.equal(await tweak(admin), "changed U");
    });
  }
});

Deno.test("AdminHandler.tweakPartitionTable() does not leave out a storage that is being examined", async () => {
  await withScene({ partitions: 1 }, async (scene) => {
    await scene.storageWith({ ptid: 3, rows: "UO" }, { nid: 1 });
    const admin = await scene.admin();
    const s2 = scene.peer(NodeType.STORAGE, { nid: 2 });
    s2.manual.add("AskRecovery");
    await s2.identify();
    assert.match(await tweak(admin), /^DENIED tweak: S2 is entering the cluster/);
    assert.equal(await tweak(admin, false, [2]), "unchanged UO");
    s2.take("AskRecovery").from.answer({ ...s2.data, ptid: 3 });
    await settle();
    assert.match(await tweak(admin), /^changed/);
  });
});
