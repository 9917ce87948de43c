/** Write locks: waiting, deadlocks, conflicts, lockless stores. */

import assert from "node:assert/strict";
import { CellState, ErrorCode } from "../../protocol/enums.ts";
import type { Tid } from "../../protocol/ids.ts";
import {
  bytes,
  client,
  commit,
  type FakeClient,
  oid,
  quiet,
  type Scene,
  sha1,
  tid,
  withScene,
  ZERO_TID,
} from "./support.ts";

const LOCKED = { conflict: null };
const LOCKLESS = { conflict: ZERO_TID };
const X = oid(1);
const BASE = tid(100);
/** From the oldest to the youngest. */
const T1 = tid(1001);
const T2 = tid(1003);
const T3 = tid(1005);

/** Three clients, and an object X whose last revision is BASE. */
async function withClients(
  test: (scene: Scene, c1: FakeClient, c2: FakeClient, c3: FakeClient) => Promise<void>,
): Promise<void> {
  await withScene({}, async (scene) => {
    const clients: FakeClient[] = [];
    for (const n of [1, 2, 3]) clients.push(await scene.connect(client(n)));
    const [c1, c2, c3] = clients;
    assert.ok(c1 && c2 && c3);
    await commit(scene, c1, BASE, X, ZERO_TID, "base");
    await test(scene, c1, c2, c3);
  });
}

async function finish(scene: Scene, peer: FakeClient, ttid: Tid): Promise<void> {
  await peer.vote(ttid, [X]).got();
  await scene.master.commit(ttid, ttid);
}

Deno.test("AskStoreObject waits then conflicts when an older transaction commits", async () => {
  await withClients(async (scene, c1, c2) => {
    assert.deepEqual(await c1.store(T1, X, BASE, "one").got(), LOCKED);
    const second = c2.store(T2, X, BASE, "two");
    await quiet();
    assert.ok(second.pending);
    assert.deepEqual(c1.names, [], "no deadlock is notified to an older transaction");
    await finish(scene, c1, T1);
    assert.deepEqual(await second.got(), { conflict: T1 });
    assert.deepEqual(await c2.store(T2, X, T1, "resolved").got(), LOCKED);
    await finish(scene, c2, T2);
    assert.deepEqual((await c1.load(X).got()).data, bytes("resolved"));
  });
});

Deno.test("AskRelockObject lets an older transaction pass, then gives the data back", async () => {
  await withClients(async (scene, c1, c2) => {
    assert.deepEqual(await c2.store(T2, X, BASE, "two").got(), LOCKED);
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    assert.ok(older.pending);
    assert.deepEqual(c2.all("NotifyDeadlock"), [{ ttid: T2, oid: X }]);
    const relock = c2.relock(T2, X);
    assert.deepEqual(await older.got(), LOCKED);
    assert.ok(relock.pending);
    await finish(scene, c1, T1);
    assert.deepEqual(await relock.got(), {
      conflict: {
        serial: BASE,
        conflict: T1,
        data: { compression: 0, checksum: sha1(bytes("two")), data: bytes("two") },
      },
    });
    assert.deepEqual(await c2.store(T2, X, T1, "resolved").got(), LOCKED);
    await finish(scene, c2, T2);
    assert.deepEqual((await c1.load(X).got()).serial, T2);
  });
});

Deno.test("AskStoreObject of an older transaction waits when the holder votes all the same", async () => {
  await withClients(async (scene, c1, c2) => {
    await c2.store(T2, X, BASE, "two").got();
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    assert.equal(c2.all("NotifyDeadlock").length, 1);
    await finish(scene, c2, T2);
    assert.deepEqual(await older.got(), { conflict: T2 });
  });
});

Deno.test("AbortTransaction of the holder gives the lock to the older transaction", async () => {
  await withClients(async (_, c1, c2) => {
    await c2.store(T2, X, BASE, "two").got();
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    c2.abort(T2);
    assert.deepEqual(await older.got(), LOCKED);
  });
});

Deno.test("AskRelockObject gives the data back before what is stored next is answered", async () => {
  await withClients(async (scene, c1, c2) => {
    await c2.store(T2, X, BASE, "two").got();
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    const order: string[] = [];
    const relock = c2.relock(T2, X).got().then(() => order.push("relock"));
    await older.got();
    // Another replica has told the client already that it has to resolve.
    const again = c2.store(T2, X, T1, "resolved").got().then(() => order.push("store"));
    scene.held().hold("loadData");
    await finish(scene, c1, T1);
    await quiet();
    assert.deepEqual(order, []);
    await scene.held().release("loadData");
    await Promise.all([relock, again]);
    assert.deepEqual(order, ["relock", "store"]);
  });
});

Deno.test("AskStoreObject keeps the lock for the client to resolve when it conflicts again", async () => {
  await withClients(async (scene, c1, c2, c3) => {
    await c1.store(T1, X, BASE, "one").got();
    await finish(scene, c1, T1);
    assert.deepEqual(await c3.store(T3, X, BASE, "three").got(), { conflict: T1 });
    assert.deepEqual(await c2.store(T2, X, T1, "two").got(), LOCKED, "the lock is free");
    const again = c3.store(T3, X, T1, "resolved");
    await finish(scene, c2, T2);
    assert.deepEqual(await again.got(), { conflict: T2 });
    const other = c1.store(tid(1007), X, T2, "younger");
    await quiet();
    assert.ok(other.pending, "T3 has the lock");
    assert.deepEqual(await c3.store(T3, X, T1, "late").got(), { conflict: T2 });
    await c3.vote(T3, [X]).refused(ErrorCode.INCOMPLETE_TRANSACTION, /could not be stored/);
    assert.deepEqual(await c3.store(T3, X, T2, "resolved again").got(), LOCKED);
    await finish(scene, c3, T3);
    assert.deepEqual(await other.got(), { conflict: T3 });
  });
});

Deno.test("an older transaction gets the lock that was kept for a resolution", async () => {
  await withClients(async (scene, c1, c2, c3) => {
    const T0 = tid(999);
    await c1.store(T1, X, BASE, "one").got();
    await finish(scene, c1, T1);
    for (const conflict of [T1, T1]) {
      assert.deepEqual(await c2.store(T2, X, BASE, "two").got(), { conflict });
    }
    const older = c3.store(T0, X, T1, "older");
    await quiet();
    assert.deepEqual(c2.all("NotifyDeadlock"), [{ ttid: T2, oid: X }]);
    const relock = c2.relock(T2, X);
    assert.deepEqual(await older.got(), LOCKED);
    await c3.vote(T0, [X]).got();
    const later = tid(1101);
    await scene.master.commit(T0, later);
    assert.deepEqual(await relock.got(), { conflict: { serial: T1, conflict: later, data: null } });
  });
});

Deno.test("AskRelockObject after a second store checks what the first one was based on", async () => {
  await withClients(async (_, c1, c2) => {
    // Two undos of the same object in one transaction: the second is based on what the first restored.
    await c2.store(T2, X, BASE, "two").got();
    assert.deepEqual(await c2.store(T2, X, tid(90), "again").got(), LOCKED);
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    const relock = c2.relock(T2, X);
    assert.deepEqual(await older.got(), LOCKED);
    c1.abort(T1);
    assert.deepEqual(await relock.got(), LOCKED);
  });
});

Deno.test("AskRelockObject succeeds when the older transaction aborts", async () => {
  await withClients(async (scene, c1, c2) => {
    await c2.store(T2, X, BASE, "two").got();
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    const relock = c2.relock(T2, X);
    await older.got();
    c1.abort(T1);
    assert.deepEqual(await relock.got(), LOCKED);
    await finish(scene, c2, T2);
    assert.deepEqual((await c1.load(X).got()).data, bytes("two"));
  });
});

Deno.test("locks are served by age when several wait, after a single notification", async () => {
  await withClients(async (_, c1, c2, c3) => {
    await c3.store(T3, X, BASE, "three").got();
    const first = c1.store(T1, X, BASE, "one");
    const second = c2.store(T2, X, BASE, "two");
    await quiet();
    assert.deepEqual(c3.all("NotifyDeadlock"), [{ ttid: T3, oid: X }]);
    const relock = c3.relock(T3, X);
    assert.deepEqual(await first.got(), LOCKED);
    assert.ok(second.pending && relock.pending);
    c1.abort(T1);
    assert.deepEqual(await second.got(), LOCKED);
    assert.ok(relock.pending);
    c2.abort(T2);
    assert.deepEqual(await relock.got(), LOCKED);
  });
});

Deno.test("waiting requests are served by age, not in the order of arrival", async () => {
  await withClients(async (_, c1, c2, c3) => {
    await c1.store(T1, X, BASE, "one").got();
    const third = c3.store(T3, X, BASE, "three");
    const second = c2.store(T2, X, BASE, "two");
    await quiet();
    c1.abort(T1);
    assert.deepEqual(await second.got(), LOCKED);
    assert.ok(third.pending);
  });
});

Deno.test("a deadlock may be notified again after a relock", async () => {
  await withClients(async (_, c1, c2, c3) => {
    await c3.store(T3, X, BASE, "three").got();
    const second = c2.store(T2, X, BASE, "two");
    await quiet();
    const relock = c3.relock(T3, X);
    await second.got();
    c2.abort(T2);
    await relock.got();
    const first = c1.store(T1, X, BASE, "one");
    await quiet();
    assert.equal(c3.all("NotifyDeadlock").length, 2);
    c3.abort(T3);
    await first.got();
  });
});

Deno.test("AskCheckCurrentSerial locks like a store", async () => {
  await withClients(async (scene, c1, c2) => {
    assert.deepEqual(await c2.check(T2, X, BASE).got(), LOCKED);
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    assert.deepEqual(c2.all("NotifyDeadlock"), [{ ttid: T2, oid: X }]);
    const relock = c2.relock(T2, X);
    await older.got();
    await finish(scene, c1, T1);
    assert.deepEqual(await relock.got(), { conflict: { serial: BASE, conflict: T1, data: null } });
    assert.deepEqual(await c2.check(T3, X, BASE).got(), { conflict: T1 });
    assert.deepEqual(await c2.check(T3, oid(7), BASE).got(), LOCKED, "no revision, no conflict");
  });
});

Deno.test("AskStoreObject of an older transaction notifies nobody when the holder has voted", async () => {
  await withClients(async (scene, c1, c2) => {
    await c2.store(T2, X, BASE, "two").got();
    await c2.vote(T2, [X]).got();
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    assert.ok(older.pending);
    assert.deepEqual(c2.names, []);
    await scene.master.commit(T2, T2);
    assert.deepEqual(await older.got(), { conflict: T2 });
  });
});

Deno.test("the loss of a client aborts what it did not vote", async () => {
  await withClients(async (scene, c1, c2) => {
    await c2.store(T2, X, BASE, "two").got();
    await c2.store(T3, oid(2), ZERO_TID, "voted").got();
    await c2.vote(T3, [oid(2)]).got();
    const first = c1.store(T1, X, BASE, "one");
    const other = c1.store(T1, oid(2), ZERO_TID, "other");
    c2.connection.close();
    assert.deepEqual(await first.got(), LOCKED);
    await quiet();
    assert.ok(other.pending, "what is voted is for the master to decide");
    scene.master.announce(client(2), 0);
    assert.deepEqual(await other.got(), LOCKED);
  });
});

Deno.test("a transaction does not conflict with itself", async () => {
  await withClients(async (scene, c1) => {
    await c1.store(T1, X, BASE, "one").got();
    // As after a conflict on another node that missed nothing, which this one does not know of.
    assert.deepEqual(await c1.store(T1, X, tid(777), "resolved").got(), LOCKED);
    await finish(scene, c1, T1);
    assert.deepEqual((await c1.load(X).got()).data, bytes("resolved"));
  });
});

Deno.test("a store after an undo must be based on what it restores", async () => {
  await withClients(async (scene, c1) => {
    await commit(scene, c1, T1, X, BASE, "one");
    assert.deepEqual(await c1.store(T2, X, T1, "base", BASE).got(), LOCKED);
    assert.deepEqual(await c1.store(T2, X, T1, "two").got(), { conflict: BASE });
    assert.deepEqual(await c1.store(T2, X, BASE, "two").got(), LOCKED);
    await finish(scene, c1, T2);
    const { data, dataSerial } = await c1.load(X).got();
    assert.deepEqual([data, dataSerial], [bytes("two"), null]);
  });
});

Deno.test("two pipelined stores of one object are executed one after the other", async () => {
  await withClients(async (scene, c1) => {
    const first = c1.store(T1, X, BASE, "first");
    const second = c1.store(T1, X, BASE, "second");
    assert.deepEqual([await first.got(), await second.got()], [LOCKED, LOCKED]);
    await finish(scene, c1, T1);
    assert.deepEqual((await c1.load(X).got()).data, bytes("second"));
  });
});

Deno.test("nobody is told about a lock whose own store is being checked", async () => {
  await withClients(async (scene, c1, c2) => {
    const held = scene.held();
    held.hold("lastSerial");
    const younger = c2.store(T2, X, BASE, "two");
    await quiet();
    const older = c1.store(T1, X, BASE, "one");
    await quiet();
    assert.ok(younger.pending && older.pending);
    assert.deepEqual(c2.names, []);
    await held.release("lastSerial");
    assert.deepEqual(await younger.got(), LOCKED);
    assert.equal(c2.all("NotifyDeadlock").length, 1);
    assert.ok(older.pending);
  });
});

Deno.test("a lock goes on to those who wait when its own check finds a conflict", async () => {
  await withClients(async (scene, c1, c2) => {
    await commit(scene, c1, tid(200), X, BASE, "newer");
    const held = scene.held();
    held.hold("lastSerial");
    const stale = c2.store(T2, X, BASE, "two");
    await quiet();
    const fresh = c1.store(T1, X, tid(200), "one");
    await quiet();
    await held.release("lastSerial");
    assert.deepEqual(await stale.got(), { conflict: tid(200) });
    assert.deepEqual(await fresh.got(), LOCKED);
  });
});

Deno.test("a transaction aborted during a check leaves nothing", async () => {
  await withClients(async (scene, c1, c2) => {
    const held = scene.held();
    for (const step of ["lastSerial", "storeData"] as const) {
      const ttid = step === "lastSerial" ? T2 : T3;
      held.hold(step);
      const store = c2.store(ttid, X, BASE, "two");
      await quiet();
      assert.equal(held.waiting(step), 1);
      c2.abort(ttid);
      assert.deepEqual(await store.got(), LOCKLESS, "nothing was stored");
      await held.release(step);
    }
    assert.deepEqual(await c1.store(T1, X, BASE, "one").got(), LOCKED);
    await finish(scene, c1, T1);
    assert.equal((await c1.load(X).got()).serial, T1);
  });
});

Deno.test("AskStoreObject is accepted without lock when the cell is out of date", async () => {
  const cells = [CellState.UP_TO_DATE, CellState.OUT_OF_DATE];
  await withScene({ cells }, async (scene) => {
    const c1 = await scene.connect(client(1));
    const c2 = await scene.connect(client(2));
    assert.deepEqual(await c1.store(T1, X, BASE, "one").got(), LOCKLESS);
    assert.deepEqual(await c2.store(T2, X, BASE, "two").got(), LOCKLESS);
    assert.deepEqual(await c2.store(T2, X, T1, "resolved").got(), LOCKLESS);
    assert.deepEqual(await c2.check(T3, oid(3), T1).got(), LOCKLESS);
    for (const [peer, ttid] of [[c1, T1], [c2, T2]] as const) {
      await peer.ask("AskVoteTransaction", { ttid }).got();
      await scene.master.commit(ttid, ttid);
    }
    const record = await scene.held().database.object(X, null, null);
    assert.deepEqual(record?.data?.data, bytes("resolved"));
  });
});

Deno.test("a vote that waits for an object that is not on the node any more stores nothing of it", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    assert.deepEqual(await c1.store(T1, oid(3), ZERO_TID, "lock").got(), LOCKED);
    assert.deepEqual(await c1.store(T2, X, ZERO_TID, "one").got(), LOCKED);
    const waiting = c1.store(T2, oid(3), ZERO_TID, "two");
    const vote = c1.ask("AskVoteTransaction", { ttid: T2 });
    await quiet();
    assert.ok(vote.pending);
    scene.master.notify("NotifyPartitionChanges", {
      ptid: 2,
      replicas: 0,
      cells: [{ partition: 1, nid: 1, state: CellState.DISCARDED }],
    });
    assert.deepEqual(await waiting.got(), LOCKLESS);
    await vote.got();
    assert.equal((await scene.held().database.lockedTransactions()).size, 0);
  });
});

Deno.test("AskStoreObject stores nothing when the partition is not on the node", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    assert.deepEqual(await c1.store(T1, X, ZERO_TID, "one").got(), LOCKED);
    const waiting = c1.store(T2, X, ZERO_TID, "two");
    scene.master.notify("NotifyPartitionChanges", {
      ptid: 2,
      replicas: 0,
      cells: [{ partition: 1, nid: 1, state: CellState.DISCARDED }],
    });
    assert.deepEqual(await waiting.got(), LOCKLESS);
    assert.deepEqual(await c1.store(T3, X, ZERO_TID, "three").got(), LOCKLESS);
    assert.deepEqual(await c1.relock(T1, X).got(), LOCKED, "the object is forgotten");
    await c1.ask("AskVoteTransaction", { ttid: T1 }).got();
    assert.equal((await scene.held().database.lockedTransactions()).size, 0);
  });
});
