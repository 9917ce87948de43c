import assert from "node:assert/strict";
import { ClusterState, NodeType } from "../../protocol/enums.ts";
import { begin, errorOf, finishArgs, settle, withScene } from "./support.ts";

Deno.test("Master creates a cluster and commits with the messages of the protocol", async () => {
  await withScene({ partitions: 4, replicas: 1 }, async (scene) => {
    const admin = await scene.admin();
    assert.deepEqual(scene.sent(), [
      "A1 AcceptIdentification A1",
      "A1 NotifyNodeInformation A1 RUNNING, M1 RUNNING",
      "A1 SendPartitionTable null |||",
    ]);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    scene.sent();

    const s2 = await scene.storage({ nid: 2 });
    assert.deepEqual(scene.sent(), [
      "A1 NotifyNodeInformation S2 PENDING",
      "S2 AcceptIdentification S2",
      "S2 NotifyNodeInformation S2 PENDING, M1 RUNNING",
      "S2 AskRecovery",
    ]);
    const s1 = await scene.storage({ nid: 1 });
    assert.deepEqual(scene.sent(), [
      "A1 NotifyNodeInformation S1 PENDING",
      "S2 NotifyNodeInformation S1 PENDING",
      "S1 AcceptIdentification S1",
      "S1 NotifyNodeInformation S1 PENDING, M1 RUNNING, S2 PENDING",
      "S1 AskRecovery",
    ]);

    s1.manual.add("AskLockedTransactions");
    admin.command("SetClusterState", { state: ClusterState.VERIFYING });
    await settle();
    assert.deepEqual(scene.sentTo("A1"), [
      "Error ACK Cluster state changed",
      "NotifyNodeInformation S2 RUNNING, S1 RUNNING",
      "SendPartitionTable 1 UU|UU|UU|UU",
      "NotifyClusterInformation VERIFYING",
    ]);
    const start = [
      "NotifyNodeInformation S2 RUNNING, S1 RUNNING",
      "NotifyClusterInformation VERIFYING",
      "SendPartitionTable 1 UU|UU|UU|UU",
      "AskLockedTransactions",
    ];
    assert.deepEqual(scene.sentTo("S1"), start);
    assert.deepEqual(scene.sentTo("S2"), start);
    scene.sent();

    s1.manual.clear();
    s1.manual.add("AskLastIDs");
    s1.take("AskLockedTransactions").from.answer({ transactions: new Map() });
    await settle();
    assert.deepEqual(scene.sent(), ["S1 AskLastIDs", "S2 AskLastIDs"].toReversed());
    s1.take("AskLastIDs").from.answer(s1.data);
    await settle();
    assert.deepEqual(scene.sent(), [
      "S1 AskPackOrders",
      "S2 AskPackOrders",
      "A1 NotifyClusterInformation RUNNING",
      "S2 NotifyClusterInformation RUNNING",
      "S2 StartOperation",
      "S1 NotifyClusterInformation RUNNING",
      "S1 StartOperation",
    ]);

    const client = await scene.client();
    assert.deepEqual(scene.sent(), [
      "A1 NotifyNodeInformation C1 RUNNING",
      "S2 NotifyNodeInformation C1 RUNNING",
      "S1 NotifyNodeInformation C1 RUNNING",
      "C1 AcceptIdentification C1",
      "C1 NotifyNodeInformation C1 RUNNING, M1 RUNNING, S2 RUNNING, S1 RUNNING",
      "C1 SendPartitionTable 1 UU|UU|UU|UU",
    ]);
    const other = await scene.client();
    assert.deepEqual(await client.get("AskLastTransaction", {}), { tid: 0n });
    const { oids } = await client.get("AskNewOIDs", { count: 3 });
    assert.deepEqual(oids, [1n, 2n, 3n]);

    const ttid = await begin(client);
    scene.sent();
    const finish = client.ask("AskFinishTransaction", finishArgs(ttid, 1n, 2n));
    await settle();
    assert.deepEqual(scene.sent(), [
      "S1 AskLockInformation",
      "S2 AskLockInformation",
      "C1 AnswerTransactionFinished",
      "C2 InvalidateObjects",
      "S1 NotifyUnlockInformation",
      "S2 NotifyUnlockInformation",
    ]);
    const tid = finish.answer?.tid;
    assert(tid !== undefined && tid >= ttid);
    assert.equal(tid % 4n, ttid % 4n);
    assert.deepEqual(s1.last("AskLockInformation"), { ttid, tid, pack: false });
    assert.deepEqual(other.last("InvalidateObjects"), { tid, oids: [1n, 2n] });
    assert.deepEqual(await other.get("AskLastTransaction", {}), { tid });
    assert.deepEqual(await other.get("AskLastIDs", {}), {
      lastTid: tid,
      lastOid: 3n,
      firstTid: tid,
    });
    assert.equal(s2.count("NotifyUnlockInformation"), 1);
  });
});

Deno.test("Master creates a cluster without an operator when enough storages are there", async () => {
  await withScene({ autostart: 3, partitions: 3, replicas: 0 }, async (scene) => {
    const admin = await scene.admin();
    await scene.storage();
    await scene.storage();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    const s3 = await scene.storage();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s3.data.rows, "U..|.U.|..U");
  });
});

Deno.test("Master does not create a table while a storage may still report one", async () => {
  await withScene({ autostart: 1 }, async (scene) => {
    const admin = await scene.admin();
    const storage = scene.peer(NodeType.STORAGE);
    storage.manual.add("AskRecovery");
    await storage.identify();
    await scene.storage();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    const start = admin.command("SetClusterState", { state: ClusterState.VERIFYING });
    await settle();
    assert.match(errorOf(start), /^DENIED Cannot exit recovery now: node S1 .* entering cluster/);
    storage.take("AskRecovery").from.answer(storage.data);
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Master refuses to start a cluster without storage", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const start = admin.command("SetClusterState", { state: ClusterState.VERIFYING });
    await settle();
    assert.equal(errorOf(start), "DENIED Cannot exit recovery without any storage node");
  });
});
