import assert from "node:assert/strict";
import { NodeType } from "../../protocol/enums.ts";
import { nidOf } from "../../protocol/nodes.ts";
import type { Anything } from "../../protocol/types.ts";
import {
  answerOf,
  begin,
  checkWaiting,
  errorOf,
  finishArgs,
  MASTER_ADDRESS,
  settle,
  withCluster,
  withScene,
} from "./support.ts";

const { ADMIN, CLIENT, MASTER, STORAGE } = NodeType;
const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("Identification refuses another cluster, its own address and nonsense", async () => {
  await withScene({}, async (scene) => {
    const cases: [NodeType, Parameters<typeof scene.peer>[1], RegExp][] = [
      [STORAGE, { cluster: "other" }, /invalid cluster name 'other'/],
      [ADMIN, { address: MASTER_ADDRESS }, /address conflict/],
      [MASTER, { address: null }, /a master must tell its address/],
      [MASTER, { idTimestamp: NaN }, /NaN is no time/],
      [MASTER, { idTimestamp: -Infinity }, /-Infinity is no time/],
      [CLIENT, { address: { host: "10.0.0.9", port: 1 } }, /clients have no address/],
      [STORAGE, { nid: nidOf(CLIENT, 1) }, /C1 is not the id of a storage/],
      [CLIENT, { nid: 1 }, /S1 is not the id of a client/],
      [ADMIN, { nid: 0 }, /is not the id of a admin/],
      [STORAGE, { extra: new Map([["devpath", 3]]) }, /extra devpath: expected a list/],
      [STORAGE, { extra: new Map<string, Anything>([["new_nid", [true]]]) }, /extra new_nid/],
      [CLIENT, { extra: new Map([["read_only", 3]]) }, /extra read_only/],
    ];
    for (const [type, identity, expected] of cases) {
      const peer = await scene.peer(type, identity).identify();
      assert.match(errorOf(peer.identification), /^PROTOCOL_ERROR /);
      assert.match(errorOf(peer.identification), expected);
      assert(peer.closed);
    }
  });
});

Deno.test("Identification keeps storages and clients away until they can be served", async () => {
  await withScene({}, async (scene) => {
    const client = await scene.client();
    checkWaiting(client.identification);
    scene.clock.advance(1000);
    await settle();
    assert.match(errorOf(client.identification), /^NOT_READY /);
    assert(client.closed);
    const clone = await scene.storage({
      address: null,
      extra: new Map<string, Anything>([["new_nid", [0]]]),
    });
    assert.match(errorOf(clone.identification), /^NOT_READY /);
  });
});

Deno.test("Identification lets clients wait for the end of a recovery that is about to end", async () => {
  await withScene({ autostart: 1 }, async (scene) => {
    const client = await scene.client();
    const gone = await scene.client();
    await gone.kill();
    checkWaiting(client.identification);
    const twice = client.ask("RequestIdentification", {
      type: CLIENT,
      nid: null,
      address: null,
      cluster: "test",
      idTimestamp: null,
      extra: new Map(),
    });
    const other = await scene.client();
    scene.clock.advance(900);
    await scene.storage();
    assert.equal(answerOf(other.identification).yourNid, nidOf(CLIENT, 1));
    assert.match(errorOf(twice), /already waiting for an answer/);
    await begin(other);
  });
});

Deno.test("Identification gives a node its id and address back when it reconnects", async () => {
  await withCluster(2, {}, async ({ scene, s }) => {
    const address = { host: "10.0.0.2", port: 20002 };
    await s(1).kill();
    scene.sent();
    const back = await scene.storage({ nid: 1, address });
    assert.equal(back.nid, 1);
    assert.deepEqual(scene.sentTo("S1"), [
      "AcceptIdentification S1",
      "NotifyNodeInformation S1 RUNNING, M1 RUNNING, S2 RUNNING, C1 RUNNING",
      "SendPartitionTable 2 OU|OU",
      "StartOperation",
    ]);
  });
});

Deno.test("Identification lets a storage come back at another address", async () => {
  await withCluster(2, {}, async ({ scene, s }) => {
    await s(1).kill();
    const back = await scene.storage({ nid: 1, address: { host: "10.0.0.7", port: 7 } });
    assert.equal(back.nid, 1);
    assert.match(scene.master.dump(), /S1 \(10\.0\.0\.7:7\) RUNNING/);
  });
});

Deno.test("Identification refuses the id of a storage that is connected", async () => {
  await withCluster(2, {}, async ({ scene, s }) => {
    const other = await scene.storage({ nid: 1 });
    assert.match(errorOf(other.identification), /^PROTOCOL_ERROR .*already connected: S1/);
    assert(!s(1).closed);
  });
});

Deno.test("Identification refuses the address of a node that is connected", async () => {
  await withCluster(1, {}, async ({ scene, s }) => {
    const address = { host: "10.0.0.2", port: 20002 };
    for (
      const identity of [{ address }, { address, nid: 5 }, { address, nid: 1, host: "10.0.0.8" }]
    ) {
      const other = await scene.storage(identity);
      assert.match(errorOf(other.identification), /^PROTOCOL_ERROR .*already connected: S1/);
    }
    const admin = await scene.admin({ address });
    assert.match(errorOf(admin.identification), /^PROTOCOL_ERROR .*already connected: S1/);
    assert(!s(1).closed);
  });
});

Deno.test("Identification refuses an address with the id of another storage", async () => {
  await withCluster(2, {}, async ({ scene, s }) => {
    await s(1).kill();
    const other = await scene.storage({ nid: 2, address: { host: "10.0.0.2", port: 20002 } });
    assert.match(errorOf(other.identification), /^PROTOCOL_ERROR .*already connected: S2/);
  });
});

Deno.test("Identification replaces a dead connection of a storage that comes back", async () => {
  await withCluster(2, {}, async ({ scene, s }) => {
    const [, link] = scene.links;
    link?.freeze();
    scene.sent();
    const back = await scene.storage({ nid: 1, address: { host: "10.0.0.2", port: 20002 } });
    assert.equal(back.nid, 1);
    assert.deepEqual(scene.sent("NotifyNodeInformation", "NotifyPartitionChanges").slice(1, 3), [
      "S2 NotifyNodeInformation S1 DOWN",
      "C1 NotifyNodeInformation S1 DOWN",
    ]);
    assert(!s(1).closed, "it did not notice");
    assert.equal(back.data.rows, "OU|OU");
    assert.equal(back.count("StartOperation"), 1);
  });
});

Deno.test("Identification replaces a dead connection of an admin that comes back", async () => {
  await withScene({}, async (scene) => {
    const address = scene.newAddress();
    const admin = await scene.admin({ address });
    const again = await scene.admin({ address });
    assert.equal(again.nid, admin.nid);
    assert(admin.closed);
    assert.equal(await scene.clusterState(again), "RECOVERING");
  });
});

Deno.test("Identification gives another id when a temporary one is in use", async () => {
  await withCluster(1, {}, async ({ scene, client, admin }) => {
    assert.equal((await scene.client({ nid: client.nid })).nid, nidOf(CLIENT, 2));
    assert.equal((await scene.admin({ nid: admin.nid })).nid, nidOf(ADMIN, 2));
    assert.equal((await scene.client({ nid: nidOf(CLIENT, 9) })).nid, nidOf(CLIENT, 9));
    await client.kill();
    assert.equal((await scene.client()).nid, client.nid, "the first free one");
  });
});

Deno.test("Identification never gives the id of a storage of the table to another one", async () => {
  await withCluster(2, {}, async ({ scene, s }) => {
    await s(1).kill();
    scene.sent();
    // The database was wiped: same address, but no id.
    const wiped = await scene.storage({ address: { host: "10.0.0.2", port: 20002 } });
    assert.equal(wiped.nid, 3);
    // Its former self is still known, after the one that has its address now.
    assert.deepEqual(scene.sentTo("S2"), ["NotifyNodeInformation S3 PENDING, S1 DOWN"]);
    assert.deepEqual(scene.sentTo("S3").slice(1), [
      "NotifyNodeInformation S3 PENDING, M1 RUNNING, S1 DOWN, S2 RUNNING, C1 RUNNING",
      "SendPartitionTable 2 OU|OU",
    ]);
    const [, description] = s(2).last("NotifyNodeInformation").nodes;
    assert.equal(description?.address, null);
  });
});

Deno.test("Identification gives a new storage the state PENDING", async () => {
  await withCluster(1, {}, async ({ scene }) => {
    scene.sent();
    const storage = await scene.storage();
    assert.deepEqual(scene.sent(), [
      "A1 NotifyNodeInformation S2 PENDING",
      "S1 NotifyNodeInformation S2 PENDING",
      "C1 NotifyNodeInformation S2 PENDING",
      "S2 AcceptIdentification S2",
      "S2 NotifyNodeInformation S2 PENDING, M1 RUNNING, S1 RUNNING, C1 RUNNING",
      "S2 SendPartitionTable 1 U|U",
    ]);
    scene.sent();
    await storage.kill();
    assert.deepEqual(scene.sent(), [
      "A1 NotifyNodeInformation S2 UNKNOWN",
      "S1 NotifyNodeInformation S2 UNKNOWN",
      "C1 NotifyNodeInformation S2 UNKNOWN",
    ]);
  });
});

Deno.test("Identification gives another id to a storage without cells whose id is in use", async () => {
  await withCluster(1, {}, async ({ scene, admin }) => {
    const pending = await scene.storage();
    assert.equal(pending.nid, 2);
    await pending.kill();
    // It was forgotten.
    const other = await scene.storage();
    assert.equal(other.nid, 2);
    const address = pending.identity.address ?? scene.newAddress();
    const back = await scene.storageWith(pending.data, { nid: 2, address });
    assert.equal(back.nid, 3);
    assert(!other.closed);
    assert.equal(await admin.order("AddPendingNodes", { nids: [2, 3] }), "Nodes added: S2, S3");
    await admin.get("TweakPartitionTable", { dryRun: false, excluded: [] });
    // From now on, its data is its own.
    const late = await scene.storageWith(pending.data, { nid: 2 });
    assert.match(errorOf(late.identification), /already connected/);
  });
});

Deno.test("Identification lets a storage with cells back in where another database was started", async () => {
  await withScene({ partitions: 2 }, async (scene) => {
    const admin = await scene.admin();
    await scene.storageWith({ ptid: 3, rows: "U.|.U" }, { nid: 1 });
    const address = scene.newAddress();
    const wrong = await scene.storage({ address });
    assert.equal(wrong.nid, 3);
    await wrong.kill();
    scene.sent();
    const s2 = await scene.storageWith({ ptid: 3, rows: "U.|.U" }, { nid: 2, address });
    assert.equal(s2.nid, 2);
    assert.deepEqual(scene.sent("NotifyNodeInformation").filter((line) => /^A1/.test(line)), [
      "A1 NotifyNodeInformation S3 UNKNOWN",
      "A1 NotifyNodeInformation S2 PENDING",
      "A1 NotifyNodeInformation S1 RUNNING, S2 RUNNING",
    ]);
    assert.equal(await scene.clusterState(admin), "RUNNING");
  });
});

Deno.test("Identification gives an id, and outdated cells, to the copy of a database", async () => {
  await withCluster(1, {}, async ({ scene }) => {
    scene.sent();
    const extra = new Map<string, Anything>([["new_nid", [1, 0, 1]]]);
    const clone = await scene.storage({ address: null, extra });
    assert.equal(clone.nid, 2);
    assert.deepEqual(scene.sent().filter((line) => !line.startsWith("A1")), [
      "S1 NotifyNodeInformation S2 DOWN",
      "C1 NotifyNodeInformation S2 DOWN",
      "S1 NotifyPartitionChanges 2 1:S2→O 0:S2→O",
      "C1 NotifyPartitionChanges 2 1:S2→O 0:S2→O",
      "S2 AcceptIdentification S2",
      "S2 NotifyNodeInformation S2 DOWN, M1 RUNNING, S1 RUNNING, C1 RUNNING",
      "S2 SendPartitionTable 2 UO|UO",
    ]);
    await clone.kill();
    assert.deepEqual(scene.sent(), []);
    const restarted = await scene.storage({ nid: 2 });
    assert.equal(restarted.count("StartOperation"), 1);
    for (const bad of [{ nid: 7 }, { extra: new Map<string, Anything>([["new_nid", [9]]]) }, {}]) {
      const peer = await scene.storage({ address: null, extra: new Map(), ...bad });
      assert.match(errorOf(peer.identification), /^PROTOCOL_ERROR /);
    }
  });
});

Deno.test("Identification distinguishes two owners of an id by their timestamps", async () => {
  await withCluster(1, {}, async ({ scene, client, s }) => {
    const timestampOf = () => s(1).last("NotifyNodeInformation").nodes[0]?.idTimestamp ?? 0;
    const first = timestampOf();
    await client.kill();
    // The clock went back.
    scene.clock.wall -= 1000;
    await scene.client();
    assert(timestampOf() > first);
    assert(s(1).last("NotifyNodeInformation").timestamp > timestampOf());
  });
});

Deno.test("Identification lets a read-only client read, and nothing else", async () => {
  await withCluster(1, {}, async ({ scene, client }) => {
    const reader = await scene.client({ extra: new Map([["read_only", true]]) });
    const ttid = await begin(client);
    const replies = [
      reader.ask("AskBeginTransaction", { tid: null }),
      reader.ask("AskNewOIDs", { count: 1 }),
      reader.ask("AskFinishTransaction", finishArgs(ttid)),
      reader.ask("AskFinalTID", { ttid }),
      reader.command("FailedVote", { ttid, nids: [] }),
    ];
    reader.notify("AbortTransaction", { ttid, nids: [] });
    await settle();
    for (const reply of replies) assert.match(errorOf(reply), /^READ_ONLY_ACCESS .*read-only/);
    assert(!reader.closed);
    await client.get("AskFinishTransaction", finishArgs(ttid, 1n));
    assert.equal(reader.count("InvalidateObjects"), 1);
  });
});

Deno.test("Identification of a backup master makes it a reader that is told about partitions", async () => {
  await withCluster(1, { partitions: 4 }, async ({ scene, client }) => {
    scene.sent();
    const backup = await scene.client({ extra: new Map([["backup", bytes("copy")]]) });
    const monitor = await scene.admin({
      extra: new Map<string, Anything>([["backup", [bytes("copy"), bytes("other")]]]),
    });
    await scene.admin({ extra: new Map<string, Anything>([["backup", [bytes("other")]]]) });
    assert.deepEqual(scene.sentTo("C2").slice(3), ["NotifyNodeInformation A2 RUNNING"]);
    const ttid = await begin(client);
    await client.get("AskFinishTransaction", { ...finishArgs(ttid, 1n), deleted: [3] });
    assert.deepEqual(backup.last("InvalidatePartitions").partitions, [1, 3]);
    scene.sent();
    await monitor.kill();
    assert.deepEqual(scene.sent(), ["C2 NotifyNodeInformation A2 UNKNOWN"]);
  });
});

Deno.test("Identification is what a peer must begin with", async () => {
  await withCluster(1, {}, async ({ scene, client, admin, s }) => {
    const stranger = await scene.peer(CLIENT).connect();
    const ping = stranger.ask("Ping", {});
    await settle();
    assert(ping.answer);
    const early = stranger.ask("AskLastTransaction", {});
    await settle();
    assert.match(errorOf(early), /^PROTOCOL_ERROR .*unexpected message/);
    for (const peer of [client, admin, s(1)]) {
      const again = peer.ask("RequestIdentification", {
        type: CLIENT,
        nid: null,
        address: null,
        cluster: "test",
        idTimestamp: null,
        extra: new Map(),
      });
      await settle();
      assert.match(errorOf(again), /^PROTOCOL_ERROR .*unexpected message/);
    }
  });
});
