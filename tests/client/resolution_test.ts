/** Resolving conflicts: what happens while the application's function works. */

import assert from "node:assert/strict";
import {
  type Conflict,
  ConflictError,
  NEOPrimaryMasterLost,
  StorageTransactionError,
} from "../../client/mod.ts";
import { UNLOCKED_ROUNDS } from "../../client/writes.ts";
import type { Tid } from "../../protocol/ids.ts";
import { bytes, FakeCluster, oid, quiet, sha1, tid, until } from "./fakes.ts";

/** Conflicts that a test resolves when it wants. */
function manualResolver() {
  const calls: { conflict: Conflict; resolve: (data: Uint8Array | null) => void }[] = [];
  const resolveConflict = (conflict: Conflict) =>
    new Promise<Uint8Array | null>((resolve) => calls.push({ conflict, resolve }));
  const call = async (n: number) => {
    await until(() => calls.length > n, `${n + 1} conflicts`);
    const found = calls[n];
    assert.ok(found !== undefined);
    return found;
  };
  return { calls, call, resolveConflict };
}

/** A transaction that stored an object, which another one had changed. */
async function conflicting(nodes: readonly number[] = [1]) {
  const cluster = await FakeCluster.start({ rows: [nodes] });
  const resolver = manualResolver();
  const client = await cluster.connect({ resolveConflict: resolver.resolveConflict });
  const storage = cluster.storage(1);
  for (const { script } of cluster.storages.values()) {
    delete script.AskStoreObject;
    script.AskObject = ({ args, answer }) => {
      const serial = args.at ?? tid(10);
      const data = bytes(`data at ${serial}`);
      answer({ ...cluster.object(args.oid, data), serial, nextSerial: tid(Number(serial) + 1) });
    };
  }
  const transaction = await client.begin();
  await transaction.store(oid(1), tid(10), bytes("mine"));
  for (const one of cluster.storages.values()) {
    (await one.next("AskStoreObject")).answer({ conflict: tid(50) });
  }
  return { cluster, client, storage, transaction, ...resolver };
}

/** The answer to a request for a lock that an older transaction had. */
function changed(serial: Tid, conflict: Tid, data: Uint8Array) {
  return { conflict: { serial, conflict, data: { compression: 0, checksum: sha1(data), data } } };
}

Deno.test("Transaction resolves a conflict at once, without being asked for anything", async () => {
  const { cluster, client, storage, transaction, call } = await conflicting();
  await using _cluster = cluster;
  const { conflict, resolve } = await call(0);
  assert.deepEqual(conflict, {
    oid: oid(1),
    oldSerial: tid(10),
    committedSerial: tid(50),
    oldData: bytes("data at 10"),
    newData: bytes("mine"),
    committedData: bytes("data at 50"),
  });
  resolve(bytes("merged"));
  const again = await storage.next("AskStoreObject");
  assert.deepEqual([again.args.serial, again.args.data], [tid(50), bytes("merged")]);
  again.answer({ conflict: null });
  assert.deepEqual(await transaction.vote(), new Map([[oid(1), tid(50)]]));
  await transaction.finish();
  assert.deepEqual((await client.load(oid(1))).data, bytes("merged"));
});

Deno.test("Transaction is first to be told when somebody else is first time and again", async () => {
  const { cluster, storage, transaction, call } = await conflicting();
  await using _cluster = cluster;
  // However many rounds go by without a lock, and although claims may meet conflicts too.
  let merged = "mine";
  let rounds = 0;
  let current = 50;
  let claims = 0;
  while (claims < 2) {
    const { conflict, resolve } = await call(rounds++);
    assert.deepEqual(conflict.newData, bytes(merged));
    assert.equal(conflict.committedSerial, tid(current));
    merged = `${merged}+${current}`;
    resolve(bytes(merged));
    current += 10;
    const store = await storage.next("AskStoreObject");
    assert.deepEqual(store.args.data, bytes(merged));
    store.answer({ conflict: tid(current) });
    await quiet();
    // A claim says what to keep until it is known better: what is committed.
    const claimed = () => storage.all("AskStoreObject").filter(({ data }) => data.length === 0);
    while (claimed().length > claims) {
      const claim = await storage.next("AskStoreObject");
      assert.deepEqual([claim.args.serial, claim.args.dataSerial], [tid(current), tid(current)]);
      claims++;
      if (claims === 1) claim.answer({ conflict: tid(current += 10) });
      else claim.answer({ conflict: null });
      await quiet();
    }
    assert.ok(rounds < 100, "the lock is never claimed");
  }
  // The lock is held: nobody can be first any more.
  const last = await call(rounds);
  assert.equal(last.conflict.committedSerial, tid(current));
  assert.deepEqual(last.conflict.newData, bytes(merged));
  last.resolve(bytes("at last"));
  const store = await storage.next("AskStoreObject");
  assert.deepEqual([store.args.serial, store.args.data], [tid(current), bytes("at last")]);
  store.answer({ conflict: null });
  assert.deepEqual(await transaction.vote(), new Map([[oid(1), tid(current)]]));
  await transaction.finish();
});

/** Lets others be first until the transaction holds the lock; returns the last transaction. */
async function untilLocked(
  { storage, call }: Pick<Awaited<ReturnType<typeof conflicting>>, "storage" | "call">,
): Promise<Tid> {
  let current = 50;
  for (let round = 0; round < UNLOCKED_ROUNDS; round++) {
    (await call(round)).resolve(bytes("merged"));
    (await storage.next("AskStoreObject")).answer({ conflict: tid(current += 10) });
  }
  const claim = await storage.next("AskStoreObject");
  assert.deepEqual([claim.args.serial, claim.args.dataSerial], [tid(current), tid(current)]);
  claim.answer({ conflict: null });
  return tid(current);
}

Deno.test("Transaction merges with an older one that gets the lock while the resolver works", async () => {
  const scene = await conflicting();
  const { cluster, storage, transaction, call } = scene;
  await using _cluster = cluster;
  const current = await untilLocked(scene);
  const working = await call(UNLOCKED_ROUNDS);
  assert.equal(working.conflict.committedSerial, current);
  storage.notify("NotifyDeadlock", { ttid: transaction.ttid, oid: oid(1) });
  const relock = await storage.next("AskRelockObject");
  relock.answer({ conflict: { serial: current, conflict: tid(95), data: null } });
  await quiet();
  working.resolve(bytes("not with that"));
  const claim = await storage.next("AskStoreObject");
  assert.deepEqual([claim.args.serial, claim.args.data.length], [tid(95), 0]);
  claim.answer({ conflict: null });
  const last = await call(UNLOCKED_ROUNDS + 1);
  const { committedSerial, newData, oldSerial } = last.conflict;
  assert.deepEqual([committedSerial, newData], [tid(95), bytes("merged")]);
  assert.equal(oldSerial, working.conflict.oldSerial);
  last.resolve(bytes("with that"));
  const store = await storage.next("AskStoreObject");
  assert.deepEqual([store.args.serial, store.args.data], [tid(95), bytes("with that")]);
  store.answer({ conflict: null });
  assert.deepEqual(await transaction.vote(), new Map([[oid(1), tid(95)]]));
  await transaction.finish();
});

Deno.test("Transaction keeps what is merged when it gets the lock back unchanged", async () => {
  const scene = await conflicting();
  const { cluster, storage, transaction, call } = scene;
  await using _cluster = cluster;
  const current = await untilLocked(scene);
  const working = await call(UNLOCKED_ROUNDS);
  storage.notify("NotifyDeadlock", { ttid: transaction.ttid, oid: oid(1) });
  (await storage.next("AskRelockObject")).answer({ conflict: null });
  working.resolve(bytes("with that"));
  const store = await storage.next("AskStoreObject");
  assert.deepEqual([store.args.serial, store.args.data], [current, bytes("with that")]);
  store.answer({ conflict: null });
  await transaction.commit();
});

Deno.test("Transaction resolves again when another replica reports a later change meanwhile", async () => {
  const { cluster, transaction, call, calls } = await conflicting([1, 2]);
  await using _cluster = cluster;
  const [one, two] = [cluster.storage(1), cluster.storage(2)];
  (await call(0)).resolve(bytes("merged"));
  (await one.next("AskStoreObject")).answer({ conflict: null });
  (await two.next("AskStoreObject")).answer({ conflict: tid(60) });
  const second = await call(1);
  assert.deepEqual(second.conflict.committedSerial, tid(60));
  assert.deepEqual(second.conflict.oldSerial, tid(50));
  assert.deepEqual(second.conflict.newData, bytes("merged"));
  for (const { script } of [one, two]) {
    script.AskStoreObject = ({ answer }) => answer({ conflict: null });
  }
  second.resolve(bytes("again"));
  await transaction.commit();
  assert.equal(calls.length, 2);
});

Deno.test("Transaction gives a lock back while the resolver of another object works", async () => {
  await using cluster = await FakeCluster.start();
  const { call, resolveConflict } = manualResolver();
  const client = await cluster.connect({ resolveConflict });
  const storage = cluster.storage(1);
  await using transaction = await client.begin();
  const { ttid } = transaction;
  await transaction.store(oid(2), tid(10), bytes("two"));
  await quiet();
  delete storage.script.AskStoreObject;
  await transaction.store(oid(1), tid(10), bytes("one"));
  (await storage.next("AskStoreObject")).answer({ conflict: tid(50) });
  const first = await call(0);
  storage.notify("NotifyDeadlock", { ttid, oid: oid(2) });
  const relock = await storage.next("AskRelockObject");
  assert.equal(relock.args.oid, oid(2));
  relock.answer(changed(tid(10), tid(60), bytes("two")));
  await quiet();
  storage.script.AskStoreObject = ({ answer }) => answer({ conflict: null });
  first.resolve(bytes("one merged"));
  const second = await call(1);
  assert.deepEqual([second.conflict.oid, second.conflict.committedSerial], [oid(2), tid(60)]);
  second.resolve(bytes("two merged"));
  assert.deepEqual(await transaction.vote(), new Map([[oid(1), tid(50)], [oid(2), tid(60)]]));
  await transaction.finish();
});

Deno.test("Transaction.abort() ends a resolution that goes on", async () => {
  const { cluster, client, storage, transaction, call } = await conflicting();
  await using _cluster = cluster;
  const { resolve } = await call(0);
  const voting = transaction.vote();
  await transaction.abort();
  await assert.rejects(voting, StorageTransactionError);
  resolve(bytes("too late"));
  await quiet();
  await client.sync();
  assert.equal(storage.count("AskStoreObject"), 1);
  assert.equal(storage.count("AbortTransaction"), 1);
});

Deno.test("Transaction.vote() can be stopped when a resolver never returns", async () => {
  const { cluster, transaction, call } = await conflicting();
  await using _cluster = cluster;
  await call(0);
  const controller = new AbortController();
  const reason = new Error("enough");
  const voting = transaction.vote({ signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(voting, reason);
  await transaction.abort();
  assert.equal(transaction.state, "aborted");
});

Deno.test("Transaction fails when the primary master is lost while a resolver works", async () => {
  const { cluster, transaction, call } = await conflicting();
  await using _cluster = cluster;
  await call(0);
  const voting = transaction.vote();
  cluster.master.disconnect();
  await assert.rejects(voting, NEOPrimaryMasterLost);
  await cluster.wait();
});

Deno.test("Transaction fails with ConflictError when a resolver gives nothing, or nonsense", async () => {
  for (const nothing of [null, "text" as unknown as Uint8Array, undefined as unknown as null]) {
    const { cluster, transaction, call } = await conflicting();
    await using _cluster = cluster;
    const { resolve } = await call(0);
    resolve(nothing);
    await assert.rejects(transaction.vote(), (error) => {
      assert.ok(error instanceof ConflictError);
      assert.equal(error.cause instanceof TypeError, nothing !== null);
      assert.deepEqual([error.oid, error.data], [oid(1), bytes("mine")]);
      return true;
    });
  }
});
