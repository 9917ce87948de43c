import assert from "node:assert/strict";
import type { Nid } from "../../protocol/nodes.ts";
import { type Tid, toTid, ZERO_TID } from "../../protocol/ids.ts";
import { begin, finishArgs, type Peer, type Running, settle, withCluster } from "./support.ts";
import { textOf } from "./table_text.ts";

function check(
  admin: Peer,
  sources: readonly (readonly [number, Nid | null])[],
  min: Tid = ZERO_TID,
  max: Tid | null = null,
): Promise<string> {
  return admin.order("CheckReplicas", { sources: new Map(sources), min, max });
}

const EVERYTHING = [[0, null], [1, null], [2, null], [3, null]] as const;

/** Runs a test with 4 partitions on 3 storages: `UU.|U.U|.UU|UU.`. */
function withThree(test: (running: Running) => Promise<void>): Promise<void> {
  return withCluster(3, { partitions: 4 }, async (running) => {
    assert.equal(textOf(running.admin.last("SendPartitionTable").rows), "UU.|U.U|.UU|UU.");
    await test(running);
  });
}

Deno.test("ReplicaChecks.order() gives each partition to as few storages as possible", async () => {
  await withThree(async ({ scene, admin, client }) => {
    const { tid } = await client.get(
      "AskFinishTransaction",
      finishArgs(await begin(client), 1n),
    );
    scene.sent();
    assert.equal(await check(admin, EVERYTHING), "");
    assert.deepEqual(scene.sent(), [
      `S2 CheckPartition 0 all 0-${tid}`,
      `S3 CheckPartition 1 all 0-${tid}`,
      `S2 CheckPartition 2 all 0-${tid}`,
      `S2 CheckPartition 3 all 0-${tid}`,
      "A1 Error ACK",
    ]);
    await check(admin, [[1, 1]], ZERO_TID, toTid(5));
    await check(admin, [[1, 1]], toTid(5), toTid(tid + 5n));
    await check(admin, [[1, 1]], toTid(tid + 1n), toTid(tid + 5n));
    assert.deepEqual(scene.sent("CheckPartition"), [
      "S3 CheckPartition 1 10.0.0.2:20002 0-5",
      `S3 CheckPartition 1 10.0.0.2:20002 5-${tid}`,
    ]);
  });
});

Deno.test("ReplicaChecks.order() refuses what can't be checked", async () => {
  await withThree(async ({ scene, admin, client, s }) => {
    assert.equal(await check(admin, [[0, null], [4, null]]), "DENIED there is no partition 4");
    assert.match(await check(admin, [[0, 3]]), /^DENIED S3 has no copy of partition 0/);
    assert.match(await check(admin, [[0, 9]]), /^DENIED S9 has no copy/);
    assert.match(await check(admin, [[0, client.nid]]), /^DENIED C1 has no copy/);
    await s(2).kill();
    assert.match(await check(admin, [[0, 2]]), /^DENIED S2 has no copy/);
    assert.deepEqual(scene.sent("CheckPartition"), []);
    assert.equal(await check(admin, EVERYTHING), "");
    assert.deepEqual(
      scene.sent("CheckPartition"),
      ["S3 CheckPartition 1 all 0-0"],
      "others have one copy",
    );
  });
});

Deno.test("ReplicaChecks.corrupted() stops reading copies that differ from a right one", async () => {
  await withThree(async ({ scene, admin, client, s }) => {
    await check(admin, [[0, 1], [2, null]]);
    scene.sent();
    const report = (nid: Nid, partition: number, nids: Nid[]) => {
      s(nid).notify("NotifyPartitionCorrupted", { partition, nids });
      return settle();
    };
    await report(3, 0, [2]);
    assert.deepEqual(scene.sent(), [], "it was not asked");
    await report(2, 2, [2, 3]);
    assert.deepEqual(scene.sent(), [], "which one is right is not known");
    await report(2, 0, [2, 9]);
    assert.deepEqual(
      scene.sent(),
      ["A1", "S1", "S2", "S3", "C1"].map((to) => `${to} NotifyPartitionChanges 2 0:S2→C`),
    );
    await report(2, 0, [1]);
    assert.deepEqual(scene.sent(), [], "the last copy is kept");
    assert.equal(scene.warnings.filter((text) => text.includes("corrupted in: ")).length, 4);

    const ttid = await begin(client);
    const { tid } = await client.get("AskFinishTransaction", finishArgs(ttid, 4n));
    assert(tid);
    const tweak = await admin.get("TweakPartitionTable", { dryRun: false, excluded: [] });
    assert.equal(textOf(tweak.rows), "UO.|U.U|.UU|UU.", "it is replicated again");
    await s(2).replicate(0);
    assert.equal(
      textOf((await admin.get("TweakPartitionTable", { dryRun: true, excluded: [] })).rows),
      "UU.|U.U|.UU|UU.",
    );
  });
});

Deno.test("ReplicaChecks find nothing where a pack makes copies differ", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, admin, client, s }) => {
    const { tid } = await client.get("AskFinishTransaction", finishArgs(await begin(client), 1n));
    assert.equal(await check(admin, [[0, 1]]), "");
    const packing = finishArgs(await begin(client));
    const { tid: id } = await client.get("AskFinishTransaction", {
      ...packing,
      pack: { oids: null, tid },
    });
    assert.match(await check(admin, [[0, 1]]), /^DENIED copies differ while a pack is executed/);
    const report = async () => {
      scene.sent();
      s(2).notify("NotifyPartitionCorrupted", { partition: 0, nids: [2] });
      await settle();
      return scene.sentTo("A1");
    };
    s(1).notify("NotifyPackCompleted", { id });
    assert.deepEqual(await report(), [], "S2 has not packed yet");
    s(2).notify("NotifyPackCompleted", { id });
    assert.deepEqual(await report(), [], "it may have compared before");
    assert.equal(await check(admin, [[0, 1]]), "");
    assert.deepEqual(await report(), ["NotifyPartitionChanges 2 0:S2→C"]);
  });
});
