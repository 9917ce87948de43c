/** Transactions, stores and loads. */

import assert from "node:assert/strict";
import {
  type Client,
  ConflictError,
  POSKeyError,
  ReadConflictError,
  StorageTransactionError,
  type Tid,
  toOid,
  ZERO_OID,
  ZERO_TID,
} from "../../client/mod.ts";
import type { Lines } from "./harness.ts";
import { bytes, dostore, text, valueOf } from "./operations.ts";

async function checkStale(client: Client, other: Client): Promise<void> {
  const { oid, tid } = await dostore(client);
  const { tid: current } = await dostore(other, { oid, serial: tid });
  await using transaction = await client.begin();
  await dostore(client);
  const checking = (async () => {
    await transaction.checkCurrentSerial(oid, tid);
    await transaction.vote();
  })();
  await assert.rejects(checking, (error) => {
    assert.ok(error instanceof ReadConflictError);
    assert.equal(error.oid, oid);
    assert.deepEqual(error.serials, { current, given: tid });
    return true;
  });
}

export const basicStorage: Lines = {
  basics: {
    own: true,
    test: async ({ client }) => {
      assert.equal(client.lastTransaction, ZERO_TID);
      const silly = "silly" as unknown as Tid;
      const transaction = await client.begin();
      await transaction.vote();
      // What ZODB does with a transaction that it does not know is, here, done in its wrong state.
      await assert.rejects(transaction.vote(), StorageTransactionError);
      await assert.rejects(transaction.store(ZERO_OID, silly, bytes("")), StorageTransactionError);
      await transaction.abort();
      const again = await client.begin();
      assert.notEqual(again.ttid, transaction.ttid);
      await assert.rejects(transaction.store(toOid(1), silly, bytes("")), StorageTransactionError);
      await assert.rejects(transaction.store(toOid(1), null, bytes("")), StorageTransactionError);
      await assert.rejects(transaction.vote(), StorageTransactionError);
      await assert.rejects(transaction.finish(), StorageTransactionError);
      await transaction.abort();
      await again.abort();
      assert.equal(client.lastTransaction, ZERO_TID);
    },
  },

  "serial none": async ({ client }) => {
    const oid = await client.newOid();
    await using transaction = await client.begin();
    await transaction.store(oid, null, bytes("content"));
    const tid = await transaction.commit();
    assert.deepEqual(await client.load(oid), { data: bytes("content"), serial: tid, next: null });
  },

  "store, store and load": async ({ client, connect }) => {
    let { oid, tid } = await dostore(client, { data: "0" });
    assert.notEqual(tid, ZERO_TID);
    for (let i = 1; i <= 9; i++) {
      ({ tid } = await dostore(client, { oid, serial: tid, data: `${i}` }));
    }
    assert.equal(await valueOf(client, oid), "9");
    assert.deepEqual(await (await connect()).load(oid), {
      data: bytes("9"),
      serial: tid,
      next: null,
    });
  },

  conflicts: async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "11" });
    await dostore(client, { oid, serial: tid, data: "12" });
    await assert.rejects(dostore(client, { oid, serial: tid, data: "13" }), ConflictError);
    assert.equal(await valueOf(client, oid), "12");
  },

  "write after abort": async ({ client }) => {
    const oid = await client.newOid();
    const aborted = await client.begin();
    await aborted.store(oid, null, bytes("5"));
    await aborted.abort();
    await assert.rejects(client.load(oid), POSKeyError);
    const { tid } = await dostore(client, { oid, data: "6" });
    assert.equal(text((await client.load(oid)).data), "6");
    assert.equal((await client.load(oid)).serial, tid);
  },

  "abort after vote": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "5" });
    const aborted = await client.begin();
    await aborted.store(oid, tid, bytes("6"));
    await aborted.vote();
    await aborted.abort();
    assert.equal(await client.getTid(oid), tid);
    const second = await dostore(client, { oid, serial: tid, data: "8" });
    const { data, serial } = await client.load(oid);
    assert.deepEqual([text(data), serial], ["8", second.tid]);
  },

  "store two objects": async ({ client }) => {
    const one = await dostore(client, { data: "21" });
    const two = await dostore(client, { data: "22" });
    const oneAgain = await dostore(client, { oid: one.oid, serial: one.tid, data: "23" });
    const twoAgain = await dostore(client, { oid: two.oid, serial: two.tid, data: "24" });
    assert.notEqual(one.oid, two.oid);
    assert.equal(new Set([one.tid, two.tid, oneAgain.tid, twoAgain.tid]).size, 4);
  },

  getTid: async ({ client }) => {
    const oid = await client.newOid();
    await assert.rejects(client.getTid(oid), POSKeyError);
    const first = await dostore(client, { oid });
    assert.equal(await client.getTid(oid), first.tid);
    const second = await dostore(client, { oid, serial: first.tid });
    assert.equal(await client.getTid(oid), second.tid);
    assert.equal((await client.load(oid)).serial, second.tid);
  },

  len: {
    own: true,
    test: async ({ client }) => {
      const count = async () => (await Array.fromAsync(client.oids())).length;
      assert.equal(await count(), 0);
      for (let i = 1; i <= 3; i++) {
        await dostore(client);
        assert.equal(await count(), i);
      }
    },
  },

  getSize: async ({ client }) => {
    const before = client.statistics.cache.size;
    await dostore(client, { data: "x".repeat(1000) });
    assert.ok(client.statistics.cache.size >= before + 1000);
    assert.match(`${client}`, /^client of test, last transaction [0-9a-f]{16}$/);
  },

  note: async ({ client }) => {
    const { tid } = await dostore(client, { description: "this is a note" });
    const { description } = await client.transactionInformation(tid);
    assert.equal(text(description), "this is a note");
  },

  interfaces: async ({ client }) => {
    await using transaction = await client.begin();
    const provided = {
      IStorage: [client, "load", "loadBefore", "loadSerial", "newOid", "history", "pack", "close"],
      "IStorage, transactions": [transaction, "store", "vote", "finish", "abort"],
      IStorageUndoable: [client, "undoLog", "undoInfo"],
      "IStorageUndoable, transactions": [transaction, "undo"],
      IStorageIteration: [client, "iterator"],
      IStorageRestoreable: [transaction, "restore"],
      IStorageCurrentRecordIteration: [client.snapshot(), "records"],
      ReadVerifyingStorage: [transaction, "checkCurrentSerial"],
      IExternalGC: [transaction, "deleteObject"],
      IPrefetchStorage: [client.snapshot(), "prefetch"],
      "no interface": [client, "getTid", "sync", "listen", "copyTransactionsFrom", "oids"],
    } as const;
    for (const [name, [object, ...methods]] of Object.entries(provided)) {
      for (const method of methods) {
        assert.equal(typeof Reflect.get(object, method), "function", `${method} of ${name}`);
      }
    }
    assert.equal(client.name, "test");
    assert.equal(client.readOnly, false);
  },

  "multiple empty transactions": async ({ client }) => {
    const tids: Tid[] = [];
    for (let i = 0; i < 2; i++) {
      await using transaction = await client.begin();
      tids.push(await transaction.commit());
    }
    assert.ok(tids[0] !== undefined && tids[1] !== undefined && tids[0] < tids[1]);
  },

  "checkCurrentSerial, stale": async ({ client, connect }) =>
    await checkStale(client, await connect()),

  "checkCurrentSerial, fresh": async ({ client }) => {
    const { oid, tid } = await dostore(client);
    await using transaction = await client.begin();
    await transaction.checkCurrentSerial(oid, tid);
    await transaction.store(await client.newOid(), null, bytes("x"));
    await transaction.commit();
    assert.equal(await client.getTid(oid), tid);
  },

  "checkCurrentSerial, a competitor stores after the vote": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client);
    const other = await connect();
    await using transaction = await client.begin();
    await transaction.store(await client.newOid(), null, bytes("x"));
    await transaction.checkCurrentSerial(oid, tid);
    await transaction.vote();
    const competing = dostore(other, { oid, serial: tid, data: "competitor" });
    await other.sync();
    const committed = await transaction.finish();
    assert.ok((await competing).tid > committed);
  },

  "checkCurrentSerial, a competitor stores before the vote": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client);
    const other = await connect();
    await using transaction = await client.begin();
    await transaction.store(await client.newOid(), null, bytes("x"));
    await transaction.checkCurrentSerial(oid, tid);
    const competing = dostore(other, { oid, serial: tid, data: "competitor" });
    await other.sync();
    try {
      await transaction.vote();
    } catch (error) {
      assert.ok(error instanceof ReadConflictError);
      await transaction.abort();
      await competing;
      return;
    }
    const committed = await transaction.finish();
    assert.ok((await competing).tid > committed);
  },

  "tid ordering": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "old" });
    await using transaction = await client.begin();
    await transaction.store(oid, tid, bytes("new"));
    await transaction.vote();
    const seen: (() => Promise<void>)[] = [];
    const during: Promise<Tid>[] = [];
    let lastDuring: Tid | null = null;
    const committed = await transaction.finish({
      onCommitted: (committing) => {
        lastDuring = client.lastTransaction;
        // All who ask while the callback works are answered afterwards.
        during.push(client.getTid(oid), client.load(oid).then(({ serial }) => serial));
        seen.push(async () => assert.equal(await client.getTid(oid), committing));
      },
    });
    assert.equal(lastDuring, tid);
    assert.equal(client.lastTransaction, committed);
    assert.equal(seen.length, 1);
    for (const check of seen) await check();
    for (const serial of await Promise.all(during)) assert.ok([tid, committed].includes(serial));
    assert.equal((await client.load(oid)).serial, committed);
  },
};
