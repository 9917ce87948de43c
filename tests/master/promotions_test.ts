/** Cells that get up to date while an older copy may not hear of it, and ids that mean two storages. */

import assert from "node:assert/strict";
import { NodeState } from "../../protocol/enums.ts";
import { errorOf, type Peer, type Scene, settle, withCluster, withScene } from "./support.ts";

/** The table that a master sent to a storage. */
const tableOf = ({ data: { ptid, rows } }: Peer) => `${ptid} ${rows}`;

/** The changes that a master announced to an admin since the last time. */
const changes = (scene: Scene) =>
  scene.sent("NotifyPartitionChanges").filter((line) => line.startsWith("A1"))
    .map((line) => line.replace(/^A1 \w+ /, ""));

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
      /^DENIED .* since a moment ago/,
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
    assert.deepEqual(changes(scene), ["3 1:S2→U"]);
    s(1).take("Ping").from.answer({});
    await settle();
    assert.deepEqual(changes(scene), ["4 1:S1→D"]);
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
