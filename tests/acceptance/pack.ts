/** Packing: revisions that are not needed any more go. */

import assert from "node:assert/strict";
import {
  type Client,
  ConflictError,
  MAX_TID,
  NEOStorageError,
  NEOUndoPackError,
  type Oid,
  POSKeyError,
  StorageError,
  type Tid,
  tidFromTime,
  UndoError,
  ZERO_TID,
} from "../../client/mod.ts";
import { add64 } from "../../protocol/ids.ts";
import { transactionsOf } from "./compare.ts";
import type { Lines, Test } from "./harness.ts";
import { ObjectDatabase } from "./object_database.ts";
import {
  at,
  bytes,
  dostore,
  dostoreAll,
  pack,
  text,
  undo,
  undoable,
  valueOf,
} from "./operations.ts";

const DAY = 86_400;
const now = () => Date.now() / 1000;

/** Packs at any time, with what may happen to be there. */
const packAt = (time: () => Tid): Test => async ({ client }) => {
  await pack(client, time());
  const { oid } = at(await dostoreAll(client, "1", "2"), 0);
  await pack(client, time());
  assert.equal(await valueOf(client, oid), "2");
};

/** Which of some revisions are still there. */
async function remaining(client: Client, oid: Oid, tids: readonly Tid[]): Promise<Tid[]> {
  const found: Tid[] = [];
  for (const tid of tids) {
    try {
      await client.loadSerial(oid, tid);
      found.push(tid);
    } catch (error) {
      if (!(error instanceof POSKeyError)) throw error;
    }
  }
  return found;
}

/** Writers that increment two of ten objects each time; conflicts may happen. */
function whileWriting(
  writers: number,
  packs: (client: Client, writing: () => boolean, oids: readonly Oid[]) => Promise<void>,
): Test {
  return async ({ client, connect }) => {
    const oids: Oid[] = [];
    for (let i = 0; i < 10; i++) oids.push((await dostore(client, { data: "0" })).oid);
    const start = client.lastTransaction;
    let writing = writers;
    let commits = 0;
    const write = async (writer: number) => {
      using database = new ObjectDatabase(await connect());
      const connection = database.open();
      for (let i = 0; i < 10; i++) {
        await connection.begin();
        for (const oid of [at(oids, writer), at(oids, (writer + i) % 10)]) {
          connection.set(oid, `${Number(await connection.load(oid)) + 1}`);
        }
        try {
          await connection.commit();
          commits++;
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
        }
      }
      writing--;
    };
    await Promise.all([
      ...Array.from({ length: writers }, (_, i) => write(i)),
      packs(client, () => writing > 0, oids),
    ]);
    await client.sync();
    const found = await Array.fromAsync(client.iterator({ start: add64(start, 1) }));
    const written = found.filter(({ description }) => text(description) === "");
    assert.equal(written.length, commits);
    // What every transaction changed is sane to the last.
    for (const transaction of found) {
      for await (const { oid, data } of transaction.records()) {
        assert.ok(oids.includes(oid) && data !== null && Number(text(data)) > 0);
      }
    }
    let sum = 0;
    for (const oid of oids) sum += Number(await valueOf(await connect(), oid));
    assert.ok(sum >= commits);
  };
}

export const packLines: Lines = {
  empty: {
    own: true,
    test: async ({ client }) => {
      assert.equal(await client.pack(), null);
      assert.equal(await client.pack(tidFromTime(now() + DAY)), null);
      assert.equal(await client.pack(ZERO_TID), null);
      assert.equal(client.lastTransaction, ZERO_TID);
      await pack(client, tidFromTime(now()));
      await dostore(client);
    },
  },
  tomorrow: packAt(() => tidFromTime(now() + DAY)),
  yesterday: packAt(() => tidFromTime(now() - DAY)),

  "while writing": whileWriting(3, async (client) => {
    await client.sync();
    await pack(client);
  }),
  "now while writing": whileWriting(1, async (client, writing) => {
    while (writing()) {
      await client.sync();
      await pack(client);
    }
  }),
  "lots while writing": whileWriting(3, async (client, writing, [oid]) => {
    let partial = false;
    while (writing()) {
      await client.sync();
      await pack(client, client.lastTransaction, partial && oid !== undefined ? [oid] : null);
      partial = !partial;
    }
  }),

  "references to another database": async ({ client }) => {
    // Records are not looked into: what is no pickle at all is no worse.
    const { oid } = at(await dostoreAll(client, "(lp0\n", "['m', ('other', '1', 'class')]"), 0);
    await pack(client);
    assert.equal(await valueOf(client, oid), "['m', ('other', '1', 'class')]");
  },

  "all revisions": async ({ client }) => {
    // Nothing is collected; an object that was deleted is what goes altogether.
    const stored = await dostoreAll(client, "1", "2", "3");
    const [{ oid }, last] = [at(stored, 0), at(stored, -1)];
    const deletion = await dostore(client, { oid, serial: last.tid, data: null });
    await pack(client);
    const tids = [...stored.map(({ tid }) => tid), deletion.tid];
    assert.deepEqual(await remaining(client, oid, tids), []);
    await assert.rejects(client.load(oid), POSKeyError);
    await assert.rejects(client.loadBefore(oid, MAX_TID), POSKeyError);
    await assert.rejects(client.history(oid), POSKeyError);
  },

  "just old revisions": async ({ client, connect }) => {
    const root = await dostore(client, { data: "root" });
    const stored = await dostoreAll(client, "1", "2", "3");
    const tids = stored.map(({ tid }) => tid);
    const { oid } = at(stored, 0);
    await pack(client);
    for (const one of [client, await connect()]) {
      assert.deepEqual(await remaining(one, oid, tids), tids.slice(2));
      assert.equal(await one.loadBefore(oid, at(tids, 2)), null);
      assert.equal(await valueOf(one, oid), "3");
      assert.equal(await valueOf(one, root.oid), "root");
    }
    assert.deepEqual((await client.history(oid, 9)).map(({ tid }) => tid), tids.slice(2));
  },

  "only one object": async ({ client }) => {
    const one = await dostoreAll(client, "1", "2", "3");
    const other = await dostore(client, { data: "11" });
    await pack(client);
    const tids = one.map(({ tid }) => tid);
    assert.deepEqual(await remaining(client, at(one, 0).oid, tids), tids.slice(2));
    assert.deepEqual(await client.load(other.oid), {
      data: bytes("11"),
      serial: other.tid,
      next: null,
    });
  },

  "all revisions, no GC": async ({ client }) => {
    const stored = await dostoreAll(client, "1", "2", "3", "4");
    const tids = stored.map(({ tid }) => tid);
    const { oid } = at(stored, 0);
    // Nothing links to it; what is current at that time stays.
    await pack(client, at(tids, 1));
    assert.deepEqual(await remaining(client, oid, tids), tids.slice(1));
    assert.equal(await valueOf(client, oid), "4");
  },

  "partial pack of chosen objects": async ({ client }) => {
    const [one, two] = [await dostoreAll(client, "1", "2"), await dostoreAll(client, "1", "2")];
    const tids = (stored: typeof one) => stored.map(({ tid }) => tid);
    const { oid } = at(one, 0);
    await pack(client, client.lastTransaction, [oid]);
    assert.deepEqual(await remaining(client, oid, tids(one)), tids(one).slice(1));
    assert.deepEqual(await remaining(client, at(two, 0).oid, tids(two)), tids(two));
    assert.equal(await client.pack(client.lastTransaction, { oids: [] }), null);
    const orders = await client.packOrders();
    const last = at(orders, -1);
    assert.deepEqual([last.oids, last.approved], [[oid], true]);
    // What was before can't be undone, although the rest can.
    await assert.rejects(undo(client, at(one, 1).tid, [oid]), UndoError);
    await undo(client, at(two, 1).tid, [at(two, 0).oid]);
  },

  "a tid that is beyond the last one": async ({ client }) => {
    const { tid } = await dostore(client);
    await using transaction = await client.begin();
    assert.throws(() => transaction.setPackOrder(add64(tid, 1)), NEOStorageError);
    assert.throws(() => transaction.setPackOrder(ZERO_TID), NEOStorageError);
    transaction.setPackOrder(tid);
    const id = await transaction.commit();
    await client.waitForPack(id, { signal: AbortSignal.timeout(30_000) });
  },

  "undo racing with a pack": async ({ client }) => {
    const stored = await dostoreAll(client, "1", "2");
    const [{ oid, tid: first }, { tid: last }] = [at(stored, 0), at(stored, 1)];
    // What an undo stores that was prepared before.
    await pack(client);
    await using transaction = await client.begin();
    await transaction.store(oid, last, bytes("1"), { dataTid: first });
    await assert.rejects(transaction.vote(), NEOUndoPackError);
    assert.equal(await valueOf(client, oid), "2");
  },

  "clients that have packed revisions in their cache": async ({ client, connect }) => {
    const stored = await dostoreAll(client, "1", "2");
    const other = await connect();
    const { oid, tid } = at(stored, 0);
    for (const one of [client, other]) {
      assert.equal(text((await one.loadSerial(oid, tid)).data), "1");
    }
    const id = await client.pack();
    assert.ok(id !== null);
    for (const one of [client, other]) {
      await one.waitForPack(id, { signal: AbortSignal.timeout(30_000) });
      await assert.rejects(one.loadSerial(oid, tid), POSKeyError);
    }
  },

  "unlinked from the root": async ({ client }) => {
    const before = client.lastTransaction;
    const object = await dostore(client, { data: "linked" });
    const root = await dostore(client, { data: "with link" });
    const unlinked = await dostore(client, { oid: root.oid, serial: root.tid, data: "without" });
    if (before !== ZERO_TID) await pack(client, before);
    await undo(client, unlinked.tid, [root.oid]);
    assert.equal(await valueOf(client, root.oid), "with link");
    assert.equal(await valueOf(client, object.oid), "linked");
  },

  "redundant pack": async ({ client, connect }) => {
    const stored = await dostoreAll(client, "1", "2", "3");
    const { oid } = at(stored, 0);
    await pack(client, at(stored, 2).tid);
    try {
      await pack(client, at(stored, 1).tid);
    } catch (error) {
      assert.ok(error instanceof StorageError);
    }
    assert.equal(await valueOf(await connect(), oid), "3");
  },

  "pack undo log": async ({ client }) => {
    const stored = await dostoreAll(client, "1", "2", "3", "4");
    const tids = stored.map(({ tid }) => tid);
    await pack(client, at(tids, 1));
    assert.deepEqual(await undoable(client), [at(tids, 3), at(tids, 2)]);
    assert.deepEqual(await client.undoInfo({ description: "IStorage.pack" }), []);
    // Iteration still has all transactions, without what is gone.
    const found = (await transactionsOf(client)).filter(({ tid }) => tids.includes(tid));
    assert.deepEqual(found.map(({ tid }) => tid), tids);
    const records = [];
    for (const transaction of found) records.push(await Array.fromAsync(transaction.records()));
    assert.deepEqual(records.map(({ length }) => length), [0, 1, 1, 1]);
  },
};
