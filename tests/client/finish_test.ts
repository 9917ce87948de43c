/** Beginning and committing transactions, and finding out what became of them. */

import assert from "node:assert/strict";
import {
  ClientClosedError,
  NEOPrimaryMasterLost,
  NEOStorageError,
  ReadOnlyError,
  StorageTransactionError,
  type Tid,
  UnknownOutcomeError,
} from "../../client/mod.ts";
import type { Client } from "../../client/mod.ts";
import { ErrorCode } from "../../protocol/enums.ts";
import { MAX_TID } from "../../protocol/ids.ts";
import { bytes, FakeCluster, oid, quiet, tid, until } from "./fakes.ts";

async function voted(client: Client) {
  const transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("mine"));
  await transaction.vote();
  return transaction;
}

Deno.test("Transaction.finish() calls back before lastTransaction changes, then caches", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  assert.equal((await client.load(oid(1))).next, null);
  const transaction = await voted(client);
  delete cluster.master.script.AskFinishTransaction;
  const events: unknown[] = [];
  using _listening = client.listen({ invalidate: (tid) => events.push(["invalidate", tid]) });
  const finishing = transaction.finish({
    onCommitted: (tid) => events.push(["committed", tid, client.lastTransaction]),
  });
  const { answer, args } = await cluster.master.next("AskFinishTransaction");
  cluster.invalidate(tid(240), oid(2));
  answer({ ttid: args.ttid, tid: tid(250) });
  cluster.invalidate(tid(260), oid(1));
  assert.equal(await finishing, tid(250));
  assert.deepEqual(events, [
    ["invalidate", tid(240)],
    ["committed", tid(250), tid(240)],
    ["invalidate", tid(260)],
  ]);
  assert.equal(client.lastTransaction, tid(260));
  const mine = await client.loadBefore(oid(1), tid(255));
  assert.deepEqual(mine, { data: bytes("mine"), serial: tid(250), next: tid(260) });
  assert.equal((await client.loadBefore(oid(1), tid(250)))?.next, tid(250));
  assert.equal(cluster.storage(1).count("AskObject"), 1, "all but the first from the cache");
});

Deno.test("Client.load() caches the right next when its own client commits meanwhile", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ cacheSize: 1000 });
  const transaction = await voted(client);
  delete cluster.storage(1).script.AskObject;
  const load = client.load(oid(1));
  const { answer } = await cluster.storage(1).next("AskObject");
  const committed = await transaction.finish();
  answer(cluster.object(oid(1)));
  assert.equal((await load).next, committed);
  assert.equal((await client.load(oid(1))).serial, committed);
  assert.equal((await client.loadBefore(oid(1), committed))?.serial, tid(10));
});

Deno.test("Transaction.finish() survives a failing callback", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const transaction = await voted(client);
  const committed = await transaction.finish({
    onCommitted: () => {
      throw new Error("oops");
    },
  });
  assert.equal(client.lastTransaction, committed);
  cluster.world.log.assertHas(/onCommitted callback failed: oops/);
  using _listening = client.listen({
    invalidate: () => {
      throw new Error("oops");
    },
  });
  cluster.invalidate(tid(500), oid(1));
  await client.sync();
  assert.equal(client.lastTransaction, tid(500));
});

Deno.test("Transaction.finish() tells that it committed whatever becomes of the cache", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.storage(1).script.AskObject = ({ args, answer }) =>
    answer({ ...cluster.object(args.oid), nextSerial: tid(900) }); // A lie.
  await client.load(oid(1));
  const transaction = await voted(client);
  const committed = await transaction.finish({ signal: AbortSignal.timeout(5000) });
  assert.equal(transaction.state, "committed");
  await cluster.wait();
  await client.sync();
  assert.equal(client.lastTransaction, committed);
  cluster.world.log.lines.length = 0;
});

Deno.test("Transaction.commit() aborts when a signal stops it before the end", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const transaction = await voted(client);
  const reason = new Error("enough");
  await assert.rejects(transaction.commit({ signal: AbortSignal.abort(reason) }), reason);
  assert.equal(transaction.state, "aborted");
  await client.sync();
  assert.equal(cluster.master.count("AbortTransaction"), 1);
  await assert.rejects(transaction.commit(), StorageTransactionError);
});

Deno.test("Transaction.finish() throws when nodes failed since the vote", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  cluster.master.script.AskFinishTransaction = ({ error }) =>
    error(ErrorCode.INCOMPLETE_TRANSACTION);
  const transaction = await voted(client);
  await assert.rejects(transaction.finish(), NEOStorageError);
  assert.equal(transaction.state, "aborted");
  await transaction.abort();
  await client.sync();
  assert.equal(cluster.master.count("AbortTransaction"), 0, "the master did it");
});

Deno.test("Transaction.finish() finds out the outcome when the primary master is lost", async () => {
  for (const from of ["master", "storage"]) {
    await using cluster = await FakeCluster.start();
    const client = await cluster.connect();
    await client.load(oid(1));
    delete cluster.master.script.AskFinishTransaction;
    const transaction = await voted(client);
    const events: unknown[] = [];
    using _listening = client.listen({ reset: () => events.push("reset") });
    const finishing = transaction.finish({ onCommitted: (tid) => events.push(tid) });
    await cluster.master.next("AskFinishTransaction");
    cluster.lastTid = tid(300);
    cluster.master.disconnect();
    await cluster.wait();
    const asked = await cluster.master.next("AskFinalTID");
    assert.deepEqual(asked.args, { ttid: transaction.ttid });
    if (from === "master") asked.answer({ tid: tid(290) });
    else {
      asked.answer({ tid: MAX_TID });
      (await cluster.storage(1).next("AskFinalTID")).answer({ tid: tid(290) });
    }
    assert.equal(await finishing, tid(290));
    assert.deepEqual(events, ["reset", tid(290)]);
    assert.equal(client.lastTransaction, tid(300));
    cluster.serial = tid(290);
    assert.equal((await client.load(oid(1))).serial, tid(290));
    assert.equal(transaction.state, "committed");
  }
});

Deno.test("Transaction.finish() forgets what it changed when the outcome is known late", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.master.script.AskFinishTransaction;
  const transaction = await voted(client);
  const finishing = transaction.finish();
  await cluster.master.next("AskFinishTransaction");
  cluster.master.disconnect();
  await cluster.wait();
  const asked = await cluster.master.next("AskFinalTID");
  // Not committed yet: this is still the current revision.
  assert.equal((await client.load(oid(1))).serial, tid(10));
  cluster.serial = tid(250);
  asked.answer({ tid: tid(250) });
  await finishing;
  assert.equal(client.lastTransaction, tid(250));
  assert.equal((await client.load(oid(1))).serial, tid(250));
});

Deno.test("Transaction.finish() throws when the lost primary master had not committed", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.master.script.AskFinishTransaction;
  const transaction = await voted(client);
  const called: Tid[] = [];
  const finishing = transaction.finish({ onCommitted: (tid) => called.push(tid) });
  await cluster.master.next("AskFinishTransaction");
  cluster.master.disconnect();
  const rejected = assert.rejects(finishing, (error) => {
    assert.ok(error instanceof NEOPrimaryMasterLost && error.transient);
    return true;
  });
  await cluster.wait();
  (await cluster.master.next("AskFinalTID")).answer({ tid: null });
  await rejected;
  assert.deepEqual(called, []);
});

Deno.test("Transaction.finish() does not trust the refusal of a master that fails", async () => {
  for (const committed of [true, false]) {
    await using cluster = await FakeCluster.start();
    const client = await cluster.connect();
    cluster.master.script.AskFinishTransaction = ({ error, connection }) => {
      error(ErrorCode.PROTOCOL_ERROR, "internal error");
      connection.abort();
    };
    const transaction = await voted(client);
    const finishing = transaction.finish();
    const outcome = committed ? finishing : assert.rejects(finishing, /internal error/);
    await cluster.wait();
    (await cluster.master.next("AskFinalTID")).answer({ tid: committed ? tid(250) : null });
    await outcome;
    assert.equal(transaction.state, committed ? "committed" : "aborted");
  }
});

Deno.test("Transaction.finish() does not tell an outcome when it is stopped", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.master.script.AskFinishTransaction;
  const transaction = await voted(client);
  const reason = new Error("enough");
  const controller = new AbortController();
  const called: Tid[] = [];
  const finishing = transaction.finish({
    signal: controller.signal,
    onCommitted: (tid) => called.push(tid),
  });
  const { answer } = await cluster.master.next("AskFinishTransaction");
  controller.abort(reason);
  await assert.rejects(finishing, (error) => {
    assert.ok(error instanceof UnknownOutcomeError && !error.transient);
    assert.equal(error.ttid, transaction.ttid);
    assert.equal(error.cause, reason);
    return true;
  });
  assert.equal(transaction.state, "unknown");
  await transaction.abort();
  const outcome = client.finalTid(transaction.ttid);
  answer({ ttid: transaction.ttid, tid: tid(250) });
  (await cluster.master.next("AskFinalTID")).answer({ tid: tid(250) });
  assert.equal(await outcome, tid(250));
  assert.deepEqual(called, [tid(250)]);
  assert.deepEqual((await client.load(oid(1))).data, bytes("mine"));
});

Deno.test("Client.finalTid() asks the master once, whoever wants to know", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.master.script.AskFinalTID;
  const impatient = new AbortController();
  const first = client.finalTid(tid(250), { signal: impatient.signal });
  const { answer } = await cluster.master.next("AskFinalTID");
  impatient.abort(new Error("enough"));
  await assert.rejects(first, /enough/);
  const others = [client.finalTid(tid(250)), client.finalTid(tid(250))];
  await quiet();
  assert.equal(cluster.master.count("AskFinalTID"), 1);
  answer({ tid: tid(260) });
  assert.deepEqual(await Promise.all(others), [tid(260), tid(260)]);
  const again = client.finalTid(tid(250));
  (await cluster.master.next("AskFinalTID")).answer({ tid: null });
  assert.equal(await again, null);
});

Deno.test("Transaction.finish() can be stopped while the primary master is away", async () => {
  for (const closing of [true, false]) {
    await using cluster = await FakeCluster.start();
    const client = await cluster.connect();
    delete cluster.master.script.AskFinishTransaction;
    const transaction = await voted(client);
    const controller = new AbortController();
    const finishing = transaction.finish({ signal: controller.signal });
    await cluster.master.next("AskFinishTransaction");
    cluster.master.stop();
    await quiet();
    if (closing) await client.close();
    else controller.abort();
    await assert.rejects(finishing, UnknownOutcomeError);
  }
});

Deno.test("Transaction.finish() does nothing when its signal is aborted already", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const transaction = await voted(client);
  const reason = new Error("enough");
  await assert.rejects(transaction.finish({ signal: AbortSignal.abort(reason) }), reason);
  assert.equal(transaction.state, "voted");
  await transaction.finish();
});

// Beginning

Deno.test("Client.begin() begins again when the primary master is lost", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const { AskBeginTransaction } = cluster.master.script;
  delete cluster.master.script.AskBeginTransaction;
  const beginning = client.begin();
  await cluster.master.next("AskBeginTransaction");
  if (AskBeginTransaction) cluster.master.script.AskBeginTransaction = AskBeginTransaction;
  cluster.master.disconnect();
  await cluster.wait();
  const transaction = await beginning;
  await transaction.commit();
});

Deno.test("Client.begin() aborts what begins after it was stopped", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.master.script.AskBeginTransaction;
  const controller = new AbortController();
  const beginning = client.begin({ signal: controller.signal });
  const { answer } = await cluster.master.next("AskBeginTransaction");
  controller.abort();
  await assert.rejects(beginning, { name: "AbortError" });
  answer({ ttid: tid(210) });
  await until(() => cluster.master.count("AbortTransaction") === 1, "abort");
  assert.deepEqual(cluster.master.all("AbortTransaction"), [{ ttid: tid(210), nids: [] }]);
});

Deno.test("Client.begin() imposes a tid only when the master would accept it", async () => {
  await using cluster = await FakeCluster.start({ lastTid: tid(100) });
  const client = await cluster.connect();
  await assert.rejects(client.begin({ tid: tid(100) }), StorageTransactionError);
  await assert.rejects(client.begin({ tid: tid(2 ** 63) }), RangeError);
  {
    await using _other = await client.begin();
    await assert.rejects(client.begin({ tid: tid(200) }), StorageTransactionError);
  }
  const transaction = await client.begin({ tid: tid(200) });
  assert.equal(transaction.ttid, tid(200));
  await assert.rejects(client.begin(), StorageTransactionError);
  delete cluster.master.script.AskFinishTransaction;
  await transaction.vote();
  const finishing = transaction.finish();
  const { answer } = await cluster.master.next("AskFinishTransaction");
  await using _next = await client.begin();
  answer({ ttid: tid(200), tid: tid(200) });
  assert.equal(await finishing, tid(200));
});

Deno.test("Client.begin() can be tried again when it failed", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  const { AskBeginTransaction } = cluster.master.script;
  cluster.master.script.AskBeginTransaction = ({ error }) => error(ErrorCode.DENIED, "no");
  await assert.rejects(client.begin({ tid: tid(200) }), NEOStorageError);
  if (AskBeginTransaction) cluster.master.script.AskBeginTransaction = AskBeginTransaction;
  const transaction = await client.begin({ tid: tid(200) });
  await transaction.commit();
});

Deno.test("Client.begin() throws when the client only reads", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect({ readOnly: true });
  await assert.rejects(client.begin(), ReadOnlyError);
  await assert.rejects(client.newOid(), ReadOnlyError);
  const [identification] = cluster.master.all("RequestIdentification");
  assert.deepEqual(identification?.extra, new Map([["read_only", true]]));
});

Deno.test("Client.close() makes what goes on fail", async () => {
  await using cluster = await FakeCluster.start();
  const client = await cluster.connect();
  delete cluster.storage(1).script.AskObject;
  delete cluster.storage(1).script.AskStoreObject;
  const transaction = await client.begin();
  await transaction.store(oid(1), null, bytes("x"));
  const voting = assert.rejects(transaction.vote(), ClientClosedError);
  const loading = assert.rejects(client.load(oid(1)), ClientClosedError);
  await quiet();
  await client.close();
  await voting;
  await loading;
  await assert.rejects(client.load(oid(1)), ClientClosedError);
  await assert.rejects(client.begin(), ClientClosedError);
  await assert.rejects(client.newOid(), ClientClosedError);
  await assert.rejects(client.sync(), ClientClosedError);
  await client.close();
});
