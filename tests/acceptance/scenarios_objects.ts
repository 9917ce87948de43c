/** Objects of all kinds, and conflicts of many clients. */

import assert from "node:assert/strict";
import {
  type Client,
  ConflictError,
  type Oid,
  ReadConflictError,
  StorageTransactionError,
  type Tid,
  toOid,
  toTid,
  ZERO_TID,
} from "../../client/mod.ts";
import { add64 } from "../../protocol/ids.ts";
import type { Lines } from "./harness.ts";
import {
  at,
  bytes,
  dostore,
  dostoreAll,
  resolveConflict,
  text,
  undo,
  valueOf,
} from "./operations.ts";

/** Bytes that no compression makes shorter. */
function noise(length: number): Uint8Array {
  const data = new Uint8Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = state >>> 24;
  }
  return data;
}

/** Adds one to a counter, based on what is known, whatever others do. */
async function increment(client: Client, oid: Oid, options = {}): Promise<Tid> {
  await client.sync();
  const { data, serial } = await client.load(oid);
  const value = Number(text(data).split(" ")[1]);
  const stored = await dostore(client, { oid, serial, data: `counter ${value + 1}`, ...options });
  return stored.tid;
}

export const objects: Lines = {
  "empty record": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: "" });
    assert.deepEqual(await (await connect()).load(oid), {
      data: bytes(""),
      serial: tid,
      next: null,
    });
    assert.equal(await client.getTid(oid), tid);
  },

  "compressible and incompressible records": async ({ client, connect }) => {
    const [zeros, random] = [new Uint8Array(10_000), noise(10_000)];
    for (const [compress, lengths] of [[true, [50, 10_000]], [false, [10_000, 10_000]]] as const) {
      const own = await connect({ compress });
      for (const [i, data] of [zeros, random].entries()) {
        const { oid } = await dostore(own, { data });
        const [{ size }] = [at(await client.history(oid), 0)];
        if (at(lengths, i) === 50) assert.ok(size < 50, `${size}`);
        else assert.equal(size, data.length);
        await client.sync();
        assert.deepEqual((await client.load(oid)).data, data);
      }
    }
  },

  "identical data twice": async ({ client, connect }) => {
    const data = noise(5000);
    const stored = [await dostore(client, { data }), await dostore(client, { data })];
    const [{ oid, tid: serial }] = [at(stored, 0)];
    const again = await dostore(client, { oid, serial, data });
    const other = await connect();
    for (const { oid, tid } of [...stored, again]) {
      assert.deepEqual((await other.loadSerial(oid, tid)).data, data);
    }
  },

  "a record of more than 16 MiB": async ({ client, connect }) => {
    const data = noise((16 << 20) + 1);
    const own = await connect({ compress: false });
    const { oid, tid } = await dostore(own, { data });
    await client.sync();
    const loaded = await client.load(oid);
    assert.equal(loaded.serial, tid);
    assert.ok(indexedDifference(loaded.data, data) < 0);
  },

  "oids: partitions, bounds, deletions": {
    own: true,
    test: async ({ client }) => {
      const history: [Tid, Oid[]][] = [[ZERO_TID, []]];
      let existing: Oid[] = [];
      for (let i = 1; i <= 12; i++) {
        const oid = toOid(3 * i);
        const { tid } = await dostore(client, { oid });
        existing = [...existing, oid];
        history.push([tid, existing]);
        if (i % 4 !== 0) continue;
        const [deleted, ...others] = existing;
        assert.ok(deleted !== undefined);
        const serial = await client.getTid(deleted);
        const deletion = await dostore(client, { oid: deleted, serial, data: null });
        existing = others;
        history.push([deletion.tid, existing]);
      }
      const list = (options = {}) => Array.fromAsync(client.oids(options));
      for (const [tid, oids] of history) assert.deepEqual(await list({ tid }), oids);
      assert.deepEqual(await list(), existing);
      const [min, max] = [at(existing, 1), at(existing, 4)];
      assert.deepEqual(await list({ min, max }), existing.slice(1, 5));
      const inside = { min: add64(min, 1), max: add64(max, -1) };
      assert.deepEqual(await list(inside), existing.slice(2, 4));
      assert.deepEqual(await list({ min: max, max: min }), []);
    },
  },

  "explicit tid": {
    own: true,
    test: async ({ client, connect }) => {
      const { tid } = await dostore(client, { tid: toTid(1000) });
      assert.equal(tid, 1000n);
      for (const n of [1000, 999]) {
        await assert.rejects(client.begin({ tid: toTid(n) }), StorageTransactionError);
      }
      assert.equal((await dostore(client, { tid: toTid(1001) })).tid, 1001n);
      // Ordinary ones follow.
      assert.ok((await dostore(await connect())).tid > 1001n);
    },
  },

  "prepared data": async ({ client }) => {
    const prepared = client.prepare(bytes("prepared ".repeat(100)));
    await using transaction = await client.begin();
    const oid = await client.newOid();
    await transaction.store(oid, null, prepared);
    await transaction.commit();
    assert.equal(await valueOf(client, oid), "prepared ".repeat(100));
  },

  "no cache at all": async ({ connect }) => {
    const client = await connect({ cacheSize: 0, maxInFlight: 1 });
    const { oid, tid } = at(await dostoreAll(client, "1", "2", "3"), 2);
    assert.deepEqual(await client.load(oid), { data: bytes("3"), serial: tid, next: null });
    assert.equal(client.statistics.cache.size, 0);
  },
};

/** Where two arrays differ, -1 if they do not. */
function indexedDifference(a: Uint8Array, b: Uint8Array): number {
  return a.length === b.length ? a.findIndex((byte, i) => byte !== b[i]) : 0;
}

export const conflicts: Lines = {
  "resolution while several clients commit": async ({ client, connect }) => {
    const { oid } = await dostore(client, { data: "counter 0" });
    const clients = await Promise.all([1, 2, 3, 4].map(() => connect({ resolveConflict })));
    const tids = await Promise.all(clients.flatMap((own) =>
      [1, 2].map(async () => {
        const committed: Tid[] = [];
        for (let i = 0; i < 5; i++) committed.push(await increment(own, oid));
        return committed;
      })
    ));
    await client.sync();
    assert.equal(await valueOf(client, oid), "counter 40");
    assert.equal(new Set(tids.flat()).size, 40);
  },

  "a slow resolution is not starved": {
    delay: 0.1,
    test: async ({ client, connect }) => {
      const { oid, tid } = await dostore(client, { data: "counter 0" });
      const fast = await connect({ resolveConflict });
      let attempts = 0;
      let competing = true;
      let increments = 0;
      const compete = (async () => {
        while (competing) {
          await increment(fast, oid);
          increments++;
        }
      })();
      await using transaction = await client.begin({
        resolveConflict: async (conflict) => {
          attempts++;
          await new Promise((resolve) => setTimeout(resolve, 30));
          return await resolveConflict(conflict);
        },
      });
      await new Promise((resolve) => setTimeout(resolve, 10));
      await transaction.store(oid, tid, bytes("counter 100"));
      await transaction.commit();
      competing = false;
      await compete;
      await client.sync();
      assert.equal(await valueOf(client, oid), `counter ${100 + increments}`);
      assert.ok(attempts <= 3, `${attempts} attempts`);
    },
  },

  "a conflict on a new object, with data as big as the cache": async ({ client, connect }) => {
    const size = 5000;
    const resolved: number[] = [];
    const own = await connect({
      cacheSize: size,
      compress: false,
      resolveConflict: ({ oldData, oldSerial, newData, committedData }) => {
        assert.deepEqual([oldData, oldSerial], [null, ZERO_TID]);
        resolved.push(newData.length + (committedData?.length ?? 0));
        return newData;
      },
    });
    const oid = await client.newOid();
    await dostore(client, { oid, data: noise(size) });
    await dostore(own, { oid, data: noise(size - 1) });
    assert.deepEqual(resolved, [2 * size - 1]);
    assert.equal((await own.load(oid)).data.length, size - 1);
  },

  "an undone creation conflicts": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: "counter 1" });
    const late = await (await connect()).begin({ resolveConflict });
    await undo(client, tid, [oid]);
    await late.store(oid, tid, bytes("counter 2"));
    await assert.rejects(late.commit(), ConflictError);
  },

  "a deadlock is resolved": async ({ client, connect }) => {
    const [x, y] = [
      await dostore(client, { data: "counter 0" }),
      await dostore(client, { data: "counter 0" }),
    ];
    const rounds = Array.from({ length: 5 }, (_, i) => i);
    const own = await Promise.all(rounds.map(() => connect({ resolveConflict })));
    await Promise.all(rounds.map(async (i) => {
      const client = at(own, i);
      await using transaction = await client.begin();
      // Half of them in the opposite order.
      for (const { oid, tid } of i % 2 === 0 ? [x, y] : [y, x]) {
        await transaction.store(oid, tid, bytes("counter 1"));
        await client.sync();
      }
      await transaction.commit();
    }));
    await client.sync();
    for (const { oid } of [x, y]) assert.equal(await valueOf(client, oid), "counter 5");
  },

  "a deadlock with a check": async ({ client, connect }) => {
    const [x, y] = [await dostore(client), await dostore(client)];
    const [a, b] = [await client.begin(), await (await connect()).begin()];
    await a.store(x.oid, x.tid, bytes("a"));
    await b.checkCurrentSerial(y.oid, y.tid);
    await client.sync();
    await a.store(y.oid, y.tid, bytes("a"));
    await b.store(x.oid, x.tid, bytes("b"));
    const outcomes = await Promise.allSettled([a.commit(), b.commit()]);
    const failed = outcomes.filter(({ status }) => status === "rejected");
    assert.equal(failed.length, 1);
    for (const outcome of failed) {
      assert.ok(outcome.status === "rejected" && outcome.reason instanceof ConflictError);
    }
    assert.ok(
      !(outcomes[0]?.status === "rejected" && outcomes[0].reason instanceof ReadConflictError),
    );
  },

  "a client aborts while its stores wait": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: "0" });
    const first = await client.begin();
    await first.store(oid, tid, bytes("1"));
    await first.vote();
    const other = await connect();
    const waiting = await other.begin();
    await waiting.store(oid, tid, bytes("2"));
    await other.sync();
    await waiting.abort();
    const committed = await first.finish();
    const third = await dostore(other, { oid, serial: committed, data: "3" });
    await client.sync();
    assert.equal((await client.load(oid)).serial, third.tid);
  },
};
