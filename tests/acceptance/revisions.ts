/** The revisions of objects, and their history. */

import assert from "node:assert/strict";
import {
  MAX_TID,
  type Oid,
  POSKeyError,
  type Tid,
  tidToTime,
  toOid,
  toTid,
} from "../../client/mod.ts";
import { add64 } from "../../protocol/ids.ts";
import type { Lines } from "./harness.ts";
import { at, bytes, dostore, dostoreAll, readable, text, undo } from "./operations.ts";

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

export const revisions: Lines = {
  loadSerial: async ({ client, connect }) => {
    const stored = await dostoreAll(client, ...numbers(7));
    const other = await connect();
    for (const [i, { oid, tid }] of stored.entries()) {
      for (const one of [client, other]) {
        assert.deepEqual(text((await one.loadSerial(oid, tid)).data), `${i}`);
      }
    }
    const [last, unrelated] = [at(stored, -1), await dostore(client)];
    await assert.rejects(client.loadSerial(last.oid, unrelated.tid), POSKeyError);
    await assert.rejects(other.loadSerial(last.oid, add64(last.tid, -1n << 20n)), POSKeyError);
  },

  loadBefore: async ({ client, connect }) => {
    const stored = await dostoreAll(client, ...numbers(10));
    const other = await connect();
    for (const one of [client, other]) {
      for (let i = 1; i < stored.length; i++) {
        const [before, after] = [at(stored, i - 1), at(stored, i)];
        // Between the two revisions.
        const middle = toTid((before.tid + after.tid + 1n) / 2n);
        for (const tid of [after.tid, middle, add64(before.tid, 1)]) {
          const revision = readable(await one.loadBefore(before.oid, tid));
          assert.deepEqual(revision, { data: `${i - 1}`, serial: before.tid, next: after.tid });
        }
      }
    }
  },

  "loadBefore at the edges": async ({ client }) => {
    await assert.rejects(client.loadBefore(toOid(2 ** 40), MAX_TID), POSKeyError);
    const { oid, tid } = await dostore(client, { data: "first" });
    assert.equal(await client.loadBefore(oid, add64(tid, -1)), null);
    assert.equal(await client.loadBefore(oid, tid), null);
    const above = () => client.loadBefore(oid, add64(tid, 1)).then(readable);
    assert.deepEqual(await above(), { data: "first", serial: tid, next: null });
    const second = await dostore(client, { oid, serial: tid, data: "second" });
    assert.deepEqual(await above(), { data: "first", serial: tid, next: second.tid });
    assert.deepEqual(readable(await client.loadBefore(oid, MAX_TID)), {
      data: "second",
      serial: second.tid,
      next: null,
    });
  },

  "loadBefore of an old revision": async ({ client, connect }) => {
    const stored = await dostoreAll(client, ...numbers(50));
    const [wanted, next] = [at(stored, 12), at(stored, 13)];
    const other = await connect();
    assert.deepEqual(readable(await other.loadBefore(wanted.oid, next.tid)), {
      data: "12",
      serial: wanted.tid,
      next: next.tid,
    });
  },

  "loadBefore after undos": async ({ client, connect }) => {
    const [first, second] = await dostoreAll(client, "a", "b");
    assert.ok(first !== undefined && second !== undefined);
    const { oid } = first;
    const tids = [first.tid, second.tid];
    for (let i = 0; i < 4; i++) tids.push(await undo(client, at(tids, -1), [oid]));
    const expected = ["a", "b", "a", "b", "a", "b"];
    for (const one of [client, await connect()]) {
      for (const [i, tid] of tids.entries()) {
        const next = tids[i + 1] ?? null;
        assert.deepEqual(readable(await one.loadBefore(oid, next ?? MAX_TID)), {
          data: expected[i],
          serial: tid,
          next,
        });
        assert.equal(text((await one.loadSerial(oid, tid)).data), expected[i]);
      }
    }
  },

  "loadBefore with consecutive tids": {
    own: true,
    test: async ({ client, connect }) => {
      const oid = toOid(1);
      let serial: Tid | null = null;
      for (const n of [1, 2, 3]) {
        const tid = toTid(n);
        await dostore(client, { oid, serial, data: `${n}`, tid });
        serial = tid;
      }
      for (const one of [client, await connect()]) {
        assert.deepEqual(readable(await one.loadBefore(oid, toTid(2))), {
          data: "1",
          serial: toTid(1),
          next: toTid(2),
        });
      }
    },
  },

  "loadBefore the creation": async ({ client }) => {
    const { tid: earlier } = await dostore(client);
    const { oid, tid } = await dostore(client);
    assert.ok(earlier < tid);
    assert.equal(await client.loadBefore(oid, earlier), null);
  },

  "a snapshot reads one state whatever is committed": async ({ client, connect }) => {
    const stored = await dostoreAll(client, "0", "1");
    const [{ oid, tid }, last] = [at(stored, 0), at(stored, 1)];
    const old = client.at(tid);
    const snapshot = client.snapshot();
    const created = await dostore(await connect(), { data: "created later" });
    const third = await dostore(client, { oid, serial: last.tid, data: "2" });
    await client.sync();
    assert.equal(text((await old.load(oid)).data), "0");
    assert.equal(text((await snapshot.load(oid)).data), "1");
    assert.equal((await client.snapshot().load(oid)).serial, third.tid);
    await assert.rejects(snapshot.load(created.oid), POSKeyError);
    assert.throws(() => client.at(add64(third.tid, 1)), RangeError);
  },

  "loads of the current records, in order": {
    own: true,
    test: async ({ client }) => {
      const expected: [Oid, string, Tid][] = [];
      for (let i = 0; i < 30; i++) {
        const { oid, tid } = await dostore(client, { oid: toOid(7 * i), data: `${i}` });
        expected.push([oid, `${i}`, tid]);
      }
      const deleted = expected.splice(3, 1);
      for (const [oid, , serial] of deleted) await dostore(client, { oid, serial, data: null });
      const read = async (range = {}) => {
        const records = await Array.fromAsync(client.snapshot().records(range));
        return records.map(({ oid, data, serial }) => [oid, text(data), serial]);
      };
      assert.deepEqual(await read(), expected);
      assert.deepEqual(await read({ min: toOid(7), max: toOid(14) }), expected.slice(1, 3));
    },
  },

  prefetch: async ({ client, connect }) => {
    const stored: Oid[] = [];
    for (let i = 0; i < 10; i++) stored.push((await dostore(client)).oid);
    const other = await connect();
    const snapshot = other.snapshot();
    await snapshot.prefetch([...stored, toOid(2 ** 40)]);
    const { hits } = other.statistics.cache;
    for (const oid of stored) await snapshot.load(oid);
    assert.equal(other.statistics.cache.hits, hits + stored.length);
  },
};

export const history: Lines = {
  "unknown object": async ({ client }) => {
    await assert.rejects(client.history(toOid(2 ** 40)), POSKeyError);
  },

  "sizes 1 to n": async ({ client }) => {
    const before = Date.now() / 1000 - 1;
    const stored = await dostoreAll(client, ...numbers(4));
    const { oid } = at(stored, 0);
    const newestFirst = stored.map(({ tid }) => tid).reverse();
    assert.deepEqual(await client.history(oid, 0), []);
    for (let size = 1; size <= stored.length + 2; size++) {
      const entries = await client.history(oid, size);
      assert.deepEqual(entries.map(({ tid }) => tid), newestFirst.slice(0, size));
      for (const [i, { tid, time }] of entries.entries()) {
        assert.equal(time, tidToTime(tid));
        // Tids are more precise than seconds as floating-point numbers.
        assert.ok(time > before && time <= (entries[i - 1]?.time ?? Infinity));
      }
    }
  },

  metadata: async ({ client }) => {
    const { oid, tid } = await dostore(client, {
      user: "alice",
      description: "created",
      data: "x",
    });
    await dostore(client, { oid, serial: tid, data: null, user: bytes("bob") });
    const [last, first] = await client.history(oid, 2);
    assert.ok(last !== undefined && first !== undefined);
    assert.deepEqual([first.size, last.size], [1, 0]);
    const texts = [first.user, first.description, last.user].map(text);
    assert.deepEqual(texts, ["alice", "created", "bob"]);
  },
};
