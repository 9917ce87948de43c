/** Copying a database into an empty one. */

import assert from "node:assert/strict";
import { POSKeyError, StorageTransactionError } from "../../client/mod.ts";
import { add64 } from "../../protocol/ids.ts";
import { compare } from "./compare.ts";
import type { Lines, Scene } from "./harness.ts";
import {
  at,
  bytes,
  dostore,
  dostoreAll,
  pack,
  resolveConflict,
  text,
  undo,
  valueOf,
} from "./operations.ts";

async function emptyClient({ otherCluster }: Scene) {
  return await (await otherCluster()).connect();
}

export const recovery: Lines = {
  simple: {
    own: true,
    test: async (scene) => {
      const { client } = scene;
      const stored = await dostoreAll(client, "7", "8", "9");
      await dostore(client, { data: "", user: "alice", description: "é", extension: { a: [1] } });
      await dostore(client, { oid: at(stored, 0).oid, serial: at(stored, 2).tid, data: null });
      await using empty = await client.begin({ description: "empty" });
      await empty.commit();
      const copy = await emptyClient(scene);
      const copied: string[] = [];
      const summary = await copy.copyTransactionsFrom(client, {
        onCopied: ({ description }) => copied.push(text(description)),
      });
      assert.deepEqual(summary, { transactions: 6, records: 5, lostPackedStatus: 0 });
      assert.deepEqual(copied, ["", "", "", "é", "", "empty"]);
      await compare(client, copy);
      assert.equal(copy.lastTransaction, client.lastTransaction);
      // What comes later goes on top.
      await dostore(client, { data: "later" });
      await assert.rejects(copy.copyTransactionsFrom(client), StorageTransactionError);
      const start = add64(copy.lastTransaction, 1);
      await copy.copyTransactionsFrom({ iterator: () => client.iterator({ start }) });
      await compare(client, copy);
      // New objects do not take the place of those that were copied.
      const oids = await Array.fromAsync(copy.oids());
      assert.ok(!oids.includes(await copy.newOid()));
    },
  },

  "restore across pack": {
    own: true,
    test: async (scene) => {
      const { client } = scene;
      const [first, second] = await dostoreAll(client, "1", "2");
      assert.ok(first !== undefined && second !== undefined);
      const { oid } = first;
      const copy = await emptyClient(scene);
      await copy.copyTransactionsFrom(client);
      await pack(copy);
      await assert.rejects(copy.loadSerial(oid, first.tid), POSKeyError);
      const undone = await undo(client, second.tid, [oid]);
      const start = add64(second.tid, 1);
      // With the tids of the original, but for the pack that the copy has.
      const [transaction] = await Array.fromAsync(client.iterator({ start }));
      assert.ok(transaction !== undefined && transaction.tid === undone);
      const { user, description, extension } = transaction;
      await using restoring = await copy.begin({ user, description, extension });
      for await (const record of transaction.records()) {
        assert.equal(record.dataTid, first.tid);
        await restoring.restore(record);
      }
      await restoring.commit();
      assert.equal(await valueOf(copy, oid), "1");
    },
  },

  "pack after restore": {
    own: true,
    test: async (scene) => {
      const { client } = scene;
      const root = await dostore(client, { data: "root" });
      const stored = await dostoreAll(client, "1", "2");
      const { oid } = at(stored, 0);
      await dostore(client, { oid, serial: at(stored, 1).tid, data: null });
      const copy = await emptyClient(scene);
      await copy.copyTransactionsFrom(client);
      await pack(copy);
      for (const { tid } of stored) await assert.rejects(copy.loadSerial(oid, tid), POSKeyError);
      await assert.rejects(copy.load(oid), POSKeyError);
      assert.equal(await valueOf(copy, root.oid), "root");
    },
  },

  "multiple objects in undo and redo": {
    own: true,
    test: async (scene) => {
      const { client } = scene;
      const objects = [await dostore(client, { data: "a" }), await dostore(client, { data: "b" })];
      const oids = objects.map(({ oid }) => oid);
      await using transaction = await client.begin();
      for (const { oid, tid } of objects) await transaction.store(oid, tid, bytes("changed"));
      const tid = await transaction.commit();
      const undone = await undo(client, tid, oids);
      const redone = await undo(client, undone, oids);
      await undo(client, redone, oids);
      const copy = await emptyClient(scene);
      await copy.copyTransactionsFrom(client);
      await compare(client, copy);
      assert.deepEqual([await valueOf(copy, at(oids, 0)), await valueOf(copy, at(oids, 1))], [
        "a",
        "b",
      ]);
    },
  },

  "multiple undo and redo": {
    own: true,
    test: async (scene) => {
      const { client } = scene;
      const stored = await dostoreAll(client, "counter 1", "counter 2", "counter 4");
      const { oid } = at(stored, 0);
      // Merged, so that data is stored; then pointers to pointers; then the undone creation.
      await undo(client, at(stored, 1).tid, [oid], { resolveConflict });
      const creation = await dostore(client, { data: "x" });
      let last = creation.tid;
      for (let i = 0; i < 4; i++) last = await undo(client, last, [creation.oid]);
      const copy = await emptyClient(scene);
      await copy.copyTransactionsFrom(client);
      await compare(client, copy);
      assert.equal(await valueOf(copy, oid), "counter 3");
      assert.equal(await valueOf(copy, creation.oid), "x");
      await undo(copy, last, [creation.oid]);
      await assert.rejects(copy.load(creation.oid), POSKeyError);
    },
  },

  "status of packed transactions": async (scene) => {
    const source = {
      async *iterator() {
        for await (const transaction of scene.client.iterator()) {
          const { tid, user, description, extension } = transaction;
          const records = () => transaction.records();
          yield { tid, status: "p" as const, user, description, extension, records };
        }
      },
    };
    await dostore(scene.client);
    const copy = await emptyClient(scene);
    const { transactions, lostPackedStatus } = await copy.copyTransactionsFrom(source);
    assert.equal(lostPackedStatus, transactions);
    await compare(scene.client, copy);
  },
};
