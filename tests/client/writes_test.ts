/** The first phase of transactions. */

import assert from "node:assert/strict";
import {
  ConflictError,
  NEOPrimaryMasterLost,
  NEOStorageError,
  NEOUndoPackError,
  ReadConflictError,
  StorageError,
  StorageTransactionError,
} from "../../client/mod.ts";
import { CellState, ErrorCode, NodeState, NodeType } from "../../protocol/enums.ts";
import { MAX_PENDING } from "../../client/writes.ts";
import { IDLE_TIME } from "../../client/storage_links.ts";
import { bytes, FakeCluster, type Heard, oid, quiet, SELF, sha1, tid, until } from "./fakes.ts";

Deno.test("Transaction.store() sends 100 objects without waiting when it is not awaited", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2], [2, 3]] });
  const client = await cluster.connect();
  for (const storage of cluster.storages.values()) delete storage.script.AskStoreObject;
  await using transaction = await client.begin({ user: "u", description: "d" });
  for (let i = 1; i <= 100; i++) transaction.store(oid(i), null, bytes(`${i}`));
  const committing = transaction.commit();
  await until(() => cluster.storage(2).count("AskStoreObject") === 100, "100 stores");
  assert.deepEqual(
    cluster.storage(2).all("AskStoreObject").map((args) => args.oid),
    Array.from({ length: 100 }, (_, i) => oid(i + 1)),
  );
  for (const [nid, storage] of cluster.storages) {
    const count = nid === 2 ? 100 : 50;
    for (let i = 0; i < count; i++) {
      (await storage.next("AskStoreObject")).answer({ conflict: null });
    }
  }
  const { ttid } = transaction;
  assert.equal(await committing, cluster.lastTid);
  assert.equal(transaction.state, "committed");
  // The ttid, 210, belongs to the first partition.
  const votes = [1, 2, 3].map((nid) => cluster.storage(nid)).map((storage) => [
    storage.count("AskStoreTransaction"),
    storage.count("AskVoteTransaction"),
  ]);
  assert.equal(ttid, tid(210));
  assert.deepEqual(votes, [[1, 0], [1, 0], [0, 1]]);
  const [metadata] = cluster.storage(1).all("AskStoreTransaction");
  const { oids, ...rest } = metadata ?? { oids: [] };
  assert.equal(oids.length, 100);
  assert.deepEqual(rest, {
    ttid,
    user: bytes("u"),
    description: bytes("d"),
    extension: new Uint8Array(0),
    pack: null,
  });
});

Deno.test("Transaction.store() writes to cells in any state", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2, 3]] });
  cluster.rows[0]?.splice(1, 2, { nid: 2, state: CellState.OUT_OF_DATE }, {
    nid: 3,
    state: CellState.CORRUPTED,
  });
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("x"), { dataTid: tid(5) });
  await transaction.commit();
  for (const storage of cluster.storages.values()) {
    assert.deepEqual(storage.all("AskStoreObject"), [{
      oid: oid(1),
      serial: tid(10),
      compression: 0,
      checksum: sha1(bytes("x")),
      data: bytes("x"),
      dataSerial: tid(5),
      ttid: transaction.ttid,
    }]);
  }
});

Deno.test("Transaction.commit() separates what was stored, deleted and checked", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1], [1], [1]] });
  const client = await cluster.connect();
  await using transaction = await client.begin();
  transaction.checkCurrentSerial(oid(2), tid(10));
  transaction.deleteObject(oid(4), tid(10));
  transaction.store(oid(3), tid(10), bytes("x"));
  await transaction.commit();
  const { ttid } = transaction;
  assert.deepEqual(cluster.storage(1).all("AskCheckCurrentSerial"), [
    { ttid, oid: oid(2), serial: tid(10) },
  ]);
  const stored = cluster.storage(1).all("AskStoreObject");
  assert.deepEqual(stored[0]?.checksum, new Uint8Array(20));
  // Checked objects are not part of the transaction; others are told about deleted ones.
  assert.deepEqual(cluster.storage(1).all("AskStoreTransaction")[0]?.oids, [oid(4), oid(3)]);
  assert.deepEqual(cluster.master.all("AskFinishTransaction"), [
    { ttid, oids: [oid(4), oid(3)], deleted: [1], checked: [2], pack: null },
  ]);
});

Deno.test("Transaction.commit() throws and aborts when another transaction was first", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect();
  cluster.storage(2).script.AskStoreObject = ({ answer }) => answer({ conflict: tid(50) });
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("mine"));
  await assert.rejects(transaction.commit(), (error) => {
    assert.ok(error instanceof ConflictError && error.transient);
    assert.equal(error.oid, oid(1));
    assert.deepEqual(error.serials, { current: tid(50), given: tid(10) });
    assert.deepEqual(error.data, bytes("mine"));
    return true;
  });
  assert.equal(transaction.state, "aborted");
  await client.sync();
  const { ttid } = transaction;
  for (const storage of cluster.storages.values()) {
    assert.deepEqual(storage.all("AbortTransaction"), [{ ttid, nids: [] }]);
  }
  assert.deepEqual(cluster.master.all("AbortTransaction"), [{ ttid, nids: [1, 2] }]);
  await assert.rejects(transaction.store(oid(2), null, bytes("")), StorageTransactionError);
});

Deno.test("Transaction.store() throws the conflict of an earlier store", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.storage(1).script.AskStoreObject = ({ answer }) => answer({ conflict: tid(50) });
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("x"));
  await quiet();
  await assert.rejects(transaction.store(oid(2), tid(10), bytes("x")), ConflictError);
  await assert.rejects(transaction.vote(), ConflictError);
});

Deno.test("Transaction.checkCurrentSerial() makes the vote throw ReadConflictError", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ resolveConflict: () => assert.fail("not resolvable") });
  cluster.storage(1).script.AskCheckCurrentSerial = ({ answer }) => answer({ conflict: tid(50) });
  await using transaction = await client.begin();
  await transaction.checkCurrentSerial(oid(1), tid(10));
  await assert.rejects(transaction.vote(), (error) => {
    assert.ok(error instanceof ReadConflictError);
    assert.deepEqual(error.serials, { current: tid(50), given: tid(10) });
    return true;
  });
});

Deno.test("Transaction.vote() resolves conflicts and ignores late ones of replicas", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const order: string[] = [];
  const client = await cluster.connect({
    resolveConflict: ({ newData, ...conflict }) => {
      assert.deepEqual(conflict, {
        oid: oid(1),
        oldSerial: tid(10),
        committedSerial: tid(150),
        oldData: bytes("data"),
        committedData: bytes("data"),
      });
      order.push(`resolve, last is ${client.lastTransaction}`);
      return Promise.resolve(bytes(new TextDecoder().decode(newData) + " merged"));
    },
  });
  for (const storage of cluster.storages.values()) delete storage.script.AskStoreObject;
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("mine"));
  const voting = transaction.vote();
  const late = await cluster.storage(2).next("AskStoreObject");
  (await cluster.storage(1).next("AskStoreObject")).answer({ conflict: tid(150) });
  cluster.invalidate(tid(150), oid(1));
  const again = await cluster.storage(1).next("AskStoreObject");
  assert.equal(again.args.serial, tid(150));
  assert.deepEqual(again.args.data, bytes("mine merged"));
  late.answer({ conflict: tid(150) });
  again.answer({ conflict: null });
  (await cluster.storage(2).next("AskStoreObject")).answer({ conflict: null });
  assert.deepEqual(await voting, new Map([[oid(1), tid(150)]]));
  assert.deepEqual(order, ["resolve, last is 150"]);
  assert.equal(await transaction.finish(), cluster.lastTid);
  assert.deepEqual((await client.load(oid(1))).data, bytes("mine merged"));
});

Deno.test("Transaction.vote() throws the failure of the resolution of a conflict", async () => {
  await using cluster = await FakeCluster.start();
  const failure = new Error("can't merge");
  const client = await cluster.connect({
    resolveConflict: () => {
      throw failure;
    },
  });
  cluster.storage(1).script.AskStoreObject = ({ answer }) => answer({ conflict: tid(50) });
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("x"));
  await assert.rejects(transaction.vote(), (error) => {
    assert.ok(error instanceof ConflictError);
    assert.equal(error.cause, failure);
    return true;
  });
});

Deno.test("Transaction.store() waits when too many bytes are on their way", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ maxInFlight: 100, cacheSize: 0 });
  const storage = cluster.storage(1);
  delete storage.script.AskStoreObject;
  await using transaction = await client.begin();
  await transaction.store(oid(1), null, new Uint8Array(60));
  let stored = 0;
  const second = transaction.store(oid(2), null, new Uint8Array(60)).then(() => stored++);
  const third = transaction.store(oid(3), null, new Uint8Array(60)).then(() => stored++);
  await quiet();
  assert.deepEqual([stored, storage.count("AskStoreObject")], [0, 2]);
  (await storage.next("AskStoreObject")).answer({ conflict: null });
  await until(() => storage.count("AskStoreObject") === 3, "the third store");
  assert.equal(stored, 1);
  await second;
  for (const _ of [2, 3]) (await storage.next("AskStoreObject")).answer({ conflict: null });
  await third;
  await transaction.commit();
});

Deno.test("Transaction.deleteObject() waits when too many writes are on their way", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  const heard: Heard<"AskStoreObject">[] = [];
  storage.script.AskStoreObject = (store) => heard.push(store);
  await using transaction = await client.begin();
  let sent = 0;
  const deleting = (async () => {
    for (; sent < MAX_PENDING; sent++) await transaction.deleteObject(oid(sent), tid(10));
  })();
  await until(() => heard.length === MAX_PENDING, "the deletions");
  await quiet();
  assert.equal(sent, MAX_PENDING - 1);
  storage.script.AskStoreObject = ({ answer }) => answer({ conflict: null });
  for (const { answer } of heard) answer({ conflict: null });
  await deleting;
  await transaction.commit();
});

Deno.test("Transaction.store() replaces an earlier store of the same object", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await transaction.store(oid(1), null, bytes("first"));
  await transaction.store(oid(1), null, bytes("second"));
  await transaction.commit();
  assert.deepEqual((await client.load(oid(1))).data, bytes("second"));
  assert.deepEqual(cluster.master.all("AskFinishTransaction")[0]?.oids, [oid(1)]);
  assert.equal(cluster.storage(1).count("AskObject"), 0, "from the cache");
});

Deno.test("Transaction.store() refuses what storage nodes can't store", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await assert.rejects(transaction.store(oid(2 ** 63), null, bytes("")), RangeError);
  await assert.rejects(transaction.store(oid(1), tid(2 ** 63), bytes("")), RangeError);
  await assert.rejects(transaction.store(oid(1), null, "text" as unknown as Uint8Array), TypeError);
  const long = new Uint8Array((64 << 20) + 1);
  await assert.rejects(transaction.store(oid(1), null, long), StorageError);
  await transaction.checkCurrentSerial(oid(1), tid(10));
  await assert.rejects(transaction.store(oid(1), tid(10), bytes("")), StorageTransactionError);
  await transaction.store(oid(2), tid(10), bytes(""));
  await assert.rejects(transaction.checkCurrentSerial(oid(2), tid(10)), StorageTransactionError);
  await transaction.commit();
  assert.equal(cluster.storage(1).count("AskStoreObject"), 1);
});

Deno.test("Transaction.store() throws NEOUndoPackError when the shared revision was packed", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.storage(1).script.AskStoreObject = ({ error }) => error(ErrorCode.UNDO_PACK_ERROR);
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("x"), { dataTid: tid(5) });
  await assert.rejects(transaction.vote(), NEOUndoPackError);
});

// Locks

Deno.test("Transaction keeps its stores when it is asked to lock again and nothing changed", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  await using transaction = await client.begin();
  const { ttid } = transaction;
  await transaction.store(oid(1), tid(10), bytes("x"));
  await quiet();
  storage.notify("NotifyDeadlock", { ttid, oid: oid(1) });
  const relock = await storage.next("AskRelockObject");
  assert.deepEqual(relock.args, { ttid, oid: oid(1) });
  const committing = transaction.commit();
  await quiet();
  assert.equal(storage.count("AskStoreTransaction"), 0, "the vote waits for the lock");
  relock.answer({ conflict: null });
  await committing;
  assert.equal(storage.count("AskStoreObject"), 1);
});

Deno.test("Transaction.vote() waits for a lock it had to give back at the last moment", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.AskStoreObject;
  await using transaction = await client.begin();
  const { ttid } = transaction;
  await transaction.store(oid(1), tid(10), bytes("x"));
  const voting = transaction.vote();
  const { answer, connection } = await storage.next("AskStoreObject");
  await quiet();
  answer({ conflict: null });
  connection.notify("NotifyDeadlock", { ttid, oid: oid(1) });
  const relock = await storage.next("AskRelockObject");
  await quiet();
  assert.equal(storage.count("AskStoreTransaction"), 0);
  relock.answer({ conflict: null });
  await voting;
});

Deno.test("Transaction stores again when an older one changed the object it had to unlock", async () => {
  for (const cacheSize of [1000, 0]) {
    await using cluster = await FakeCluster.start({ lastTid: tid(100) });
    const resolved: unknown[] = [];
    const client = await cluster.connect({
      cacheSize,
      resolveConflict: (conflict) => {
        resolved.push(conflict);
        return bytes("merged");
      },
    });
    const storage = cluster.storage(1);
    await using transaction = await client.begin();
    const { ttid } = transaction;
    await transaction.store(oid(1), tid(10), bytes("mine"));
    await quiet();
    storage.notify("NotifyDeadlock", { ttid, oid: oid(1) });
    const relock = await storage.next("AskRelockObject");
    const data = { compression: 0, checksum: sha1(bytes("mine")), data: bytes("mine") };
    relock.answer({ conflict: { serial: tid(10), conflict: tid(90), data } });
    await transaction.commit();
    assert.deepEqual(resolved, [
      {
        oid: oid(1),
        oldSerial: tid(10),
        committedSerial: tid(90),
        oldData: bytes("data"),
        newData: bytes("mine"),
        committedData: bytes("data"),
      },
    ]);
    assert.deepEqual(storage.all("AskStoreObject").map(({ serial, data }) => [serial, data]), [
      [tid(10), bytes("mine")],
      [tid(90), bytes("merged")],
    ]);
  }
});

Deno.test("Transaction fails when the data given back with a lock is damaged", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ cacheSize: 0 });
  const storage = cluster.storage(1);
  await using transaction = await client.begin();
  const { ttid } = transaction;
  await transaction.store(oid(1), tid(10), bytes("mine"));
  await quiet();
  storage.notify("NotifyDeadlock", { ttid, oid: oid(1) });
  const data = { compression: 0, checksum: sha1(bytes("mine")), data: bytes("other") };
  (await storage.next("AskRelockObject")).answer({
    conflict: { serial: tid(10), conflict: tid(90), data },
  });
  await assert.rejects(transaction.vote(), NEOStorageError);
});

Deno.test("Transaction resolves once when replicas report by store and by lock, in any order", async () => {
  for (const relocked of ["first", "second", "last"]) {
    await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
    let resolutions = 0;
    const client = await cluster.connect({
      resolveConflict: () => {
        resolutions++;
        return bytes("merged");
      },
    });
    const [one, two] = [cluster.storage(1), cluster.storage(2)];
    delete two.script.AskStoreObject;
    await using transaction = await client.begin();
    const { ttid } = transaction;
    await transaction.store(oid(1), tid(10), bytes("mine"));
    const pending = await two.next("AskStoreObject");
    one.notify("NotifyDeadlock", { ttid, oid: oid(1) });
    const relock = await one.next("AskRelockObject");
    const voting = transaction.vote();
    const data = { compression: 0, checksum: sha1(bytes("mine")), data: bytes("mine") };
    const conflict = { serial: tid(10), conflict: tid(90), data };
    if (relocked === "first") relock.answer({ conflict });
    else pending.answer({ conflict: tid(90) });
    const again = await two.next("AskStoreObject");
    assert.equal(again.args.serial, tid(90));
    if (relocked === "first") pending.answer({ conflict: tid(90) });
    if (relocked === "second") relock.answer({ conflict });
    again.answer({ conflict: null });
    await quiet();
    if (relocked === "last") relock.answer({ conflict });
    await voting;
    assert.equal(resolutions, 1);
  }
});

Deno.test("Transaction fails when a checked object changed after it had to unlock it", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  await using transaction = await client.begin();
  const { ttid } = transaction;
  await transaction.checkCurrentSerial(oid(1), tid(10));
  await quiet();
  storage.notify("NotifyDeadlock", { ttid, oid: oid(1) });
  (await storage.next("AskRelockObject")).answer({
    conflict: { serial: tid(10), conflict: tid(90), data: null },
  });
  await assert.rejects(transaction.vote(), ReadConflictError);
});

Deno.test("Transaction does not unlock once it is being voted", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.AskStoreTransaction;
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("x"));
  const voting = transaction.vote();
  const { answer } = await storage.next("AskStoreTransaction");
  storage.notify("NotifyDeadlock", { ttid: transaction.ttid, oid: oid(1) });
  answer({});
  await voting;
  assert.equal(storage.count("AskRelockObject"), 0);
  storage.notify("NotifyDeadlock", { ttid: tid(1), oid: oid(1) });
});

// Losses

Deno.test("Transaction.vote() reports a node that was lost, and the master decides", async () => {
  for (const allowed of [true, false]) {
    await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
    const client = await cluster.connect();
    cluster.storage(2).script.AskStoreObject = ({ connection }) => connection.close();
    await using transaction = await client.begin();
    await transaction.store(oid(1), tid(10), bytes("x"));
    const { ttid } = transaction;
    const voting = transaction.vote();
    const outcome = allowed ? voting : assert.rejects(voting, NEOStorageError);
    const failed = await cluster.master.next("FailedVote");
    assert.deepEqual(failed.args, { ttid, nids: [2] });
    failed.error(allowed ? ErrorCode.ACK : ErrorCode.INCOMPLETE_TRANSACTION);
    await outcome;
    assert.equal(cluster.storage(2).count("AskStoreTransaction"), 0);
    if (allowed) await transaction.finish();
  }
});

Deno.test("Transaction.vote() reports nothing when the lost node stopped", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("x"));
  await quiet();
  cluster.setState(2, NodeState.DOWN);
  await client.sync();
  await transaction.commit();
  assert.equal(cluster.master.count("FailedVote"), 0);
});

Deno.test("Transaction.vote() throws when no remaining node of a partition has the lock", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1, 2]] });
  const client = await cluster.connect();
  cluster.storage(1).script.AskStoreObject = ({ answer }) => answer({ conflict: tid(0) });
  cluster.storage(2).script.AskStoreTransaction = ({ connection }) => connection.close();
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("x"));
  await assert.rejects(transaction.vote(), /partition 0 not fully write-locked/);

  cluster.storage(2).script.AskStoreTransaction = ({ answer }) => answer({});
  await cluster.wait();
  await using other = await client.begin();
  await other.store(oid(1), tid(10), bytes("x"));
  await other.commit();
});

Deno.test("Transaction.store() fails when no storage node can store", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.storage(1).stop();
  await using transaction = await client.begin();
  await assert.rejects(transaction.store(oid(1), null, bytes("x")), NEOStorageError);
});

Deno.test("Transaction fails with a transient error when the primary master is lost", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.storage(1).script.AskStoreObject;
  await using transaction = await client.begin();
  await transaction.store(oid(1), null, bytes("x"));
  const voting = transaction.vote();
  cluster.master.disconnect();
  await assert.rejects(voting, (error) => {
    assert.ok(error instanceof NEOPrimaryMasterLost && error.transient);
    return true;
  });
  await transaction.abort();
  await cluster.wait();
  delete cluster.storage(1).script.AskObject;
  await using another = await client.begin();
  cluster.master.disconnect();
  await quiet();
  await assert.rejects(another.store(oid(1), null, bytes("x")), NEOPrimaryMasterLost);
});

Deno.test("Transaction fails when a signal stops one of its operations", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ maxInFlight: 10 });
  delete cluster.storage(1).script.AskStoreObject;
  const reason = new Error("enough");
  const controller = new AbortController();
  const { signal } = controller;
  await using transaction = await client.begin();
  const storing = transaction.store(oid(1), null, new Uint8Array(20), { signal });
  const waiting = transaction.store(oid(2), null, new Uint8Array(20), { signal });
  await quiet();
  controller.abort(reason);
  await assert.rejects(storing, reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(transaction.vote(), (error) => {
    assert.ok(error instanceof StorageTransactionError);
    assert.equal(error.cause, reason);
    return true;
  });

  delete cluster.storage(1).script.AskStoreTransaction;
  cluster.storage(1).script.AskStoreObject = ({ answer }) => answer({ conflict: null });
  const second = new AbortController();
  await using voted = await client.begin();
  await voted.store(oid(1), null, bytes("x"));
  const voting = voted.vote({ signal: second.signal });
  await cluster.storage(1).next("AskStoreTransaction");
  second.abort(reason);
  await assert.rejects(voting, reason);
  await assert.rejects(voted.finish(), StorageTransactionError);
  await voted.abort();
  await client.sync();
  assert.equal(cluster.master.count("AbortTransaction"), 1);
});

Deno.test("Transaction lets connections go that open after it was aborted", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const storage = cluster.storage(1);
  delete storage.script.RequestIdentification;
  const transaction = await client.begin();
  const storing = assert.rejects(transaction.store(oid(1), null, bytes("x")));
  const { answer } = await storage.next("RequestIdentification");
  await transaction.abort();
  answer({ type: NodeType.STORAGE, nid: 1, yourNid: SELF });
  await storing;
  assert.equal(storage.connections.length, 1);
  for (let i = 0; i < 3; i++) await cluster.wait(IDLE_TIME);
  assert.equal(storage.connections.length, 0);
});

Deno.test("Transaction is aborted when it is disposed of", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  {
    await using transaction = await client.begin();
    await transaction.store(oid(1), null, bytes("x"));
  }
  {
    await using transaction = await client.begin();
    await transaction.commit();
  }
  await client.sync();
  assert.equal(cluster.master.count("AbortTransaction"), 1);
  assert.equal(client.statistics.transactions, 0);
});

Deno.test("Transaction.checkCurrentSerial() asks once about each object", async () => {
  for (const connected of [true, false]) {
    await using cluster = await FakeCluster.start();
    const client = await cluster.connect();
    if (connected) await client.load(oid(1));
    await using transaction = await client.begin();
    const checks = [1, 2, 3].map(() => transaction.checkCurrentSerial(oid(1), tid(5)));
    await Promise.all(checks);
    await transaction.vote();
    assert.equal(cluster.storage(1).count("AskCheckCurrentSerial"), 1);

    await using other = await client.begin();
    other.checkCurrentSerial(oid(1), tid(5));
    other.checkCurrentSerial(oid(1), tid(6));
    await assert.rejects(other.commit(), ReadConflictError);
    assert.equal(cluster.storage(1).count("AskCheckCurrentSerial"), 2);
  }
});

Deno.test("Transaction refuses to store what it checks before it is connected", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  await using transaction = await client.begin();
  transaction.checkCurrentSerial(oid(1), tid(5));
  transaction.store(oid(1), tid(5), bytes("x"));
  await assert.rejects(transaction.commit(), (error) => {
    assert(error instanceof StorageTransactionError);
    assert.match(error.message, /both checked and stored/);
    return true;
  });
  assert.equal(cluster.storage(1).count("AskStoreObject"), 0);
});

Deno.test("Transaction conflicts with what is older than what it is based on", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ resolveConflict: () => assert.fail("nothing to merge") });
  const { script } = cluster.storage(1);
  script.AskStoreObject = ({ answer }) => answer({ conflict: tid(40) });
  script.AskCheckCurrentSerial = ({ answer }) => answer({ conflict: tid(40) });
  const serials = { current: tid(40), given: tid(80) };
  const storing = await client.begin();
  await storing.store(oid(1), tid(80), bytes("x"));
  await assert.rejects(storing.commit(), (error) => {
    assert(error instanceof ConflictError && error.transient);
    assert.deepEqual([error.oid, error.serials], [oid(1), serials]);
    return true;
  });
  const checking = await client.begin();
  await checking.checkCurrentSerial(oid(1), tid(80));
  await assert.rejects(checking.commit(), ReadConflictError);
});

Deno.test("Transaction.store() replaces what the transaction restored", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  await using transaction = await client.begin();
  await transaction.store(oid(1), tid(80), bytes("old"), { dataTid: tid(40) });
  await transaction.store(oid(1), tid(80), bytes("new"));
  await transaction.store(oid(1), tid(80), bytes("newer"));
  await transaction.store(oid(2), tid(80), bytes("old"), { dataTid: tid(40) });
  await transaction.store(oid(2), tid(70), bytes("based on something else"));
  await quiet();
  const stored = cluster.storage(1).all("AskStoreObject");
  assert.deepEqual(
    stored.map(({ oid, serial }) => [oid, serial]),
    [[1n, 80n], [1n, 40n], [1n, 80n], [2n, 80n], [2n, 70n]],
  );
});

Deno.test("Client.begin() refuses what the master would cut it off for", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const { master } = cluster;
  const { script } = master;
  const begin = script.AskBeginTransaction;
  delete script.AskBeginTransaction;
  const controller = new AbortController();
  const importing = client.begin({ tid: tid(900), signal: controller.signal });
  const { answer } = await master.next("AskBeginTransaction");
  controller.abort(new Error("enough"));
  await assert.rejects(importing, /enough/);
  await assert.rejects(client.begin(), StorageTransactionError, "the master may have begun it");
  answer({ ttid: tid(900) });
  await until(() => master.count("AbortTransaction") === 1, "it is aborted");
  if (begin !== undefined) script.AskBeginTransaction = begin;
  await (await client.begin()).abort();
});

Deno.test("Client.begin() refuses more transactions than masters accept", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const open = await Promise.all(Array.from({ length: 10_000 }, () => client.begin()));
  await assert.rejects(client.begin(), /at most 10000 transactions at once/);
  await open[0]?.abort();
  await (await client.begin()).abort();
});

Deno.test("Transaction.vote() tells that the master was lost while it connected", async () => {
  await using cluster = await FakeCluster.start({ rows: [[1], [2]] });
  const client = await cluster.connect();
  await using transaction = await client.begin();
  // The ttid belongs to the other partition.
  const partition = Number(transaction.ttid % 2n);
  await transaction.store(oid(1 - partition), null, bytes("x"));
  delete cluster.storage(partition + 1).script.RequestIdentification;
  const voting = transaction.vote();
  await cluster.storage(partition + 1).next("RequestIdentification");
  cluster.master.disconnect();
  const rejected = assert.rejects(voting, NEOPrimaryMasterLost);
  // A storage node that does not answer in the new session either.
  await cluster.wait();
  await rejected;
});
