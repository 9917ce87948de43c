/** Two-phase commit, as the master and clients see it, and those who break its rules. */

import assert from "node:assert/strict";
import { ErrorCode } from "../../protocol/enums.ts";
import { hexId, toOid } from "../../protocol/ids.ts";
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
  until,
  withScene,
  ZERO_TID,
} from "./support.ts";

const LOCKED = { conflict: null };
const LOCKLESS = { conflict: ZERO_TID };

/** Runs a test with a client. */
async function withClient(test: (scene: Scene, c1: FakeClient) => Promise<void>): Promise<void> {
  await withScene({}, async (scene) => await test(scene, await scene.connect(client(1))));
}

Deno.test("Storage serves what a client commits", async () => {
  await withClient(async (scene, c1) => {
    await commit(scene, c1, tid(100), oid(3), ZERO_TID, "hello");
    assert.deepEqual(await c1.load(oid(3)).got(), {
      oid: oid(3),
      serial: tid(100),
      nextSerial: null,
      compression: 0,
      checksum: sha1(bytes("hello")),
      data: bytes("hello"),
      dataSerial: null,
    });
    await commit(scene, c1, tid(102), oid(3), tid(100), "again");
    const { serial, nextSerial } = await c1.load(oid(3), null, tid(102)).got();
    assert.deepEqual([serial, nextSerial], [tid(100), tid(102)]);
  });
});

Deno.test("AskVoteTransaction answers when the vote is durable, and not before", async () => {
  await withClient(async (scene, c1) => {
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    scene.held().hold("vote");
    const vote = c1.ask("AskVoteTransaction", { ttid: tid(100) });
    await quiet();
    assert.ok(vote.pending);
    await scene.held().release("vote");
    assert.deepEqual(await vote.got(), {});
    assert.deepEqual(
      await scene.held().database.lockedTransactions(),
      new Map([[tid(100), null]]),
    );
  });
});

Deno.test("a vote takes the stores sent before it, even if they are not checked yet", async () => {
  await withClient(async (scene, c1) => {
    const held = scene.held();
    held.hold("lastSerial");
    const store = c1.store(tid(100), oid(1), ZERO_TID, "x");
    const vote = c1.vote(tid(100), [oid(1)]);
    await quiet();
    assert.ok(store.pending && vote.pending);
    await held.release("lastSerial");
    assert.deepEqual(await store.got(), LOCKED);
    await vote.got();
    await scene.master.commit(tid(100), tid(100));
    assert.equal((await c1.load(oid(1)).got()).serial, tid(100));
  });
});

Deno.test("AbortTransaction forgets a vote that waits for a store", async () => {
  await withClient(async (scene, c1) => {
    const held = scene.held();
    held.hold("lastSerial");
    const store = c1.store(tid(100), oid(1), ZERO_TID, "x");
    const vote = c1.vote(tid(100), [oid(1)]);
    c1.abort(tid(100));
    assert.deepEqual(await store.got(), LOCKLESS);
    await held.release("lastSerial");
    await vote.refused(ErrorCode.INCOMPLETE_TRANSACTION, /aborted/);
    assert.equal((await held.database.lockedTransactions()).size, 0);
    assert.ok(c1.connection.open);
  });
});

Deno.test("AskLockInformation answers when the final tid is durable on metadata holders", async () => {
  await withClient(async (scene, c1) => {
    const { master } = scene;
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    await c1.vote(tid(100), [oid(1)]).got();
    scene.held().hold("lock");
    const lock = master.ask("AskLockInformation", { ttid: tid(100), tid: tid(102), pack: false });
    await quiet();
    assert.ok(lock.pending);
    assert.deepEqual(await c1.ask("AskFinalTID", { ttid: tid(100) }).got(), { tid: tid(102) });
    await scene.held().release("lock");
    assert.deepEqual(await lock.got(), { ttid: tid(100) });
    assert.deepEqual(
      await scene.held().database.lockedTransactions(),
      new Map([[tid(100), tid(102)]]),
    );
    master.unlock(tid(100));
    await quiet();
    assert.equal((await scene.held().database.lockedTransactions()).size, 0);
    assert.deepEqual(await c1.ask("AskFinalTID", { ttid: tid(100) }).got(), { tid: tid(102) });
    assert.deepEqual(await master.ask("AskFinalTID", { ttid: tid(104) }).got(), { tid: null });
  });
});

Deno.test("AskLockInformation of a vote that was not answered waits for it", async () => {
  await withClient(async (scene, c1) => {
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    const held = scene.held();
    held.hold("vote");
    held.hold("flush");
    c1.ask("AskVoteTransaction", { ttid: tid(100) });
    await quiet();
    const lock = scene.master.ask("AskLockInformation", {
      ttid: tid(100),
      tid: tid(100),
      pack: false,
    });
    await quiet();
    assert.ok(lock.pending);
    await held.release("flush");
    assert.deepEqual(await lock.got(), { ttid: tid(100) });
    await held.release("vote");
  });
});

Deno.test("locks are released at once by the unlock", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const c2 = await scene.connect(client(2));
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    await c1.vote(tid(100), [oid(1)]).got();
    await scene.master.lock(tid(100), tid(100));
    const next = c2.store(tid(102), oid(1), tid(100), "y");
    await quiet();
    assert.ok(next.pending);
    scene.master.unlock(tid(100));
    assert.deepEqual(await next.got(), LOCKED);
  });
});

Deno.test("AbortTransaction of the master is remembered for what arrives later", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const c2 = await scene.connect(client(2));
    scene.master.notify("AbortTransaction", { ttid: tid(100), nids: [] });
    await scene.master.ask("AskPackOrders", { minId: ZERO_TID }).got();
    assert.deepEqual(await c1.store(tid(100), oid(1), ZERO_TID, "late").got(), LOCKLESS);
    assert.deepEqual(await c1.check(tid(100), oid(1), ZERO_TID).got(), LOCKLESS);
    await c1.vote(tid(100)).refused(ErrorCode.INCOMPLETE_TRANSACTION, /aborted/);
    await c1.ask("AskVoteTransaction", { ttid: tid(100) })
      .refused(ErrorCode.INCOMPLETE_TRANSACTION, /aborted/);
    assert.deepEqual(await c2.store(tid(102), oid(1), ZERO_TID, "y").got(), LOCKED);
  });
});

Deno.test("AbortTransaction deletes what was voted and frees its locks", async () => {
  await withClient(async (scene, c1) => {
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    await c1.vote(tid(100), [oid(1)], { oids: null, tid: tid(50) }).got();
    scene.master.notify("AbortTransaction", { ttid: tid(100), nids: [] });
    await quiet();
    const { database } = scene.held();
    assert.equal((await database.lockedTransactions()).size, 0);
    assert.deepEqual(await database.packOrders(ZERO_TID), []);
    assert.deepEqual(await c1.store(tid(102), oid(1), ZERO_TID, "y").got(), LOCKED);
  });
});

Deno.test("NotifyTransactionFinished and a lost client do not abort what is locked", async () => {
  await withClient(async (scene, c1) => {
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    await c1.vote(tid(100), [oid(1)]).got();
    await scene.master.lock(tid(100), tid(100));
    scene.master.notify("NotifyTransactionFinished", { ttid: tid(100), tid: tid(100) });
    c1.abort(tid(100));
    await quiet();
    c1.connection.close();
    scene.master.announce(client(1), 0);
    scene.master.unlock(tid(100));
    const c2 = await scene.connect(client(2));
    assert.equal((await c2.load(oid(1)).got()).serial, tid(100));
  });
});

Deno.test("NotifyTransactionFinished aborts what was not locked here", async () => {
  await withClient(async (scene, c1) => {
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    await c1.vote(tid(100), [oid(1)]).got();
    scene.master.notify("NotifyTransactionFinished", { ttid: tid(100), tid: tid(100) });
    await quiet();
    assert.equal((await scene.held().database.lockedTransactions()).size, 0);
  });
});

Deno.test("a client that comes back can't continue what was aborted with its connection", async () => {
  await withScene({}, async (scene) => {
    const idTimestamp = scene.master.announce(client(1));
    const connect = async () => {
      const peer = await scene.dial();
      await scene.identify(peer, { idTimestamp }).got();
      return peer;
    };
    const before = await connect();
    await before.store(tid(100), oid(1), ZERO_TID, "x").got();
    before.connection.close();
    await quiet();
    const after = await connect();
    assert.deepEqual(await after.store(tid(100), oid(3), ZERO_TID, "y").got(), LOCKLESS);
    await after.vote(tid(100)).refused(ErrorCode.INCOMPLETE_TRANSACTION);
  });
});

Deno.test("the transaction of a client that is gone can be begun again by another", async () => {
  await withClient(async (scene, c1) => {
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    // The storage does not know this one, whose tid is imposed, too.
    scene.master.notify("AbortTransaction", { ttid: tid(200), nids: [] });
    scene.master.announce(client(1), 0);
    const c2 = await scene.connect(client(2));
    for (const [ttid, object] of [[tid(100), oid(1)], [tid(200), oid(2)]] as const) {
      assert.deepEqual(await c2.store(ttid, object, ZERO_TID, "y").got(), LOCKED);
      await c2.vote(ttid, [object]).got();
    }
  });
});

Deno.test("a pack order is stored with the vote and approved with the lock", async () => {
  await withClient(async (scene, c1) => {
    await c1.vote(tid(100), [], { oids: [oid(1)], tid: tid(50) }).got();
    await scene.master.lock(tid(100), tid(102), true);
    scene.master.unlock(tid(100));
    assert.deepEqual(await scene.master.ask("AskPackOrders", { minId: tid(102) }).got(), {
      orders: [{ id: tid(102), approved: true, partial: true, oids: [oid(1)], tid: tid(50) }],
    });
  });
});

/** What a client may not do; each costs the connection, and nothing else. */
const VIOLATIONS: Record<string, (c1: FakeClient, c2: FakeClient) => Promise<void>> = {
  "a wrong checksum": async (c1) => {
    await c1.ask("AskStoreObject", {
      oid: oid(1),
      serial: ZERO_TID,
      compression: 0,
      checksum: sha1(bytes("other")),
      data: bytes("x"),
      dataSerial: null,
      ttid: tid(200),
    }).refused(ErrorCode.PROTOCOL_ERROR, /SHA-1/);
  },
  "an unknown compression": async (c1) => {
    await c1.ask("AskStoreObject", {
      oid: oid(1),
      serial: ZERO_TID,
      compression: 2,
      checksum: sha1(bytes("x")),
      data: bytes("x"),
      dataSerial: null,
      ttid: tid(200),
    }).refused(ErrorCode.PROTOCOL_ERROR, /compression/);
  },
  "an oid that is too big": async (c1) => {
    await c1.store(tid(200), toOid(2n ** 63n), ZERO_TID, "x")
      .refused(ErrorCode.PROTOCOL_ERROR, /2\^63/);
  },
  "a check of an oid that is too big": async (c1) => {
    await c1.check(tid(200), toOid(2n ** 64n - 1n), ZERO_TID)
      .refused(ErrorCode.PROTOCOL_ERROR, /2\^63/);
  },
  "a vote of an unknown transaction": async (c1) => {
    await c1.ask("AskVoteTransaction", { ttid: tid(200) })
      .refused(ErrorCode.PROTOCOL_ERROR, /unknown transaction/);
  },
  "a second vote": async (c1) => {
    await c1.vote(tid(200)).got();
    await c1.vote(tid(200)).refused(ErrorCode.PROTOCOL_ERROR, /voted already/);
  },
  "a second vote before the answer to the first": async (c1) => {
    c1.vote(tid(200));
    await c1.ask("AskVoteTransaction", { ttid: tid(200) })
      .refused(ErrorCode.PROTOCOL_ERROR, /voted already/);
  },
  "a store after the vote": async (c1) => {
    await c1.vote(tid(200)).got();
    await c1.store(tid(200), oid(1), ZERO_TID, "x").refused(ErrorCode.PROTOCOL_ERROR, /voted/);
  },
  "a relock without deadlock": async (c1) => {
    await c1.store(tid(200), oid(1), ZERO_TID, "x").got();
    await c1.relock(tid(200), oid(1)).refused(ErrorCode.PROTOCOL_ERROR, /deadlock/);
  },
  "a second relock": async (c1, c2) => {
    await c1.store(tid(202), oid(1), ZERO_TID, "x").got();
    c2.store(tid(200), oid(1), ZERO_TID, "y");
    await until(() => c1.names.includes("NotifyDeadlock"), "a deadlock");
    c1.relock(tid(202), oid(1));
    await c1.relock(tid(202), oid(1)).refused(ErrorCode.PROTOCOL_ERROR, /deadlock/);
  },
  "a relock after the vote": async (c1, c2) => {
    await c1.store(tid(202), oid(1), ZERO_TID, "x").got();
    c2.store(tid(200), oid(1), ZERO_TID, "y");
    await until(() => c1.names.includes("NotifyDeadlock"), "a deadlock");
    await c1.vote(tid(202)).got();
    await c1.relock(tid(202), oid(1)).refused(ErrorCode.PROTOCOL_ERROR, /voted/);
  },
  "two checks": async (c1) => {
    await c1.check(tid(200), oid(2), tid(100)).got();
    await c1.check(tid(200), oid(2), tid(100)).refused(ErrorCode.PROTOCOL_ERROR, /checked/);
  },
  "a check, then a store": async (c1) => {
    await c1.check(tid(200), oid(2), tid(100)).got();
    await c1.store(tid(200), oid(2), tid(100), "x").refused(ErrorCode.PROTOCOL_ERROR, /checked/);
  },
  "a store, then a check": async (c1) => {
    await c1.store(tid(200), oid(2), tid(100), "x").got();
    await c1.check(tid(200), oid(2), tid(100)).refused(ErrorCode.PROTOCOL_ERROR, /checked/);
  },
  "the transaction of another client": async (c1, c2) => {
    await c2.store(tid(300), oid(1), ZERO_TID, "x").got();
    await c1.store(tid(300), oid(3), ZERO_TID, "x").refused(ErrorCode.PROTOCOL_ERROR, /C2/);
    c2.abort(tid(300));
  },
  "the abort of another client's transaction": async (c1, c2) => {
    await c2.store(tid(300), oid(1), ZERO_TID, "x").got();
    c1.abort(tid(300));
    await until(() => c1.closed, "the connection is closed");
    assert.deepEqual(await c2.store(tid(300), oid(1), ZERO_TID, "y").got(), LOCKED);
    c2.abort(tid(300));
  },
  "a ttid that can't be stored": async (c1) => {
    await c1.vote(tid(2 ** 63)).refused(ErrorCode.PROTOCOL_ERROR, /2\^63/);
  },
  "a message for a master": async (c1) => {
    await c1.ask("AskNewOIDs", { count: 1 }).refused(ErrorCode.PROTOCOL_ERROR, /unexpected/);
  },
  "a message of a master": async (c1) => {
    await c1.ask("AskLockInformation", { ttid: tid(100), tid: tid(100), pack: false })
      .refused(ErrorCode.PROTOCOL_ERROR, /unexpected/);
  },
};

Deno.test("a base that does not exist conflicts with what there is", async () => {
  await withScene({}, async (scene) => {
    const [c1, c2] = [await scene.connect(client(1)), await scene.connect(client(2))];
    await commit(scene, c2, tid(100), oid(2), ZERO_TID, "base");
    assert.deepEqual(await c1.store(tid(200), oid(2), tid(150), "x").got(), { conflict: tid(100) });
    assert.deepEqual(await c1.check(tid(200), oid(2), tid(150)).got(), { conflict: tid(100) });
    // Nothing stays locked.
    await commit(scene, c2, tid(300), oid(2), tid(100), "next");
  });
});

for (const [what, violate] of Object.entries(VIOLATIONS)) {
  Deno.test(`${what} only costs the client its connection`, async () => {
    await withScene({}, async (scene) => {
      const c1 = await scene.connect(client(1));
      const c2 = await scene.connect(client(2));
      await commit(scene, c2, tid(100), oid(2), ZERO_TID, "base");
      await violate(c1, c2);
      await until(() => c1.closed, "the connection is closed");
      assert.ok(!c2.closed && !scene.master.closed);
      scene.master.announce(client(1), 0);
      // Nothing stays locked.
      await commit(scene, c2, tid(400), oid(2), tid(100), "next");
      assert.equal((await c2.load(oid(2)).got()).serial, tid(400));
    });
  });
}

Deno.test("AskStoreObject answers UNDO_PACK_ERROR when the revision to restore is gone", async () => {
  await withClient(async (scene, c1) => {
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "base");
    await c1.store(tid(200), oid(2), tid(100), "old", tid(50)).refused(ErrorCode.UNDO_PACK_ERROR);
    assert.ok(c1.connection.open);
    const c2 = await scene.connect(client(2));
    const waiting = c2.store(tid(202), oid(2), tid(100), "x");
    await quiet();
    assert.ok(waiting.pending, "the lock stays until the abort");
    // A commit without that object would be half of what the client wanted.
    await c1.vote(tid(200), [oid(2)])
      .refused(ErrorCode.INCOMPLETE_TRANSACTION, /could not be stored/);
    c1.abort(tid(200));
    assert.deepEqual(await waiting.got(), LOCKED);
  });
});

Deno.test("a deletion and an undone creation have no data", async () => {
  await withClient(async (scene, c1) => {
    await commit(scene, c1, tid(100), oid(2), ZERO_TID, "base");
    await commit(scene, c1, tid(200), oid(2), tid(100), null);
    const { compression, checksum, data } = await c1.load(oid(2)).got();
    assert.deepEqual(
      [compression, checksum, data],
      [null, new Uint8Array(20), new Uint8Array(0)],
    );
    await commit(scene, c1, tid(300), oid(2), tid(200), "");
    const empty = await c1.load(oid(2)).got();
    assert.deepEqual([empty.compression, empty.checksum], [0, sha1(bytes(""))]);
  });
});

/** What a master may not do. */
const MASTER_VIOLATIONS: Record<string, (scene: Scene, c1: FakeClient) => Promise<void>> = {
  "a second lock": async ({ master }, c1) => {
    await c1.vote(tid(200)).got();
    await master.lock(tid(200), tid(200));
    await master.ask("AskLockInformation", { ttid: tid(200), tid: tid(202), pack: false })
      .refused(ErrorCode.PROTOCOL_ERROR, /locked already/);
  },
  "a lock with a tid before the ttid": async ({ master }, c1) => {
    await c1.vote(tid(200)).got();
    await master.ask("AskLockInformation", { ttid: tid(200), tid: tid(198), pack: false })
      .refused(ErrorCode.PROTOCOL_ERROR, /is before/);
  },
  "an unlock of an unknown transaction": async ({ master }) => {
    master.unlock(tid(200));
    await quiet();
  },
  "a replication from another cluster": async ({ master, log }) => {
    master.notify("Replicate", { tid: tid(200), upstream: "other", sources: new Map() });
    await quiet();
    log.assertHas(/replication from other is not supported yet/);
  },
  "an unlock before the lock": async ({ master }, c1) => {
    await c1.vote(tid(200)).got();
    master.unlock(tid(200));
  },
  "an operation in an operation": async ({ master }) => {
    master.notify("StartOperation", { backup: false });
    await quiet();
  },
  "a recovery in an operation": async ({ master }) => {
    await master.ask("AskRecovery", {}).refused(ErrorCode.PROTOCOL_ERROR, /unexpected/);
  },
  "a partition table that skips a version": async ({ master }) => {
    master.notify("NotifyPartitionChanges", { ptid: 3, replicas: 0, cells: [] });
    await quiet();
  },
};

for (const [what, violate] of Object.entries(MASTER_VIOLATIONS)) {
  Deno.test(`${what} makes the storage leave this master and come back`, async () => {
    await withClient(async (scene, c1) => {
      const { master } = scene;
      await violate(scene, c1);
      await until(() => master.closed, "the master is left");
      await until(() => c1.closed, "the client is left");
      await scene.clock.advance(1000);
      await until(() => master.identifications.length === 2, "it is back");
    });
  });
}

Deno.test("a lock of what a client did not have voted costs nobody a connection", async () => {
  await withClient(async ({ master }, c1) => {
    const lock = () =>
      master.ask("AskLockInformation", { ttid: tid(200), tid: tid(200), pack: false })
        .refused(ErrorCode.INCOMPLETE_TRANSACTION, new RegExp(`${hexId(tid(200))} has not voted`));
    await lock();
    await c1.store(tid(200), oid(1), ZERO_TID, "x").got();
    await lock();
    await c1.vote(tid(200)).got();
    await master.lock(tid(200), tid(200));
    assert.ok(!master.closed && !c1.closed);
  });
});

Deno.test("a vote is not acknowledged when the transaction is aborted meanwhile", async () => {
  await withClient(async (scene, c1) => {
    scene.held().hold("vote");
    const vote = c1.vote(tid(100));
    await quiet();
    scene.master.notify("AbortTransaction", { ttid: tid(100), nids: [] });
    await quiet();
    await scene.held().release("vote");
    await vote.refused(ErrorCode.INCOMPLETE_TRANSACTION, /aborted/);
  });
});

Deno.test("an unexpected failure only costs the connection of the request", async () => {
  await withScene({}, async (scene) => {
    const c1 = await scene.connect(client(1));
    const c2 = await scene.connect(client(2));
    const c3 = await scene.connect(client(3));
    scene.held().breakMethod("object");
    scene.held().breakMethod("lastSerial");
    await c1.load(oid(1)).refused(ErrorCode.PROTOCOL_ERROR, /internal error/);
    await c2.store(tid(100), oid(1), ZERO_TID, "x")
      .refused(ErrorCode.PROTOCOL_ERROR, /internal error/);
    await until(() => c1.closed && c2.closed, "the connections are closed");
    scene.log.assertHas(/ERROR a request of C1 .* failed: Error: a bug/);
    await c3.vote(tid(102)).got();
    assert.match(scene.storage.dump(), /0 objects are locked/);
  });
});

Deno.test("a request is not answered when the database fails", async () => {
  await withClient(async (scene, c1) => {
    await c1.store(tid(100), oid(1), ZERO_TID, "x").got();
    scene.held().hold("vote");
    const vote = c1.vote(tid(100));
    await quiet();
    await scene.held().fail("disk full");
    await until(() => c1.closed, "the client is left");
    assert.equal(vote.answer, null);
    assert.equal(vote.error?.name, "ConnectionClosed");
    scene.log.assertHas(/ERROR the database failed, leaving the cluster: disk full/);
  });
});
