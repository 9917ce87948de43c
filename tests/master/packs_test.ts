import assert from "node:assert/strict";
import { MAX_ORDERS, PackOrders } from "../../master/packs.ts";
import { MasterPartitionTable } from "../../master/partition_table.ts";
import { NodeTable } from "../../node/node_table.ts";
import { NodeType } from "../../protocol/enums.ts";
import { type Oid, type Tid, toTid, ZERO_TID } from "../../protocol/ids.ts";
import {
  answerOf,
  begin,
  checkWaiting,
  errorOf,
  finishArgs,
  settle,
  withCluster,
} from "./support.ts";
import type { Peer } from "./support.ts";

async function commit(client: Peer, pack: { oids: Oid[] | null; tid: Tid } | null): Promise<Tid> {
  const ttid = await begin(client);
  return (await client.get("AskFinishTransaction", { ...finishArgs(ttid), pack })).tid;
}

Deno.test("PackOrders are approved with their transaction, and forgotten when completed", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, client, s }) => {
    const tid = await commit(client, null);
    scene.sent();
    const id = await commit(client, { oids: null, tid });
    assert.deepEqual(scene.sent().slice(1), [
      "S1 AskLockInformation",
      "S2 AskLockInformation",
      "C1 AnswerTransactionFinished",
      "S1 NotifyUnlockInformation",
      "S2 NotifyUnlockInformation",
      "S1 NotifyPackSigned",
      "S2 NotifyPackSigned",
    ]);
    assert.equal(s(1).last("AskLockInformation").pack, true);
    assert.deepEqual(s(1).last("NotifyPackSigned"), { approved: [id], rejected: [] });
    const order = { id, approved: true, partial: false, oids: null, tid };
    assert.deepEqual(await s(1).get("AskPackOrders", { minId: toTid(1) }), { orders: [order] });
    const waiting = client.ask("WaitForPack", { id });
    s(1).notify("NotifyPackCompleted", { id: ZERO_TID });
    s(2).notify("NotifyPackCompleted", { id });
    await settle();
    checkWaiting(waiting);
    s(1).notify("NotifyPackCompleted", { id });
    await settle();
    answerOf(waiting);
    await client.get("WaitForPack", { id });
    await client.get("WaitForPack", { id: toTid(5) });
    assert.deepEqual(await s(1).get("AskPackOrders", { minId: toTid(id + 1n) }), { orders: [] });
  });
});

Deno.test("PackOrders that were forgotten are asked to storages", async () => {
  await withCluster(2, { partitions: 2 }, async ({ scene, client, s }) => {
    const tid = await commit(client, null);
    const id = await commit(client, { oids: [3n as Oid], tid });
    const order = { id, approved: true, partial: true, oids: [3n as Oid], tid };
    for (const n of [1, 2]) {
      s(n).notify("NotifyPackCompleted", { id });
      s(n).manual.add("AskPackOrders");
    }
    await settle();
    const reply = s(2).ask("AskPackOrders", { minId: toTid(1) });
    await settle();
    assert.deepEqual(scene.sent("AskPackOrders"), ["S1 AskPackOrders"]);
    await s(1).kill();
    checkWaiting(reply);
    s(2).take("AskPackOrders").from.answer({ orders: [order] });
    await settle();
    assert.deepEqual(answerOf(reply), { orders: [order] });
    // It is known to be completed again.
    await client.get("WaitForPack", { id });
  });
});

Deno.test("PackOrders ask a storage once more instead of one that is lost", async () => {
  await withCluster(3, { partitions: 3, replicas: 1 }, async ({ scene, client, s }) => {
    const tid = await commit(client, null);
    const id = await commit(client, { oids: null, tid });
    const order = { id, approved: true, partial: false, oids: null, tid };
    for (const n of [1, 2, 3]) {
      s(n).notify("NotifyPackCompleted", { id });
      s(n).manual.add("AskPackOrders");
    }
    await settle();
    const reply = client.ask("AskPackOrders", { minId: toTid(1) });
    await settle();
    assert.deepEqual(scene.sent("AskPackOrders"), ["S1 AskPackOrders", "S2 AskPackOrders"]);
    await s(1).kill();
    assert.deepEqual(scene.sent("AskPackOrders"), ["S2 AskPackOrders", "S3 AskPackOrders"]);
    for (const n of [2, 2, 3]) {
      checkWaiting(reply);
      s(n).take("AskPackOrders").from.answer({ orders: [order] });
      await settle();
    }
    assert.deepEqual(answerOf(reply), { orders: [order] });
  });
});

Deno.test("PackOrders do not wait for a storage that is lost", async () => {
  await withCluster(2, { partitions: 1 }, async ({ client, s }) => {
    const id = await commit(client, { oids: null, tid: await commit(client, null) });
    s(2).notify("NotifyPackCompleted", { id: ZERO_TID });
    await settle();
    s(1).notify("NotifyPackCompleted", { id });
    const waiting = client.ask("WaitForPack", { id });
    await settle();
    checkWaiting(waiting);
    await s(2).kill();
    answerOf(waiting);
  });
});

Deno.test("PackOrders are told to a storage that becomes ready", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, client, s }) => {
    const id = await commit(client, { oids: null, tid: await commit(client, null) });
    await s(2).kill();
    scene.sent();
    const back = await scene.storage({ nid: 2 });
    assert.deepEqual(scene.sentTo("S2").slice(-2), ["StartOperation", "NotifyPackSigned"]);
    assert.deepEqual(back.last("NotifyPackSigned").approved, [id]);
  });
});

Deno.test("PackOrders that are not possible are refused, and cost nothing more", async () => {
  await withCluster(1, { partitions: 1 }, async ({ scene, client }) => {
    const last = await commit(client, null);
    const refused = [
      { oids: null, tid: ZERO_TID },
      { oids: null, tid: toTid(last + 1n) },
      { oids: null, tid: toTid(2n ** 62n) },
      { oids: [], tid: last },
    ];
    for (const pack of refused) {
      const ttid = await begin(client);
      const reply = client.ask("AskFinishTransaction", { ...finishArgs(ttid), pack });
      await settle();
      assert.match(errorOf(reply), /^PROTOCOL_ERROR .*(invalid pack time|can't be empty)/);
      client.notify("AbortTransaction", { ttid, nids: [] });
    }
    const ttid = await begin(client);
    client.ask("AskFinishTransaction", { ...finishArgs(ttid), pack: { oids: [], tid: last } });
    scene.sent();
    assert.deepEqual(await client.get("AskFinalTID", { ttid }), { tid: null });
    assert.deepEqual(scene.sent("AbortTransaction"), ["S1 AbortTransaction"], "locks are released");
    await commit(client, { oids: null, tid: last });
    assert.equal(scene.sent("NotifyPackSigned").length, 1);
  });
});

Deno.test("PackOrders.refusal() limits what remains to be completed", () => {
  const packs = new PackOrders({ nodes: new NodeTable(), table: new MasterPartitionTable() });
  const pack = { oids: null, tid: toTid(1) };
  for (let i = 1; i < MAX_ORDERS; i++) assert.equal(packs.create(toTid(i), pack), true);
  assert.equal(packs.refusal(pack, toTid(1)), null);
  packs.create(toTid(MAX_ORDERS), pack);
  assert.match(packs.refusal(pack, toTid(1)) ?? "", /1000 packs are not completed yet/);
  packs.cancel(toTid(5));
  assert.equal(packs.refusal(pack, toTid(1)), null);
  const oids = new Array<Oid>(1 << 21).fill(1n as Oid);
  for (const id of [10, 11]) packs.create(toTid(id), { ...pack, oids });
  assert.match(packs.refusal({ ...pack, oids }, toTid(1)) ?? "", /not completed yet/);
});

Deno.test("PackOrders are told to nobody before their transaction is committed", async () => {
  await withCluster(2, { partitions: 1 }, async ({ scene, client, s }) => {
    const tid = await commit(client, null);
    s(1).manual.add("AskLockInformation");
    const packing = await begin(client);
    const pack = { oids: null, tid };
    const finishing = client.ask("AskFinishTransaction", { ...finishArgs(packing), pack });
    await settle();
    const lock = s(1).take("AskLockInformation");
    assert.deepEqual(await s(1).get("AskPackOrders", { minId: toTid(1) }), { orders: [] });
    await s(2).kill();
    const back = await scene.storage({ nid: 2 });
    assert.equal(back.count("NotifyPackSigned"), 0);
    lock.from.answer({ ttid: packing });
    await settle();
    const id = answerOf(finishing).tid;
    assert.deepEqual(back.last("NotifyPackSigned").approved, [id]);
    const { orders } = await s(1).get("AskPackOrders", { minId: toTid(1) });
    assert.deepEqual(orders.map((order) => order.id), [id]);
  });
});

Deno.test("PackOrders that were completed before a recovery keep it from being undone", async () => {
  await withCluster(1, { partitions: 1 }, async ({ scene, admin, client, s }) => {
    const first = await commit(client, null);
    const tid = await commit(client, null);
    const id = await commit(client, { oids: null, tid });
    const last = await commit(client, null);
    await s(1).kill();
    const back = scene.peer(NodeType.STORAGE, { nid: 1 });
    Object.assign(back.data, { ptid: 1, rows: "U", lastTid: last, firstTid: first });
    back.manual.add("AskLastIDs");
    await back.identify();
    back.notify("NotifyPackCompleted", { id });
    back.take("AskLastIDs").from.answer(back.data);
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    const text = await admin.order("Truncate", { tid });
    assert.equal(text, "DENIED Can not truncate before an approved pack");
    assert.equal(await admin.order("Truncate", { tid: id }), "", "later is possible");
  });
});
