import assert from "node:assert/strict";
import { ClusterState, NodeState, NodeType } from "../../protocol/enums.ts";
import { toTid } from "../../protocol/ids.ts";
import { nidOf } from "../../protocol/nodes.ts";
import {
  begin,
  checkWaiting,
  errorOf,
  finishArgs,
  settle,
  withCluster,
  withScene,
} from "./support.ts";

const { DOWN, PENDING, RUNNING, UNKNOWN } = NodeState;

Deno.test("AdminHandler.setNodeState() stops a storage, then removes it", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, admin, client, s }) => {
    const kill = admin.command("SetNodeState", { nid: 2, state: DOWN });
    await settle();
    assert.equal(kill.answer, "state changed");
    assert.deepEqual(scene.sent(), [
      "S2 NotifyNodeInformation S2 DOWN",
      "A1 NotifyPartitionChanges 2 0:S2→O",
      "S1 NotifyPartitionChanges 2 0:S2→O",
      "C1 NotifyPartitionChanges 2 0:S2→O",
      "A1 Error ACK state changed",
      "A1 NotifyNodeInformation S2 DOWN",
      "S1 NotifyNodeInformation S2 DOWN",
      "C1 NotifyNodeInformation S2 DOWN",
    ]);
    assert(s(2).closed);
    const again = admin.command("SetNodeState", { nid: 2, state: DOWN });
    await settle();
    assert.equal(again.answer, "node already in DOWN state");
    scene.sent();
    const drop = admin.command("SetNodeState", { nid: 2, state: UNKNOWN });
    await settle();
    assert.equal(drop.answer, "node permanently removed");
    assert.deepEqual(scene.sent(), [
      "A1 NotifyPartitionChanges 3 0:S2→D",
      "S1 NotifyPartitionChanges 3 0:S2→D",
      "C1 NotifyPartitionChanges 3 0:S2→D",
      "A1 NotifyNodeInformation S2 UNKNOWN",
      "S1 NotifyNodeInformation S2 UNKNOWN",
      "C1 NotifyNodeInformation S2 UNKNOWN",
      "S1 Ping",
      "A1 Error ACK node permanently removed",
    ]);
    const ttid = await begin(client);
    assert((await client.get("AskFinishTransaction", finishArgs(ttid, 1n))).tid);
    const back = await scene.storage({ nid: 2 });
    assert.equal(back.count("StartOperation"), 0, "it is PENDING");
  });
});

Deno.test("AdminHandler.setNodeState() only removes a storage when the others have saved that", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    // All who may know a later table are there, and S3 is needed to truncate.
    const table = { ptid: 3, rows: "UUO", replicas: 2, truncateTid: toTid(1) };
    const s1 = scene.peer(NodeType.STORAGE, { nid: 1 });
    Object.assign(s1.data, table);
    s1.manual.add("Ping");
    await s1.identify();
    const removed = await scene.storageWith(table, { nid: 2 });
    const drop = admin.command("SetNodeState", { nid: 2, state: UNKNOWN });
    await settle();
    assert.equal(s1.data.rows, "U.O");
    checkWaiting(drop);
    assert(!removed.closed, "it may be needed, if power fails now");
    const back = await scene.peer(NodeType.STORAGE, { nid: 2 }).identify();
    assert.match(errorOf(back.identification), /^NOT_READY S2 is being removed/);
    s1.take("Ping").from.answer({});
    await settle();
    assert.equal(drop.answer, "node permanently removed");
    assert.equal(removed.last("NotifyNodeInformation").nodes[0]?.state, UNKNOWN);
    assert(removed.closed);

    // Whoever is lost meanwhile may forget it.
    const other = admin.command("SetNodeState", { nid: 3, state: UNKNOWN });
    await settle();
    checkWaiting(other);
    await s1.kill();
    assert.match(errorOf(other), /^DENIED storages were lost before they had saved that/);
  });
});

Deno.test("AdminHandler.setNodeState() removes no storage while those that must know are away", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const s2 = await scene.storageWith({ ptid: 3, rows: "UU", replicas: 1 }, { nid: 2 });
    assert.match(
      await admin.order("SetNodeState", { nid: 2, state: UNKNOWN }),
      /^DENIED the storages that have the other copies are not all connected/,
    );
    assert(!s2.closed);
    assert.equal((await admin.get("AskRecovery", {})).ptid, 3);
  });
});

Deno.test("AdminHandler.setNodeState() commits what waits for the storage it stops", async () => {
  await withCluster(2, { partitions: 1 }, async ({ admin, client, s }) => {
    s(2).manual.add("AskLockInformation");
    const ttid = await begin(client);
    const finish = client.ask("AskFinishTransaction", finishArgs(ttid, 1n));
    await settle();
    admin.command("SetNodeState", { nid: 2, state: DOWN });
    await settle();
    assert(finish.answer);
  });
});

Deno.test("AdminHandler.setNodeState() refuses what would do harm, or has no sense", async () => {
  await withCluster(2, { replicas: 0 }, async ({ scene, admin, client }) => {
    const pending = await scene.storage();
    const cases: [number, NodeState, RegExp][] = [
      [99, DOWN, /^DENIED unknown node S99/],
      [0x7fff_ffff, DOWN, /^DENIED unknown node/],
      [nidOf(NodeType.MASTER, 1), DOWN, /^DENIED can not kill primary master node/],
      [nidOf(NodeType.MASTER, 1), UNKNOWN, /^DENIED can not switch node to UNKNOWN state/],
      [client.nid, DOWN, /^DENIED can not switch node to DOWN state/],
      [1, RUNNING, /^DENIED can not switch node to RUNNING state/],
      [1, PENDING, /^DENIED can not switch node to PENDING state/],
      [1, DOWN, /^DENIED Refuse to drop nodes .* only readable copies of partition 0/],
      [1, UNKNOWN, /^DENIED a running node must be stopped before removal/],
    ];
    for (const [nid, state, expected] of cases) {
      const reply = admin.command("SetNodeState", { nid, state });
      await settle();
      assert.match(errorOf(reply), expected);
    }
    scene.sent();
    const drop = admin.command("SetNodeState", { nid: pending.nid, state: UNKNOWN });
    await settle();
    assert.equal(drop.answer, "state changed");
    assert.deepEqual(scene.sentTo("S3"), ["NotifyNodeInformation S3 UNKNOWN"]);
    assert(pending.closed);
  });
});

Deno.test("AdminHandler.setNodeState() forgets all about a storage that it removes", async () => {
  await withCluster(2, { partitions: 1, replicas: 1 }, async ({ scene, admin }) => {
    // Its connection is not closed yet when it is removed.
    const kill = admin.command("SetNodeState", { nid: 2, state: DOWN });
    const drop = admin.command("SetNodeState", { nid: 2, state: UNKNOWN });
    await settle();
    assert.equal(kill.answer, "state changed");
    assert.equal(drop.answer, "node permanently removed");
    const another = await scene.storage();
    assert.equal(another.nid, 2);
    const add = admin.command("AddPendingNodes", { nids: [2] });
    await settle();
    assert.equal(add.answer, "Nodes added: S2");
    assert.equal(scene.sentTo("S2").filter((sent) => /^StartOperation/.test(sent)).length, 1);
  });
});

Deno.test("AdminHandler.setNodeState() outdates nothing during recovery", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const table = { ptid: 3, rows: "UUU", replicas: 2 };
    const s1 = await scene.storageWith(table, { nid: 1 });
    const s2 = await scene.storageWith(table, { nid: 2 });
    scene.sent();
    admin.command("SetNodeState", { nid: 1, state: DOWN });
    await settle();
    assert(s1.closed);
    assert.deepEqual(scene.sent(), [
      "S1 NotifyNodeInformation S1 DOWN",
      "A1 Error ACK state changed",
      "A1 NotifyNodeInformation S1 DOWN",
      "S2 NotifyNodeInformation S1 DOWN",
    ]);
    assert.equal(s2.data.rows, "UUU");
  });
});

Deno.test("AdminHandler.setNodeState() removes no storage whose cells are not known yet", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const storage = scene.peer(NodeType.STORAGE, { nid: 1 });
    Object.assign(storage.data, { ptid: 1, rows: "U", replicas: 0 });
    storage.manual.add("AskPartitionTable");
    await storage.identify();
    await settle();
    const reply = admin.command("SetNodeState", { nid: 1, state: UNKNOWN });
    await settle();
    assert.match(errorOf(reply), /^DENIED the partition table is not known yet/);
    assert(!storage.closed);
  });
});

Deno.test("AdminHandler.setNodeState() lets recovery end without a storage that is removed", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    await scene.storageWith({ ptid: 3, rows: "UU", replicas: 1 }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    const drop = admin.command("SetNodeState", { nid: 2, state: UNKNOWN });
    await settle();
    assert.equal(drop.answer, "node permanently removed");
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal((await admin.get("AskRecovery", {})).ptid, 4);
  });
});

Deno.test("AdminHandler.setNodeState() removes a storage for good when others come back in recovery", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const table = { ptid: 3, rows: "UUUO", replicas: 3 };
    for (const nid of [1, 2]) await scene.storageWith(table, { nid });
    const early = admin.command("SetNodeState", { nid: 4, state: UNKNOWN });
    await settle();
    // S3 may have gone on without the others, and another version hide that.
    assert.match(
      errorOf(early),
      /^DENIED storages that may know a later partition table are missing/,
    );
    admin.command("SetNodeState", { nid: 3, state: UNKNOWN });
    await settle();
    scene.sent();
    const back = await scene.storageWith({ ptid: 4, rows: "UUU.", replicas: 3 }, { nid: 1 });
    assert.deepEqual(scene.sent("AskPartitionTable"), []);
    await scene.storageWith(table, { nid: 3 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(back.data.rows, "UUU.");
  });
});

Deno.test("AdminHandler.setNodeState() does not remove a storage that is being asked", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    await scene.storageWith({ ptid: 3, rows: "UU", replicas: 1 }, { nid: 1 });
    const slow = scene.peer(NodeType.STORAGE, { nid: 2 });
    slow.manual.add("AskRecovery");
    await slow.identify();
    const drop = admin.command("SetNodeState", { nid: 2, state: UNKNOWN });
    await settle();
    assert.match(errorOf(drop), /^DENIED the partition table is not known yet/);
    assert(!slow.closed);
    // It may be killed first.
    admin.command("SetNodeState", { nid: 2, state: DOWN });
    await settle();
    const again = admin.command("SetNodeState", { nid: 2, state: UNKNOWN });
    await settle();
    assert.equal(again.answer, "node permanently removed");
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("AdminHandler.setClusterState() refuses what is not possible", async () => {
  await withCluster(1, {}, async ({ admin }) => {
    const cases: [ClusterState, RegExp][] = [
      [ClusterState.VERIFYING, /^DENIED Can not switch to this state/],
      [ClusterState.RUNNING, /^DENIED Invalid state requested/],
      [ClusterState.RECOVERING, /^DENIED Invalid state requested/],
      [ClusterState.BACKINGUP, /^DENIED Invalid state requested/],
      [ClusterState.STARTING_BACKUP, /^DENIED .* pending transactions or connected clients/],
      [ClusterState.STOPPING_BACKUP, /^DENIED Can not switch to this state/],
    ];
    for (const [state, expected] of cases) {
      const reply = admin.command("SetClusterState", { state });
      await settle();
      assert.match(errorOf(reply), expected);
    }
  });
});

Deno.test("AdminHandler relays the order to flush logs", async () => {
  await withCluster(1, {}, async ({ scene, admin }) => {
    admin.notify("FlushLog", {});
    await settle();
    assert.deepEqual(scene.sent(), ["S1 FlushLog", "C1 FlushLog"]);
  });
});

Deno.test("AdminHandler.setClusterState() refuses to become a backup", async () => {
  await withCluster(1, {}, async ({ admin, client }) => {
    await client.kill();
    assert.equal(
      await admin.order("SetClusterState", { state: ClusterState.STARTING_BACKUP }),
      "DENIED No upstream cluster to backup defined in configuration",
    );
  });
});

Deno.test("AdminHandler.repair() tells storages, all or none", async () => {
  await withCluster(2, {}, async ({ scene, admin, client, s }) => {
    assert.equal(await admin.order("Repair", { nids: [1, 2, 1], dryRun: true }), "");
    assert.deepEqual(scene.sent(), [
      "S1 NotifyRepair dry",
      "S2 NotifyRepair dry",
      "A1 Error ACK",
    ]);
    await s(2).kill();
    scene.sent();
    for (const nid of [2, 9, client.nid, nidOf(NodeType.MASTER, 1)]) {
      assert.match(
        await admin.order("Repair", { nids: [1, nid], dryRun: false }),
        /^DENIED invalid storage node [SCM]\d$/,
      );
    }
    assert.deepEqual(scene.sent("NotifyRepair"), []);
  });
});

Deno.test("AdminHandler refuses what needs a cluster in service", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const tweak = admin.ask("TweakPartitionTable", { dryRun: true, excluded: [] });
    await settle();
    const refused = [
      errorOf(tweak),
      await admin.order("AddPendingNodes", { nids: [1] }),
      await admin.order("SetNumReplicas", { replicas: 1 }),
      await admin.order("Truncate", { tid: toTid(1) }),
      await admin.order("CheckReplicas", { sources: new Map(), min: toTid(0), max: null }),
    ];
    assert.deepEqual(
      refused,
      ["tweakPartitionTable", "addPendingNodes", "setNumReplicas", "truncate", "checkReplicas"]
        .map((name) => `DENIED ${name} RPC can not be used in RECOVERING state`),
    );
    assert(!admin.closed);
  });
});
