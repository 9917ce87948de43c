/** What clients can make a storage hold in memory is limited. */

import assert from "node:assert/strict";
import {
  MAX_DELAYED_WRITES,
  MAX_RUNNING_READS,
  MAX_UNWRITTEN,
  MAX_WAITING_READS,
} from "../../storage/flow.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import { HIGH_WATER_MARK } from "../../network/transport.ts";
import { MAX_TRANSACTIONS } from "../../storage/transactions.ts";
import {
  type Asked,
  client,
  commit,
  type FakeClient,
  oid,
  quiet,
  tid,
  until,
  withScene,
  ZERO_TID,
} from "./support.ts";

const BIG = "x".repeat(100_000);

function loadMany(peer: FakeClient, count: number): Asked<"AskObject">[] {
  return Array.from({ length: count }, () => peer.load(oid(2)));
}

Deno.test("a client that does not read what it asks for is not read any more", async () => {
  await withScene({}, async (scene) => {
    const greedy = await scene.connect(client(1));
    const modest = await scene.connect(client(2));
    await commit(scene, modest, tid(100), oid(2), ZERO_TID, BIG);
    const before = scene.held().calls("object");
    greedy.connection.pause();
    const asked = loadMany(greedy, 1000);
    await quiet();
    const reads = scene.held().calls("object") - before;
    const most = HIGH_WATER_MARK / BIG.length + 2 * MAX_RUNNING_READS;
    assert.ok(reads > 0 && reads <= most, `${reads} reads`);
    // Others are served meanwhile.
    assert.equal((await modest.load(oid(2)).got()).data.length, BIG.length);
    assert.ok(asked.every(({ pending }) => pending));
    // And everything comes as soon as it reads.
    greedy.connection.resume();
    await until(() => asked.every(({ pending }) => !pending), "all the answers");
    assert.ok(asked.every(({ answer }) => answer?.data.length === BIG.length));
  });
});

Deno.test("a client has a limited number of reads in progress", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "x");
    const held = scene.held();
    held.hold("object");
    const asked = loadMany(c1, 1000);
    await quiet();
    assert.equal(held.waiting("object"), MAX_RUNNING_READS);
    const waiting = Number(/(\d+) requests wait/.exec(scene.storage.dump())?.[1]);
    assert.equal(waiting, MAX_WAITING_READS, "the rest stays in the network");
    await held.release("object");
    await until(() => asked.every(({ pending }) => !pending), "all the answers");
    assert.match(scene.storage.dump(), / 0 requests wait/);
  });
});

Deno.test("long lists are made one at a time", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const c2 = await scene.connect(client(2));
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "x");
    const range = { partition: 0, min: ZERO_TID, max: tid(1000) };
    const held = scene.held();
    held.hold("tidsFrom");
    const lists = [1 << 20, 1 << 20, 10, 1 << 20].map((length) =>
      c1.ask("AskTIDsFrom", { ...range, length })
    );
    const last = c1.load(oid(2));
    await quiet();
    assert.equal(held.waiting("tidsFrom"), 1);
    assert.ok(last.pending);
    await c2.load(oid(2)).got();
    await held.release("tidsFrom");
    for (const list of lists) assert.deepEqual((await list.got()).tids, [tid(100)]);
    await last.got();
  });
});

Deno.test("an object that is named several times is examined once for an undo", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "x");
    const oids = Array.from({ length: 1000 }, () => oid(2));
    const args = { ttid: tid(500), ltid: tid(400), undoneTid: tid(100), oids };
    const { objects } = await c1.ask("AskObjectUndoSerial", args).got();
    assert.deepEqual([...objects.keys()], [oid(2)]);
    assert.equal(scene.held().calls("undoHistory"), 1);
  });
});

Deno.test("reads that wait for a commit count, and are served after it", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const c2 = await scene.connect(client(2));
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "x");
    await c1.store(tid(200), oid(2), tid(100), "y").got();
    await c1.vote(tid(200), [oid(2)]).got();
    await scene.master.lock(tid(200), tid(200));
    const asked = loadMany(c2, 1000);
    await quiet();
    assert.match(scene.storage.dump(), new RegExp(`C2 .* ${MAX_WAITING_READS} requests wait`));
    scene.master.unlock(tid(200));
    await until(() => asked.every(({ pending }) => !pending), "all the answers");
    assert.ok(asked.every(({ answer }) => answer?.serial === tid(200)));
  });
});

Deno.test("reads of a client that leaves are forgotten", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "x");
    const held = scene.held();
    const before = held.calls("object");
    held.hold("object");
    loadMany(c1, MAX_RUNNING_READS + 10);
    await quiet();
    c1.connection.close();
    await quiet();
    await held.release("object");
    assert.equal(held.calls("object") - before, MAX_RUNNING_READS);
  });
});

Deno.test("a client that stores faster than the database writes is not read meanwhile", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const held = scene.held();
    held.hold("flush");
    const data = new Uint8Array(1 << 20);
    const count = 3 * MAX_UNWRITTEN / data.length;
    const stores = Array.from(
      { length: count },
      (_, i) => c1.store(tid(100), oid(2 * i), ZERO_TID, data),
    );
    await until(() => held.waiting("flush") > 0, "the database is waited for");
    await quiet();
    const stored = held.calls("storeData");
    assert.ok(stored <= MAX_UNWRITTEN / data.length + 1, `${stored} stores`);
    await held.release("flush");
    await until(() => stores.every(({ pending }) => !pending), "all the answers");
    await c1.vote(tid(100)).got();
  });
});

Deno.test("too many writes that wait for locks cost the client its connection", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const c2 = await scene.connect(client(2));
    await c1.check(tid(100), oid(2), ZERO_TID).got();
    let last = c2.check(tid(200), oid(2), ZERO_TID);
    for (let i = 0; i < MAX_DELAYED_WRITES; i++) last = c2.check(tid(200), oid(2), ZERO_TID);
    await last.refused(ErrorCode.PROTOCOL_ERROR, /too much is waiting/);
    await until(() => c2.closed, "the connection is closed");
    c1.abort(tid(100));
    assert.deepEqual(await c1.check(tid(300), oid(2), ZERO_TID).got(), { conflict: null });
    assert.match(scene.storage.dump(), /1 objects are locked/);
  });
});

Deno.test("too many transactions cost the client its connection", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    let last = c1.check(tid(0), oid(0), ZERO_TID);
    for (let i = 1; i <= MAX_TRANSACTIONS; i++) last = c1.check(tid(i), oid(i), ZERO_TID);
    await last.refused(ErrorCode.PROTOCOL_ERROR, /transactions/);
    await until(() => c1.closed, "the connection is closed");
    assert.match(scene.storage.dump(), /0 objects are locked/);
  });
});
