/** Transactions in their order. */

import assert from "node:assert/strict";
import {
  decodeExtension,
  encodeExtension,
  type IteratorOptions,
  type Tid,
} from "../../client/mod.ts";
import { add64 } from "../../protocol/ids.ts";
import { compare, transactionsOf } from "./compare.ts";
import type { Lines, Test } from "./harness.ts";
import { at, bytes, dostore, dostoreAll, text, undo } from "./operations.ts";

/** Bounds around three transactions, and which of them they include. */
function bounds(
  choose: (tids: readonly Tid[]) => IteratorOptions,
  ...expected: number[]
): Test {
  return async ({ client }) => {
    const before = add64(client.lastTransaction, 1);
    const tids = (await dostoreAll(client, "1", "2", "3")).map(({ tid }) => tid);
    const transactions = await Array.fromAsync(client.iterator({ start: before, ...choose(tids) }));
    assert.deepEqual(transactions.map(({ tid }) => tid), expected.map((i) => at(tids, i)));
  };
}

export const iteration: Lines = {
  simple: {
    own: true,
    test: async ({ client }) => {
      const stored = await dostoreAll(client, "11", "12", "13");
      const transactions = await transactionsOf(client);
      assert.equal(transactions.length, stored.length);
      for (const [i, { oid, tid }] of stored.entries()) {
        const transaction = at(transactions, i);
        assert.equal(transaction.tid, tid);
        assert.deepEqual(await Array.fromAsync(transaction.records()), [
          { oid, tid, data: bytes(`${11 + i}`), dataTid: null },
        ]);
      }
    },
  },

  "undo zombie": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "94" });
    const undone = await undo(client, tid, [oid]);
    const transactions = await Array.fromAsync(client.iterator({ start: tid }));
    assert.deepEqual(transactions.map(({ tid }) => tid), [tid, undone]);
    assert.deepEqual(await Array.fromAsync(at(transactions, 1).records()), [
      { oid, tid: undone, data: null, dataTid: null },
    ]);
  },

  extension: async ({ client }) => {
    const extension = { k: "v", n: 3, list: [1, null, true] };
    const decoded = await dostore(client, { extension });
    // A pickle of protocol 0, which nobody would write again like that.
    const verbatim = bytes("(dp0\nVk\np1\nVv\np2\ns.");
    await dostore(client, { extension: verbatim });
    const [first, second] = await Array.fromAsync(client.iterator({ start: decoded.tid }));
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual(decodeExtension(first.extension), extension);
    assert.deepEqual(second.extension, verbatim);
    assert.deepEqual(decodeExtension(second.extension), { k: "v" });
    assert.notDeepEqual(encodeExtension({ k: "v" }), verbatim);
  },

  "during a transaction": async ({ client }) => {
    const { tid } = await dostore(client);
    await using transaction = await client.begin();
    await transaction.store(await client.newOid(), null, bytes("not yet"));
    await transaction.vote();
    const found = await Array.fromAsync(client.iterator({ start: tid }), ({ tid }) => tid);
    assert.deepEqual(found, [tid]);
    const committed = await transaction.finish();
    const all = await Array.fromAsync(client.iterator({ start: tid }), ({ tid }) => tid);
    assert.deepEqual(all, [tid, committed]);
  },

  load: async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "here" });
    const { data, serial } = await client.load(oid);
    assert.equal(serial, tid);
    const [transaction] = await Array.fromAsync(client.iterator({ start: tid }));
    assert.ok(transaction !== undefined);
    assert.deepEqual(await Array.fromAsync(transaction.records()), [
      { oid, tid: serial, data, dataTid: null },
    ]);
  },

  consume: async ({ client }) => {
    const { tid } = await dostore(client);
    const iterator = client.iterator({ start: tid });
    const [transaction] = await Array.fromAsync(iterator);
    assert.deepEqual(await Array.fromAsync(iterator), []);
    assert.ok(transaction !== undefined);
    const [once, twice] = [
      await Array.fromAsync(transaction.records()),
      await Array.fromAsync(transaction.records()),
    ];
    assert.deepEqual([once.length, once], [1, twice]);
  },

  "while writing": async ({ client }) => {
    const start = add64(client.lastTransaction, 1);
    const stored = await dostoreAll(client, "1", "2");
    const notBegun = client.iterator({ start });
    const begun = client.iterator({ start });
    const first = await begun.next();
    await dostore(client);
    const found = [first.value, ...await Array.fromAsync(begun)].map((record) => record?.tid);
    const tids = stored.map(({ tid }) => tid);
    assert.deepEqual(found, tids);
    assert.deepEqual(await Array.fromAsync(notBegun, ({ tid }) => tid), tids);
  },

  "bounds: both": bounds((tids) => ({ start: at(tids, 0), stop: at(tids, 1) }), 0, 1),
  "bounds: start only": bounds((tids) => ({ start: at(tids, 1) }), 1, 2),
  "bounds: stop only": bounds((tids) => ({ stop: at(tids, 1) }), 0, 1),
  "bounds: between tids": bounds(
    (tids) => ({ start: add64(at(tids, 0), 1), stop: add64(at(tids, 2), -1) }),
    1,
  ),
  "bounds: start after stop": bounds((tids) => ({ start: at(tids, 2), stop: at(tids, 1) })),
  "bounds: single": bounds((tids) => ({ start: at(tids, 1), stop: at(tids, 1) }), 1),

  "deep compare finds what differs": async ({ client, otherCluster }) => {
    const other = await (await otherCluster()).connect();
    await dostore(client, { data: "kept", extension: { a: 1 } });
    await other.copyTransactionsFrom(client);
    await compare(client, other);
    await dostore(other, { data: text(bytes("more")) });
    await assert.rejects(compare(client, other), assert.AssertionError);
  },
};
