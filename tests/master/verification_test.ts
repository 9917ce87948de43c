import assert from "node:assert/strict";
import { NodeType } from "../../protocol/enums.ts";
import { type Oid, type Tid, toTid, ZERO_TID } from "../../protocol/ids.ts";
import {
  begin,
  errorOf,
  finishArgs,
  type Peer,
  type Scene,
  settle,
  type StorageData,
  withScene,
} from "./support.ts";

const TTID = 0x0401_0000_0000_0000n as Tid;
const TID = 0x0401_0000_0000_0010n as Tid;
const OTHER_TTID = 0x0401_0000_0000_0020n as Tid;
const OTHER_TID = 0x0401_0000_0000_0030n as Tid;

interface Storages {
  readonly rows: string;
  readonly replicas?: number;
  readonly data: readonly Partial<StorageData>[];
  /** What storages do not answer by themselves. */
  readonly manual?: Parameters<Peer["manual"]["add"]>[0];
}

/** Starts a cluster that has this database, with an admin. */
async function restart(scene: Scene, { rows, replicas = 1, data, manual }: Storages) {
  const admin = await scene.admin();
  const storages: Peer[] = [];
  for (const [index, some] of data.entries()) {
    const identity = { nid: index + 1, address: scene.newAddress() };
    const peer = scene.peer(NodeType.STORAGE, identity);
    Object.assign(peer.data, { ptid: 1, rows, replicas, lastTid: TTID, ...some });
    if (manual !== undefined) peer.manual.add(manual);
    storages.push(peer);
  }
  scene.sent();
  for (const storage of storages) await storage.identify();
  const s = (n: number) => {
    const storage = storages[n - 1];
    assert(storage);
    return storage;
  };
  return { admin, s };
}

const voted = new Map([[TTID, null]]);
const locked = new Map([[TTID, TID]]);
const QUESTIONS = ["ValidateTransaction", "AskFinalTID"] as const;

Deno.test("Verification drops what was voted everywhere and locked nowhere", async () => {
  await withScene({}, async (scene) => {
    const { admin } = await restart(scene, {
      rows: "UU",
      data: [{ locked: voted }, { locked: voted }],
    });
    assert.deepEqual(scene.sent(...QUESTIONS), []);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Verification keeps ttids of earlier masters from being given again", async () => {
  await withScene({}, async (scene) => {
    const late = 0x7000_0000_0000_0000n as Tid;
    await restart(scene, { rows: "U", replicas: 0, data: [{ locked: new Map([[late, null]]) }] });
    const client = scene.peer(NodeType.CLIENT);
    await client.identify();
    assert(await begin(client) > late);
  });
});

Deno.test("Verification commits what was locked on one storage, everywhere", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, {
      rows: "UU",
      data: [{ locked }, { locked: voted }],
    });
    assert.deepEqual(scene.sentTo("S2").slice(-5), [
      "ValidateTransaction",
      "AskLastIDs",
      "AskPackOrders",
      "NotifyClusterInformation RUNNING",
      "StartOperation",
    ]);
    for (const n of [1, 2]) {
      assert.deepEqual(s(n).last("ValidateTransaction"), { ttid: TTID, tid: TID });
    }
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Verification finds the tid of what the metadata storage has already unlocked", async () => {
  await withScene({}, async (scene) => {
    // The metadata is in partition 0 (even ids), on S1; an object in partition 1, on S2.
    const { s } = await restart(scene, {
      rows: "U.|.U",
      replicas: 0,
      data: [{ finalTids: new Map([[TTID, TID]]) }, { locked: voted }],
    });
    assert.deepEqual(scene.sent(...QUESTIONS), ["S1 AskFinalTID", "S2 ValidateTransaction"]);
    assert.deepEqual(s(2).last("ValidateTransaction"), { ttid: TTID, tid: TID });
  });
});

Deno.test("Verification drops what the metadata storage does not know", async () => {
  await withScene({}, async (scene) => {
    await restart(scene, { rows: "U.|.U", replicas: 0, data: [{}, { locked: voted }] });
    assert.deepEqual(scene.sent(...QUESTIONS), ["S1 AskFinalTID"]);
  });
});

Deno.test("Verification asks all replicas of the metadata, one after the other", async () => {
  await withScene({}, async (scene) => {
    await restart(scene, {
      rows: "UU.|..U",
      data: [{}, { finalTids: new Map([[TTID, TID]]) }, { locked: voted }],
    });
    assert.deepEqual(scene.sent(...QUESTIONS), [
      "S1 AskFinalTID",
      "S2 AskFinalTID",
      "S3 ValidateTransaction",
    ]);
  });
});

Deno.test("Verification ignores what is only locked on a storage without readable cell", async () => {
  await withScene({}, async (scene) => {
    const { s } = await restart(scene, { rows: "OU", data: [{ locked }, {}] });
    assert.deepEqual(scene.sent(...QUESTIONS), []);
    assert.equal(s(1).count("AskLockedTransactions"), 0);
    assert.equal(s(1).count("AskLastIDs"), 1);
  });
});

Deno.test("Verification ignores what is only locked where the cell of the metadata is outdated", async () => {
  await withScene({}, async (scene) => {
    const { admin } = await restart(scene, {
      rows: "OU|U.",
      data: [{ locked }, { locked: voted }],
    });
    assert.deepEqual(scene.sent(...QUESTIONS), []);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Verification uses no answer of another transaction when a storage is lost", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, {
      rows: "UUU.|...U",
      data: [{ locked: new Map() }, {}, {}, {
        locked: new Map([[TTID, null], [OTHER_TTID, null]]),
      }],
      manual: "AskFinalTID",
    });
    const { args, from } = s(1).take("AskFinalTID");
    assert.deepEqual(args, { ttid: TTID });
    from.answer({ tid: TID });
    await settle();
    assert.deepEqual(s(1).take("AskFinalTID").args, { ttid: OTHER_TTID });
    await s(1).kill();
    // The next one is gone too when it is its turn.
    assert.deepEqual(s(2).take("AskFinalTID").args, { ttid: OTHER_TTID });
    await s(3).kill();
    scene.sent();
    await s(2).kill();
    assert.equal(await scene.clusterState(admin), "RECOVERING");
    assert.equal(s(4).count("ValidateTransaction"), 0);
  });
});

Deno.test("Verification commits where possible when a storage that voted is lost", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, {
      rows: "UU",
      data: [{ locked: voted }, { locked }],
      manual: "AskLockedTransactions",
    });
    s(2).take("AskLockedTransactions").from.answer({ transactions: locked });
    await settle();
    assert.equal(s(2).count("ValidateTransaction"), 0);
    scene.sent();
    await s(1).kill();
    assert.deepEqual(scene.sentTo("S2").slice(0, 4), [
      "NotifyNodeInformation S1 DOWN",
      "NotifyPartitionChanges 2 0:S1→O",
      "ValidateTransaction",
      "AskLastIDs",
    ]);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Verification falls back to recovery when the last copy is lost", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, {
      rows: "U.|.U",
      data: [{}, {}],
      manual: "AskLastIDs",
    });
    scene.sent();
    await s(2).kill();
    assert.deepEqual(scene.sentTo("S1"), [
      "NotifyNodeInformation S2 DOWN",
      "StopOperation",
      "NotifyNodeInformation S1 PENDING",
      "NotifyClusterInformation RECOVERING",
      "AskRecovery",
    ]);
    // The answer to a question of the phase that is over.
    s(1).manual.clear();
    s(1).take("AskLastIDs").from.answer(s(1).data);
    await scene.storageWith({ ptid: 1, rows: "U.|.U" }, { nid: 2 });
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Verification validates in the order of tids", async () => {
  await withScene({}, async (scene) => {
    const { s } = await restart(scene, {
      rows: "U",
      data: [{ locked: new Map([[OTHER_TTID, OTHER_TID], [TTID, TID]]) }],
    });
    const tids = s(1).received.filter(({ name }) => name === "ValidateTransaction")
      .map(({ args }) => (args as { tid: Tid }).tid);
    assert.deepEqual(tids, [TID, OTHER_TID]);
  });
});

Deno.test("Verification learns the last ids of all storages", async () => {
  await withScene({}, async (scene) => {
    const { admin } = await restart(scene, {
      rows: "UU",
      data: [
        { lastTid: TID, lastOid: 5n as Oid, firstTid: OTHER_TTID },
        { lastTid: null, lastOid: 9n as Oid, firstTid: TTID },
      ],
    });
    assert.deepEqual(await admin.get("AskLastIDs", {}), {
      lastTid: TID,
      lastOid: 9n,
      firstTid: TTID,
    });
  });
});

Deno.test("Verification accepts a storage that comes back, without asking for transactions", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, {
      rows: "UU",
      data: [{ locked }, {}],
      manual: "AskLastIDs",
    });
    const { address = null } = s(2).identity;
    await s(2).kill();
    scene.sent();
    const late = await scene.storage({ nid: 2, address });
    assert.deepEqual(scene.sentTo("S2"), [
      "AcceptIdentification S2",
      "NotifyNodeInformation S2 RUNNING, M1 RUNNING, S1 RUNNING",
      "SendPartitionTable 2 UO",
    ]);
    const stranger = await scene.storage();
    assert.match(scene.sent().join("\n"), /S3 NotifyNodeInformation S3 PENDING/);
    s(1).take("AskLastIDs").from.answer(s(1).data);
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.equal(late.count("StartOperation"), 1);
    assert.equal(stranger.count("StartOperation"), 0);
  });
});

Deno.test("Verification has a storage come back later that is only known from the table", async () => {
  await withScene({}, async (scene) => {
    const { s } = await restart(scene, { rows: "UO", data: [{ locked }], manual: "AskLastIDs" });
    const early = await scene.storage({ nid: 2 });
    assert.match(errorOf(early.identification), /^NOT_READY the cluster is verifying/);
    s(1).take("AskLastIDs").from.answer(s(1).data);
    await settle();
    const late = await scene.storageWith({ ptid: 1, rows: "UO" }, { nid: 2 });
    assert.equal(late.count("AskPartitionTable"), 0, "it knows the present version");
    assert.equal(late.count("StartOperation"), 1);
  });
});

Deno.test("Verification loads pack orders after those that are completed", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, {
      rows: "UU",
      data: [{}, {}],
      manual: "AskLastIDs",
    });
    for (const n of [1, 2]) {
      const storage = s(n);
      if (n === 1) storage.notify("NotifyPackCompleted", { id: TID });
      else storage.notify("NotifyPackCompleted", { id: TTID });
      storage.manual.add("AskPackOrders");
      storage.take("AskLastIDs").from.answer(storage.data);
    }
    await settle();
    const order = { id: OTHER_TID, approved: true, partial: false, oids: null, tid: TTID };
    for (const n of [1, 2]) {
      const { args, from } = s(n).take("AskPackOrders");
      assert.deepEqual(args, { minId: TTID + 1n });
      from.answer({ orders: [order] });
    }
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.deepEqual(s(1).last("NotifyPackSigned"), { approved: [OTHER_TID], rejected: [] });
    const minId = toTid(TTID + 1n);
    assert.deepEqual(await s(1).get("AskPackOrders", { minId }), { orders: [order] });
    // Clients also want those that were completed, which storages remember.
    const client = await scene.client();
    scene.sent();
    const reply = client.ask("AskPackOrders", { minId: ZERO_TID });
    await settle();
    const asked = scene.sent("AskPackOrders")[0]?.startsWith("S1") ? s(1) : s(2);
    asked.take("AskPackOrders").from.answer({ orders: [{ ...order, id: TTID }, order] });
    await settle();
    assert.deepEqual(reply.answer, { orders: [{ ...order, id: TTID }, order] });
  });
});

Deno.test("Verification rejects pack orders that nobody signed, so that they block nothing", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, { rows: "U", data: [{}], manual: "AskPackOrders" });
    const lost = { id: TID, approved: null, partial: false, oids: null, tid: TTID };
    s(1).take("AskPackOrders").from.answer({ orders: [lost] });
    await settle();
    assert.equal(await scene.clusterState(admin), "RUNNING");
    assert.match(scene.warnings.join("\n"), /pack order .* was never approved: it is rejected/);
    assert.deepEqual(s(1).last("NotifyPackSigned"), { approved: [], rejected: [TID] });
    const client = await scene.client();
    await client.get("WaitForPack", { id: TID });
    await client.get("AskFinishTransaction", {
      ...finishArgs(await begin(client)),
      pack: { oids: null, tid: TTID },
    });
    assert.equal(s(1).last("AskLockInformation").pack, true);
    const { orders } = await s(1).get("AskPackOrders", { minId: toTid(1) });
    assert.equal(orders.length, 1, "the rejected one is skipped");
    assert.equal(orders[0]?.approved, true);
  });
});

Deno.test("Verification disconnects a storage that answers with an error", async () => {
  await withScene({}, async (scene) => {
    const { s, admin } = await restart(scene, {
      rows: "UU",
      data: [{}, {}],
      manual: "AskLockedTransactions",
    });
    s(1).take("AskLockedTransactions").from.answer({ transactions: new Map() });
    s(2).take("AskLockedTransactions").from.error(6, "no");
    await settle();
    assert(s(2).closed);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});
