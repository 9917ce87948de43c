import assert from "node:assert/strict";
import { NodeState } from "../../protocol/enums.ts";
import { type Tid, toTid } from "../../protocol/ids.ts";
import type { ArgsOf } from "../../protocol/messages.ts";
import { begin, finishArgs, type Peer, type Running, settle, withCluster } from "./support.ts";

/** Commits some transactions, so that there is something to truncate. */
async function commit(client: Peer, count: number): Promise<Tid[]> {
  const tids: Tid[] = [];
  for (let i = 1; i <= count; i++) {
    const ttid = await begin(client);
    tids.push((await client.get("AskFinishTransaction", finishArgs(ttid, BigInt(i)))).tid);
  }
  return tids;
}

/** Has the storages of a test answer like those that execute truncations. */
function executeTruncations({ storages }: Running, first: Tid, last: Tid): void {
  for (const { data } of storages) {
    data.firstTid = first;
    data.lastTid = last;
  }
}

Deno.test("AdminHandler.truncate() refuses what makes no sense", async () => {
  await withCluster(1, {}, async ({ admin, client, scene }) => {
    const truncate = (tid: Tid) => admin.order("Truncate", { tid });
    assert.equal(
      await truncate(toTid(1)),
      "DENIED Truncating after last transaction does nothing",
    );
    const [first = toTid(0), second = toTid(0)] = await commit(client, 2);
    assert.equal(await truncate(second), "DENIED Truncating after last transaction does nothing");
    assert.match(
      await truncate(toTid(first - 1n)),
      /^DENIED Truncating before first transaction is probably not what you intended/,
    );
    const ttid = await begin(client);
    const pack: ArgsOf<"AskFinishTransaction">["pack"] = { oids: null, tid: second };
    await client.get("AskFinishTransaction", { ...finishArgs(ttid, 1n), pack });
    assert.equal(await truncate(first), "DENIED Can not truncate before an approved pack");
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert(!client.closed);
  });
});

Deno.test("AdminHandler.truncate() has all storages truncate, and goes on", async () => {
  await withCluster(2, { partitions: 1 }, async (running) => {
    const { scene, admin, client } = running;
    const [first = toTid(0)] = await commit(client, 3);
    executeTruncations(running, first, first);
    scene.sent();
    assert.equal(await admin.order("Truncate", { tid: first }), "");
    const interesting = scene.sent(
      "Error",
      "StopOperation",
      "Truncate",
      "NotifyClusterInformation",
      "AskRecovery",
      "AskLastIDs",
      "StartOperation",
    );
    assert.deepEqual(interesting, [
      "A1 Error ACK",
      "S1 StopOperation",
      `S1 Truncate ${first}`,
      "S2 StopOperation",
      `S2 Truncate ${first}`,
      "C1 StopOperation",
      "A1 NotifyClusterInformation RECOVERING",
      "S1 NotifyClusterInformation RECOVERING",
      "S1 AskRecovery",
      "S2 NotifyClusterInformation RECOVERING",
      "S2 AskRecovery",
      "A1 NotifyClusterInformation VERIFYING",
      "S1 NotifyClusterInformation VERIFYING",
      "S2 NotifyClusterInformation VERIFYING",
      "S1 AskLastIDs",
      "S2 AskLastIDs",
      "A1 NotifyClusterInformation RUNNING",
      "S1 NotifyClusterInformation RUNNING",
      "S1 StartOperation",
      "S2 NotifyClusterInformation RUNNING",
      "S2 StartOperation",
    ]);
    assert(client.closed);
    assert.equal((await admin.get("AskLastTransaction", {})).tid, first);
    assert.match(
      await admin.order("Truncate", { tid: first }),
      /^DENIED Truncating after last transaction/,
    );
  });
});

Deno.test("AdminHandler.truncate() waits for a storage that was lost before it saved the order", async () => {
  await withCluster(2, { partitions: 1 }, async (running) => {
    const { scene, admin, client, s } = running;
    const [first = toTid(0)] = await commit(client, 2);
    executeTruncations(running, first, first);
    s(2).manual.add("Truncate").add("AskRecovery");
    await admin.order("Truncate", { tid: first });
    await s(2).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING", "it has to truncate too");
    scene.sent();
    const back = await scene.storageWith({ ...s(2).data, truncateTid: null }, { nid: 2 });
    assert.equal(back.last("Truncate").tid, first);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("AdminHandler.truncate() is not forgotten when all storages are lost before they saved it", async () => {
  await withCluster(1, { partitions: 1 }, async (running) => {
    const { scene, admin, client, s } = running;
    const [first = toTid(0)] = await commit(client, 2);
    executeTruncations(running, first, first);
    s(1).manual.add("Truncate").add("AskRecovery");
    await admin.order("Truncate", { tid: first });
    await s(1).kill();
    const back = await scene.storageWith({ ...s(1).data, truncateTid: null }, { nid: 1 });
    assert.equal(back.last("Truncate").tid, first);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("AdminHandler.truncate() starts over when a storage is lost while it truncates", async () => {
  await withCluster(2, { partitions: 1 }, async (running) => {
    const { scene, admin, client, s } = running;
    const [first = toTid(0)] = await commit(client, 2);
    executeTruncations(running, first, first);
    s(2).manual.add("AskLastIDs");
    await admin.order("Truncate", { tid: first });
    assert.equal(await scene.clusterState(admin), "VERIFYING");
    // The other one has done it.
    s(1).data.truncateTid = null;
    await s(2).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.equal((await admin.get("AskRecovery", {})).ptid, 1, "its cells are as they were");
    assert.equal(s(1).last("Truncate").tid, first);
    assert.equal(s(1).count("Truncate"), 1, "nothing is wanted before all are there");
    const back = await scene.storageWith({ ...s(2).data, truncateTid: null }, { nid: 2 });
    assert.equal(s(1).count("Truncate"), 2);
    assert.equal(back.last("Truncate").tid, first, "it died before it could save the order");
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("AdminHandler.truncate() goes on without a storage that is removed", async () => {
  await withCluster(2, { partitions: 1 }, async (running) => {
    const { scene, admin, client, s } = running;
    const [first = toTid(0)] = await commit(client, 2);
    executeTruncations(running, first, first);
    s(2).manual.add("AskRecovery");
    await admin.order("Truncate", { tid: first });
    await s(2).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    await admin.order("SetNodeState", { nid: 2, state: NodeState.UNKNOWN });
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});
