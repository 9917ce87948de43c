/** What was committed is there when everything starts again. */

import assert from "node:assert/strict";
import {
  type Client,
  POSKeyError,
  ReadOnlyError,
  StorageTransactionError,
} from "../../client/mod.ts";
import { compare, transactionsOf } from "./compare.ts";
import type { Lines } from "./harness.ts";
import {
  at,
  bytes,
  dostore,
  dostoreAll,
  pack,
  readable,
  undo,
  undoable,
  valueOf,
} from "./operations.ts";

async function stateOf(client: Client) {
  return {
    last: client.lastTransaction,
    records: await Array.fromAsync(client.snapshot().records()),
    transactions: (await transactionsOf(client)).map(({ tid }) => tid),
    log: await undoable(client),
  };
}

export const persistence: Lines = {
  "storage closed and opened again": async ({ client, connect }) => {
    const stored = [await dostore(client, { data: "1" }), await dostore(client, { data: "2" })];
    await client.close();
    const again = await connect();
    for (const [i, { oid, tid }] of stored.entries()) {
      assert.deepEqual(readable(await again.load(oid)), {
        data: `${i + 1}`,
        serial: tid,
        next: null,
      });
    }
  },

  "all nodes stopped and started again": {
    durable: true,
    test: async ({ client, connect, restartCluster }) => {
      const stored = await dostoreAll(client, "1", "2", "3");
      const { oid } = at(stored, 0);
      const deleted = await dostore(client);
      await dostore(client, { oid: deleted.oid, serial: deleted.tid, data: null });
      await undo(client, at(stored, 2).tid, [oid]);
      const greatest = await dostore(client, { oid: await client.newOid() });
      const before = await stateOf(client);
      await restartCluster();
      const again = await connect();
      assert.deepEqual(await stateOf(again), before);
      await assert.rejects(again.load(deleted.oid), POSKeyError);
      assert.ok(await again.newOid() > greatest.oid);
      const serial = await again.getTid(oid);
      const { tid } = await dostore(again, { oid, serial, data: "4" });
      assert.ok(tid > before.last);
      assert.equal(await valueOf(again, oid), "4");
    },
  },

  "a pack, and nodes started again": {
    durable: true,
    test: async ({ client, connect, restartCluster }) => {
      const stored = await dostoreAll(client, "1", "2", "3");
      await pack(client);
      await dostore(client, { data: "later" });
      const before = await stateOf(client);
      await restartCluster();
      const again = await connect();
      assert.deepEqual(await stateOf(again), before);
      const { oid, tid } = at(stored, 1);
      await assert.rejects(again.loadSerial(oid, tid), POSKeyError);
    },
  },
};

export const readOnly: Lines = {
  "opened again, only to read": async ({ client, connect }) => {
    const stored = await dostoreAll(client, "1", "2");
    const reader = await connect({ readOnly: true });
    assert.ok(reader.readOnly && !client.readOnly);
    for (const [i, { oid, tid }] of stored.entries()) {
      assert.equal(readable(await reader.loadSerial(oid, tid))?.data, `${i + 1}`);
    }
    assert.equal(await valueOf(reader, at(stored, 0).oid), "2");
    await compare(reader, client);
  },

  "writers are refused": async ({ client, connect }) => {
    const { tid } = await dostore(client);
    const reader = await connect({ readOnly: true });
    await assert.rejects(reader.newOid(), ReadOnlyError);
    await assert.rejects(reader.begin(), ReadOnlyError);
    // Stores and undos have a transaction, which there can't be.
    await assert.rejects(dostore(reader, { oid: await client.newOid() }), ReadOnlyError);
    await assert.rejects(undo(reader, tid, []), ReadOnlyError);
    await assert.rejects(reader.pack(), ReadOnlyError);
    await assert.rejects(reader.copyTransactionsFrom(client), ReadOnlyError);
  },

  "a reader follows what others commit": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: "1" });
    const reader = await connect({ readOnly: true });
    assert.equal(await valueOf(reader, oid), "1");
    await dostore(client, { oid, serial: tid, data: "2" });
    await reader.sync();
    assert.equal(await valueOf(reader, oid), "2");
  },

  "a transaction that is over": async ({ client }) => {
    const transaction = await client.begin();
    await transaction.commit();
    const write = transaction.store(await client.newOid(), null, bytes(""));
    await assert.rejects(write, StorageTransactionError);
  },
};
