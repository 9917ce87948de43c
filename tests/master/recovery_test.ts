import assert from "node:assert/strict";
import { ClusterState, NodeType } from "../../protocol/enums.ts";
import { type Tid, toTid } from "../../protocol/ids.ts";
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

const STATE = { state: ClusterState.VERIFYING };

Deno.test("Recovery of an existing cluster waits for all nodes with readable cells", async () => {
  await withScene({ partitions: 50, replicas: 0 }, async (scene) => {
    const table = { ptid: 7, rows: "UU.|U.O", replicas: 1 };
    const s1 = await scene.storageWith(table, { nid: 1 });
    assert.deepEqual(scene.sent(), [
      "S1 AcceptIdentification S1",
      "S1 NotifyNodeInformation S1 PENDING, M1 RUNNING",
      "S1 AskRecovery",
      "S1 AskPartitionTable",
    ]);
    const admin = await scene.admin();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.deepEqual(await admin.get("AskRecovery", {}), {
      ptid: 7,
      backupTid: null,
      truncateTid: null,
    });
    scene.sent();
    await scene.storageWith(table, { nid: 2 });
    // S3 only has outdated cells: it is not waited for, and becomes known to storages.
    assert.deepEqual(scene.sent().slice(0, 16), [
      "S1 NotifyNodeInformation S2 PENDING",
      "A1 NotifyNodeInformation S2 PENDING",
      "S2 AcceptIdentification S2",
      "S2 NotifyNodeInformation S2 PENDING, M1 RUNNING, S1 PENDING, S3 DOWN",
      "S2 AskRecovery",
      "S2 AskPartitionTable",
      "S1 NotifyNodeInformation S1 RUNNING, S2 RUNNING, S3 DOWN",
      "S2 NotifyNodeInformation S1 RUNNING, S2 RUNNING, S3 DOWN",
      "A1 NotifyNodeInformation S1 RUNNING, S2 RUNNING, S3 DOWN",
      "S1 NotifyClusterInformation VERIFYING",
      "S1 SendPartitionTable 7 UU.|U.O",
      "S2 NotifyClusterInformation VERIFYING",
      "S2 SendPartitionTable 7 UU.|U.O",
      "A1 NotifyClusterInformation VERIFYING",
      "S1 AskLockedTransactions",
      "S2 AskLockedTransactions",
    ]);
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s1.data.ptid, 7);
  });
});

Deno.test("Recovery tells admins the table when it is loaded", async () => {
  await withScene({}, async (scene) => {
    await scene.admin();
    scene.sent();
    await scene.storageWith({ ptid: 3, rows: "UU" }, { nid: 1 });
    assert.deepEqual(scene.sentTo("A1"), [
      "NotifyNodeInformation S1 PENDING",
      "NotifyNodeInformation S2 DOWN",
      "SendPartitionTable 3 UU",
    ]);
  });
});

Deno.test("Recovery starts without missing nodes if an operator says so", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const s1 = await scene.storageWith({ ptid: 3, rows: "UU|UU", replicas: 1 }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    scene.sent();
    const start = admin.command("SetClusterState", STATE);
    await settle();
    assert.equal(start.answer, "Cluster state changed");
    assert.deepEqual(scene.sent().slice(0, 5), [
      "A1 Error ACK Cluster state changed",
      "A1 NotifyNodeInformation S1 RUNNING, S2 DOWN",
      "S1 NotifyNodeInformation S1 RUNNING, S2 DOWN",
      "A1 NotifyPartitionChanges 4 0:S2→O 1:S2→O",
      "A1 NotifyClusterInformation VERIFYING",
    ]);
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s1.data.rows, "UO|UO");
  });
});

Deno.test("Recovery waits for a copy of each partition even if an operator lets it start", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    await scene.storageWith({ ptid: 3, rows: "U.|.U" }, { nid: 1 });
    admin.command("SetClusterState", STATE);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    await scene.storageWith({ ptid: 3, rows: "U.|.U" }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Recovery uses the newest table", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    await scene.storageWith({ ptid: 3, rows: "UU" }, { nid: 1 });
    await scene.storageWith({ ptid: 5, rows: "OU" }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(admin.last("SendPartitionTable").ptid, 5);
  });
});

/** What a storage without cells saved when S1 and S2 were about to be lost. */
const ORPHAN = { ptid: 4, rows: "OU" };

Deno.test("Recovery does not believe a table that no storage it calls up to date has saved", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const s3 = await scene.storageWith(ORPHAN, { nid: 3 });
    await scene.storageWith({ ptid: 3, rows: "UU" }, { nid: 2 });
    // Meanwhile S1 may have gone on alone, as it did.
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.match(scene.warnings.join(), /table 4 of S3 .* is doubted: the storages/);
    assert.equal(admin.last("SendPartitionTable").ptid, 3);
    await scene.storageWith({ ptid: 4, rows: "UO" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s3.data.rows, "UO");
  });
});

Deno.test("Recovery believes a storage that knows that it missed something", async () => {
  // S2 committed without S1, and lost its power before it had saved the table that S1 was given then.
  for (const order of [[1, 2, 3], [2, 1, 3], [3, 2, 1]]) {
    await withScene({}, async (scene) => {
      const admin = await scene.admin();
      const saved = [{ ptid: 4, rows: "OU" }, { ptid: 3, rows: "UU" }, ORPHAN];
      for (const nid of order) {
        const table = saved[nid - 1];
        assert.ok(table);
        await scene.storageWith(table, { nid });
      }
      assert.equal(await scene.clusterState(admin), "RUNNING");
      assert.equal(admin.last("SendPartitionTable").ptid, 4);
    });
  }
});

Deno.test("Recovery prefers, of two tables of one version, that of a storage it calls up to date", async () => {
  for (const order of [[3, 1, 2], [1, 3, 2], [2, 3, 1], [3, 2, 1]]) {
    await withScene({}, async (scene) => {
      const admin = await scene.admin();
      const saved = [{ ptid: 4, rows: "UO" }, { ptid: 3, rows: "UU" }, ORPHAN];
      for (const nid of order) {
        const table = saved[nid - 1];
        assert.ok(table);
        await scene.storageWith(table, { nid });
      }
      assert.equal(await scene.clusterState(admin), "RUNNING");
      assert.deepEqual(admin.last("SendPartitionTable").rows, [[{ nid: 1, state: 1 }, {
        nid: 2,
        state: 0,
      }]]);
    });
  }
});

Deno.test("Recovery believes a table if the storages it calls up to date are empty or away", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    await scene.storageWith(ORPHAN, { nid: 3 });
    await scene.storageWith({ ptid: 3, rows: "UU" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    // It lost what it had saved.
    await scene.storage({ nid: 2 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.equal(admin.last("SendPartitionTable").ptid, 4);
  });
});

Deno.test("Recovery goes back to what this master knew", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, admin, s }) => {
    await s(2).kill();
    await s(1).kill();
    await scene.storageWith({ ptid: 9, rows: "OU" }, { nid: 3 });
    await scene.storageWith({ ptid: 1, rows: "UU" }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    await scene.storageWith({ ptid: 1, rows: "UU" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(admin.last("SendPartitionTable").ptid, 2);
  });
});

Deno.test("Recovery asks another storage when the one asked for the table is lost", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const first = scene.peer(NodeType.STORAGE, { nid: 1 });
    Object.assign(first.data, { ptid: 5, rows: "UUO" });
    first.manual.add("AskPartitionTable");
    await first.identify();
    await scene.storageWith({ ptid: 5, rows: "UUO" }, { nid: 3 });
    scene.sent();
    await first.kill();
    assert.deepEqual(scene.sent("AskPartitionTable", "NotifyNodeInformation"), [
      "S3 AskPartitionTable",
      "A1 NotifyNodeInformation S1 DOWN",
      "S3 NotifyNodeInformation S1 DOWN",
      "A1 NotifyNodeInformation S2 DOWN",
    ]);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
  });
});

Deno.test("Recovery never creates a table when a storage has reported one", async () => {
  await withScene({ autostart: 1 }, async (scene) => {
    const admin = await scene.admin();
    const old = scene.peer(NodeType.STORAGE, { nid: 1 });
    Object.assign(old.data, { ptid: 5, rows: "U" });
    old.manual.add("AskPartitionTable");
    await old.identify();
    await old.kill();
    await scene.storage({ nid: 2 });
    admin.command("SetClusterState", STATE);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.match(scene.warnings.join(), /partition table 5 is only known by S1/);
    await scene.storageWith({ ptid: 5, rows: "U" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Recovery does not use an older table when a newer one was reported", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const newer = scene.peer(NodeType.STORAGE, { nid: 2 });
    Object.assign(newer.data, { ptid: 6, rows: "OU" });
    newer.manual.add("AskPartitionTable");
    await newer.identify();
    await newer.kill();
    await scene.storageWith({ ptid: 5, rows: "U" }, { nid: 1 });
    admin.command("SetClusterState", STATE);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
  });
});

Deno.test("Recovery after the loss of the last copy does not wait for nodes lost before", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, admin, client, s }) => {
    await s(2).kill();
    const before = scene.master.dump();
    assert.match(before, /0: S1:U S2:O/);
    scene.sent();
    await s(1).kill();
    assert.deepEqual(scene.sent(), [
      "A1 NotifyNodeInformation S1 DOWN",
      "C1 NotifyNodeInformation S1 DOWN",
      "C1 StopOperation",
      "A1 NotifyClusterInformation RECOVERING",
      "A1 NotifyNodeInformation C1 UNKNOWN",
    ]);
    const waiting = await scene.client({ nid: client.nid });
    checkWaiting(waiting.identification);
    await scene.storageWith({ ptid: 2, rows: "UO" }, { nid: 1 });
    assert.equal(waiting.nid, client.nid);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Recovery outdates nothing when all storages come back", async () => {
  await withCluster(2, { partitions: 2, replicas: 0 }, async ({ scene, admin, s }) => {
    scene.sent();
    await s(2).kill();
    assert.deepEqual(scene.sentTo("S1").slice(0, 5), [
      "NotifyNodeInformation S2 DOWN",
      "StopOperation",
      "NotifyNodeInformation S1 PENDING",
      "NotifyClusterInformation RECOVERING",
      "AskRecovery",
    ]);
    await scene.storageWith({ ptid: 1, rows: "U.|.U" }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s(1).data.ptid, 1);
  });
});

Deno.test("Recovery never believes a storage that this master has outdated", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, admin, s }) => {
    await s(2).kill();
    await s(1).kill();
    // What was committed without it is only on S1, and its own table is from before.
    const s2 = await scene.storageWith({ ptid: 1, rows: "UU" }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    // S1 may have been killed before it saved the last table.
    await scene.storageWith({ ptid: 1, rows: "UU" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s2.data.rows, "UO");
  });
});

Deno.test("Recovery creates no table when this master knows one", async () => {
  await withCluster(1, { partitions: 1 }, async ({ scene, admin, s }) => {
    await s(1).kill();
    const blank = await scene.storage();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.equal(blank.nid, 2);
    await scene.storageWith({ ptid: 1, rows: "U" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(blank.data.rows, "U");
  });
});

Deno.test("Recovery begins no other cluster where there is one, whatever an operator says", async () => {
  await withCluster(1, { partitions: 1 }, async ({ scene, admin, s }) => {
    // With another master, this one forgets its table when it can't operate any more.
    await scene.peer(NodeType.MASTER, { address: scene.newAddress(), idTimestamp: 1e12 })
      .identify();
    await s(1).kill();
    await scene.storage();
    const start = admin.command("SetClusterState", { state: ClusterState.VERIFYING });
    await settle();
    assert.match(errorOf(start), /^DENIED Cannot exit recovery: no storage with data is there/);
    await scene.storageWith({ ptid: 1, rows: "U" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Recovery waits for what any storage is about to report", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const newer = scene.peer(NodeType.STORAGE, { nid: 2 });
    Object.assign(newer.data, { ptid: 6, rows: "OU" });
    newer.manual.add("AskRecovery");
    await newer.identify();
    await scene.storageWith({ ptid: 5, rows: "UO" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    newer.take("AskRecovery").from.answer(newer.data);
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(newer.data.rows, "OU");
  });
});

Deno.test("Recovery ignores what storages sent before they learnt that operation stopped", async () => {
  await withCluster(2, { partitions: 2, replicas: 0 }, async ({ scene, s }) => {
    const late = s(1);
    await s(2).kill();
    late.notify("NotifyReady", {});
    late.notify("NotifyReplicationDone", { partition: 0, tid: toTid(1) });
    late.notify("NotifyPackCompleted", { id: toTid(1) });
    late.notify("NotifyPartitionCorrupted", { partition: 0, nids: [1] });
    assert.deepEqual(await late.get("AskUnfinishedTransactions", { partitions: [0] }), {
      lastTid: 0n,
      ttids: [],
    });
    assert.deepEqual(await late.get("AskPackOrders", { minId: toTid(0) }), { orders: [] });
    assert(!late.closed);
    await scene.storageWith({ ptid: 1, rows: "U.|.U" }, { nid: 2 });
    const client = await scene.client();
    const ttid = await begin(client);
    const finish = client.ask("AskFinishTransaction", finishArgs(ttid, 0n, 1n));
    await settle();
    answerOf(finish);
  });
});

// Truncation

const TRUNCATE = 0x0400n as Tid;
const LATER = 0x0500n as Tid;

Deno.test("Recovery truncates all storages when some of them were told to", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const table = { ptid: 3, rows: "UUO", replicas: 2 };
    const s1 = await scene.storageWith(table, { nid: 1 });
    const s2 = await scene.storageWith({ ...table, truncateTid: LATER }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RECOVERING", "all nodes must truncate");
    const s3 = scene.peer(NodeType.STORAGE, { nid: 3 });
    Object.assign(s3.data, { ...table, truncateTid: TRUNCATE });
    s1.manual.add("AskRecovery");
    scene.sent();
    await s3.identify();
    assert.deepEqual(scene.sent("Truncate", "AskRecovery").sort(), [
      "S1 AskRecovery",
      "S1 Truncate 1280",
      "S3 AskRecovery",
    ]);
    assert.deepEqual(s1.last("Truncate"), { tid: LATER });
    assert.equal(s2.count("Truncate"), 0);
    s1.take("AskRecovery").from.answer(s1.data);
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Recovery truncates to the first of several orders", async () => {
  await withScene({}, async (scene) => {
    const table = { ptid: 3, rows: "UU", replicas: 1 };
    await scene.storageWith({ ...table, truncateTid: LATER }, { nid: 1 });
    await scene.storageWith({ ...table, truncateTid: TRUNCATE }, { nid: 2 });
    assert.deepEqual(scene.sent("Truncate"), ["S1 Truncate 1024"]);
  });
});

Deno.test("Recovery disconnects a storage that does not do what it is told to", async () => {
  await withScene({}, async (scene) => {
    const table = { ptid: 3, rows: "UU", replicas: 1 };
    const s1 = scene.peer(NodeType.STORAGE, { nid: 1 });
    Object.assign(s1.data, table);
    s1.manual.add("Truncate");
    await s1.identify();
    await scene.storageWith({ ...table, truncateTid: TRUNCATE }, { nid: 2 });
    assert(s1.closed);
    assert.equal(s1.count("Truncate"), 1);
  });
});

Deno.test("Recovery waits again when a storage that must truncate is lost", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const table = { ptid: 3, rows: "UU", replicas: 1, truncateTid: TRUNCATE };
    const s1 = scene.peer(NodeType.STORAGE, { nid: 1 });
    Object.assign(s1.data, table);
    s1.manual.add("AskLastIDs");
    await s1.identify();
    const s2 = await scene.storageWith(table, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "VERIFYING");
    await s2.kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    s1.manual.clear();
    s1.take("AskLastIDs").from.answer(s1.data);
    await settle();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    await scene.storageWith(table, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal((await admin.get("AskRecovery", {})).truncateTid, null);
  });
});

Deno.test("Recovery refuses the database of a backup cluster", async () => {
  await withScene({}, async (scene) => {
    await scene.storageWith({ ptid: 1, rows: "U", backupTid: toTid(0) }, { nid: 1 });
    await settle();
    assert.match(String(scene.outcome), /backup clusters are not supported yet/);
  });
});

// Temporary ids

Deno.test("Recovery gives an id of the table back to its owner", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const address = scene.newAddress();
    const newcomer = await scene.storage({ address });
    assert.equal(newcomer.nid, 1);
    const s1 = await scene.storageWith({ ptid: 2, rows: "U" }, { nid: 1 });
    assert(newcomer.closed);
    assert.equal(s1.nid, 1);
    assert.equal(await scene.clusterState(admin), "RUNNING");
    // It saved the id: it asks for it.
    const again = await scene.storage({ nid: 1, address });
    assert.equal(again.nid, 2);
  });
});

Deno.test("Recovery takes an id of the table from an empty storage", async () => {
  await withScene({}, async (scene) => {
    const address = scene.newAddress();
    const newcomer = await scene.storage({ address });
    assert.equal(newcomer.nid, 1);
    await scene.storageWith({ ptid: 2, rows: "UU" }, { nid: 2 });
    assert(newcomer.closed);
    const again = await scene.storage({ nid: 1, address });
    assert.equal(again.nid, 3);
  });
});

Deno.test("Recovery lets a storage keep the id it asked for at creation, unless another one does", async () => {
  await withScene({}, async (scene) => {
    const first = await scene.storage({ nid: 7 });
    assert.equal(first.nid, 7);
    assert.equal((await scene.storage()).nid, 1);
    assert(!first.closed);
    const other = await scene.storage({ nid: 7 });
    assert.equal(other.nid, 7);
    assert(first.closed);
  });
});

Deno.test("Recovery lets a storage keep its id while it may still prove that it is its own", async () => {
  await withScene({}, async (scene) => {
    const first = scene.peer(NodeType.STORAGE, { nid: 1 });
    first.manual.add("AskRecovery");
    await first.identify();
    const other = await scene.storage({ nid: 1 });
    assert.match(errorOf(other.identification), /^PROTOCOL_ERROR .*already connected/);
  });
});

Deno.test("Recovery outdates a storage that lost its database if an operator orders the start", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    const s1 = await scene.storageWith({ ptid: 2, rows: "UU", replicas: 1 }, { nid: 1 });
    const blank = await scene.storage({ nid: 2 });
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    admin.command("SetClusterState", STATE);
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s1.data.rows, "UO");
    assert(blank.closed);
  });
});

Deno.test("Recovery does not start with a storage that lost its database", async () => {
  await withScene({}, async (scene) => {
    const admin = await scene.admin();
    await scene.storageWith({ ptid: 2, rows: "U.|.U" }, { nid: 1 });
    const blank = await scene.storage({ nid: 2 });
    assert.equal(blank.nid, 2);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert(
      scene.warnings.some((text) =>
        /S2.* is empty, but the partition table gives it data/.test(text)
      ),
    );
  });
});
