/** Cells that get up to date while an older copy may not hear of it, and ids that mean two storages. */

import assert from "node:assert/strict";
import { ClusterState, NodeState } from "../../protocol/enums.ts";
import { toTid, ZERO_TID } from "../../protocol/ids.ts";
import {
  errorOf,
  type Peer,
  type Running,
  type Scene,
  settle,
  withCluster,
  withScene,
} from "./support.ts";

/** The table that a master sent to a storage. */
const tableOf = ({ data: { ptid, rows } }: Peer) => `${ptid} ${rows}`;

/** The changes that a master announced to a node since the last time. */
const changes = (scene: Scene, to = "S2", sent = scene.sent("NotifyPartitionChanges")) =>
  sent.filter((line) => line.startsWith(to)).map((line) => line.replace(/^\w+ \w+ /, ""));

Deno.test("Promotions: a cluster waits for its former only copy until that knows the new one", async () => {
  await withCluster(1, { partitions: 1, replicas: 1 }, async ({ scene, admin, s }) => {
    const s2 = await scene.storage();
    await admin.order("AddPendingNodes", { nids: [2] });
    await admin.get("TweakPartitionTable", { dryRun: false, excluded: [] });
    s(1).manual.add("Ping");
    scene.sent();
    await s2.replicate(0);
    assert.deepEqual(changes(scene), ["3 0:S2→U"]);
    assert.match(
      await admin.order("SetNodeState", { nid: 1, state: NodeState.DOWN }),
      /^DENIED S1 has not saved yet that others have its data: try again later/,
    );
    // It is killed before it has saved that.
    await s(1).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.match(scene.warnings.join("\n"), /S1 .* may not know .*: waiting for it/);
    const back = await scene.storageWith({ ptid: 2, rows: "UO" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(tableOf(back), "4 UO", "S1 may have served alone");

    scene.sent();
    await s2.replicate(0);
    await back.kill();
    assert.deepEqual(changes(scene), ["5 0:S2→U", "6 0:S1→O"]);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Promotions: what feeds a new copy is only discarded when it knows that", async () => {
  await withCluster(1, { partitions: 2, replicas: 0 }, async ({ scene, admin, s }) => {
    const s2 = await scene.storage();
    await admin.order("AddPendingNodes", { nids: [2] });
    await admin.get("TweakPartitionTable", { dryRun: false, excluded: [] });
    s(1).manual.add("Ping");
    scene.sent();
    await s2.replicate(1);
    const first = scene.sent("NotifyPartitionChanges");
    assert.deepEqual(changes(scene, "S2", first), ["3 1:S2→U"]);
    assert.deepEqual(changes(scene, "A1", first), [], "operators must not rely on it yet");
    s(1).take("Ping").from.answer({});
    await settle();
    assert.deepEqual(changes(scene, "A1"), ["3 1:S2→U", "4 1:S1→D"]);
  });
});

/** Adds a storage, and has it replicate everything. */
async function addStorage({ scene, admin }: Running): Promise<Peer> {
  const storage = await scene.storage();
  await admin.order("AddPendingNodes", { nids: [storage.nid] });
  await admin.get("TweakPartitionTable", { dryRun: false, excluded: [] });
  return storage;
}

Deno.test("Promotions: who knows a copy does not therefore know that it got up to date again", async () => {
  await withCluster(1, { partitions: 1, replicas: 1 }, async (running) => {
    const { scene, admin, s } = running;
    const s2 = await addStorage(running);
    s(1).manual.add("Ping");
    await s2.replicate(0);
    await s2.kill();
    const back = await scene.storageWith({ ptid: 4, rows: "UO" }, { nid: 2 });
    await back.replicate(0);
    s(1).take("Ping").from.answer({});
    await settle();
    await s(1).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
  });
});

Deno.test("Promotions: a storage that is stopped is forgotten", async () => {
  await withCluster(2, { partitions: 1, replicas: 2 }, async (running) => {
    const { scene, admin, s } = running;
    const s3 = await addStorage(running);
    const stop = (nid: number) => admin.order("SetNodeState", { nid, state: NodeState.DOWN });
    s(1).manual.add("Ping");
    await s3.replicate(0);
    assert.equal(await stop(1), "state changed");
    const back = await scene.storage({ nid: 1 });
    await back.replicate(0);
    assert.equal(await stop(2), "state changed");
    assert.equal(await stop(1), "state changed", "it knows S3 since it is back");
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Promotions: a storage that waits for another one anyway need not know its new copy", async () => {
  await withCluster(1, { partitions: 2, replicas: 1 }, async (running) => {
    const { scene, admin, s } = running;
    const s2 = await addStorage(running);
    await s2.replicate(0);
    s(1).manual.add("Ping");
    await s2.replicate(1);
    await s(1).kill();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(changes(scene).at(-1), "5 0:S1→O 1:S1→O");
  });
});

/** A cluster whose former only copy is lost, corrupted, before it has heard of the new one. */
function withCorruptedLost(test: (running: Running) => Promise<void>): Promise<void> {
  return withCluster(1, { partitions: 1, replicas: 1 }, async (running) => {
    const { scene, admin, s } = running;
    const s2 = await addStorage(running);
    s(1).manual.add("Ping");
    await s2.replicate(0);
    const sources = new Map([[0, null]]);
    await admin.order("CheckReplicas", { sources, min: ZERO_TID, max: null });
    s2.notify("NotifyPartitionCorrupted", { partition: 0, nids: [1] });
    await settle();
    assert.equal(changes(scene).at(-1), "4 0:S1→C");
    await s(1).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    await test(running);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
}

Deno.test("Promotions: a former only copy is waited for even if it is not to be read any more", async () => {
  await withCorruptedLost(async ({ scene }) => {
    await scene.storageWith({ ptid: 2, rows: "UO" }, { nid: 1 });
  });
});

Deno.test("Promotions: a former only copy is not waited for if an operator says so", async () => {
  await withCorruptedLost(async ({ admin }) => {
    const drop = await admin.order("SetNodeState", { nid: 1, state: NodeState.UNKNOWN });
    assert.equal(drop, "node permanently removed");
  });
  await withCorruptedLost(async ({ admin }) => {
    await admin.order("SetClusterState", { state: ClusterState.VERIFYING });
  });
});

Deno.test("Recovery replicates again what an older copy does not know to be up to date", async () => {
  await withScene({ partitions: 2 }, async (scene) => {
    await scene.storageWith({ ptid: 3, rows: "UU.|.UU" }, { nid: 2 });
    await scene.storageWith({ ptid: 3, rows: "UU.|.UU" }, { nid: 3 });
    // S1 has only heard that S2 is to replicate its partition.
    const s1 = await scene.storageWith({ ptid: 2, rows: "UO.|.UU" }, { nid: 1 });
    assert.equal(s1.count("AskPartitionTable"), 1);
    assert.equal(tableOf(s1), "4 UO.|.UU");
    assert.match(scene.warnings.join("\n"), /partition 0 of S2 is replicated again/);
  });
});

Deno.test("Recovery replicates again what another table of the same version does not know", async () => {
  // S2 was replicated first, and only itself has saved that; S1 and S3 have gone on without it.
  for (const order of [[2, 1, 3], [2, 3, 1], [1, 2, 3], [3, 2, 1]]) {
    await withScene({ partitions: 1 }, async (scene) => {
      const admin = await scene.admin();
      const tables = ["UOU", "UUO", "UOU"];
      const storages: Peer[] = [];
      for (const nid of order) {
        const rows = tables[nid - 1] ?? "";
        storages.push(await scene.storageWith({ ptid: 3, rows }, { nid }));
      }
      assert.equal(await scene.clusterState(admin), "RUNNING");
      for (const storage of storages) {
        assert.equal(storage.count("AskPartitionTable"), 1);
        assert.match(tableOf(storage), order[0] === 2 ? /^4 UOO$/ : /^3 UOU$/);
      }
    });
  }
});

Deno.test("Recovery does not take a storage for the one that its id was given to", async () => {
  await withScene({ partitions: 1 }, async (scene) => {
    const address = scene.newAddress();
    const former = await scene.storageWith({ ptid: 1, rows: "U." }, { nid: 2, address });
    const admin = await scene.admin();
    const s1 = await scene.storageWith({ ptid: 3, rows: "UU" }, { nid: 1 });
    assert(former.closed, "its own table gives it nothing");
    assert.match(scene.warnings.join("\n"), /S2 .* the id is another one's by now/);
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    const back = await scene.storageWith({ ptid: 1, rows: "U." }, { nid: 2, address });
    assert.equal(back.nid, 3);
    const s2 = await scene.storageWith({ ptid: 3, rows: "UU" }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(s2.count("StartOperation"), 1);
    assert.equal(back.count("StartOperation"), 0);
    assert.equal(tableOf(s1), "3 UU");
  });
});

Deno.test("Recovery gives an id to its owner when a former one came first", async () => {
  await withScene({ partitions: 1 }, async (scene) => {
    const admin = await scene.admin();
    const address = scene.newAddress();
    // It only knows a cluster in which S1 has everything.
    const former = await scene.storageWith({ ptid: 1, rows: "U" }, { nid: 2, address });
    assert.equal(former.nid, 2);
    const s2 = await scene.storageWith({ ptid: 5, rows: ".U" }, { nid: 2 });
    assert(former.closed);
    assert.equal(s2.nid, 2);
    assert.equal(await scene.clusterState(admin), "RUNNING");
    const back = await scene.storageWith({ ptid: 1, rows: "U" }, { nid: 2, address });
    assert.equal(back.nid, 3);
    const late = await scene.storage({ nid: 2 });
    assert.match(errorOf(late.identification), /already connected/);
  });
});

Deno.test("Recovery takes an id from no storage that this master knows", async () => {
  await withCluster(1, { partitions: 1, replicas: 1 }, async (running) => {
    const { scene, admin, s } = running;
    const s2 = await addStorage(running);
    await s(1).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    await s2.kill();
    // It had not saved that it has a cell.
    const back = await scene.storageWith({ ptid: 1, rows: "U" }, { nid: 2 });
    assert(!back.closed);
    await scene.storageWith({ ptid: 2, rows: "UO" }, { nid: 1 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(back.count("StartOperation"), 1);
  });
});

Deno.test("A storage that gets the id of one that was removed need not show that it is that one", async () => {
  await withScene({ partitions: 1 }, async (scene) => {
    await scene.storageWith({ ptid: 3, rows: "UO" }, { nid: 1 });
    const admin = await scene.admin();
    const drop = await admin.order("SetNodeState", { nid: 2, state: NodeState.UNKNOWN });
    assert.equal(drop, "node permanently removed");
    const s2 = await scene.storageWith({ ptid: 1, rows: "U." }, { nid: 2 });
    assert.equal(s2.nid, 2);
    assert(!s2.closed);
    assert.equal(s2.count("AskRecovery"), 0);
    assert.equal(await admin.order("AddPendingNodes", { nids: [2] }), "Nodes added: S2");
  });
});

Deno.test("Recovery truncates without an id that nobody has any more", async () => {
  await withScene({ partitions: 1 }, async (scene) => {
    const table = { ptid: 3, rows: "UO", truncateTid: toTid(5) };
    await scene.storageWith(table, { nid: 1 });
    const admin = await scene.admin();
    assert.equal(await scene.clusterState(admin), "RECOVERING", "S2 has to truncate too");
    // It was killed before it had saved that it has a cell.
    const address = scene.newAddress();
    await scene.storageWith({ ptid: 2, rows: "U" }, { nid: 2, address });
    assert.equal(await scene.clusterState(admin), "RUNNING");
    const back = await scene.storageWith({ ptid: 2, rows: "U" }, { nid: 2, address });
    assert.equal(back.nid, 3);
  });
});

Deno.test("Service does not take a storage for the one that its id was given to", async () => {
  await withScene({ partitions: 1 }, async (scene) => {
    await scene.storageWith({ ptid: 3, rows: "UO." }, { nid: 1 });
    const admin = await scene.admin();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    const address = scene.newAddress();
    const former = await scene.storageWith({ ptid: 1, rows: "U." }, { nid: 2, address });
    assert(former.closed);
    assert.equal(former.count("StartOperation"), 0);
    const back = await scene.storageWith({ ptid: 1, rows: "U." }, { nid: 2, address });
    assert.equal(back.nid, 3);
    // It has missed a version, in which it has its cell too.
    const s2 = await scene.storageWith({ ptid: 2, rows: "UO" }, { nid: 2 });
    assert.equal(s2.count("StartOperation"), 1);
    assert.equal(await admin.order("AddPendingNodes", { nids: [3] }), "Nodes added: S3");
    const late = await scene.storageWith({ ptid: 1, rows: "U." }, { nid: 2 });
    assert.match(errorOf(late.identification), /already connected/);
  });
});
