/** Undoing transactions. */

import assert from "node:assert/strict";
import {
  type Client,
  MAX_TID,
  type Oid,
  POSKeyError,
  type Tid,
  tidToTime,
  toOid,
  toTid,
  UndoError,
  type UndoLogEntry,
  type UndoLogOptions,
} from "../../client/mod.ts";
import type { Lines } from "./harness.ts";
import {
  at,
  bytes,
  dostore,
  dostoreAll,
  pack,
  resolveConflict,
  text,
  undo,
  undoable,
  valueOf,
} from "./operations.ts";

/** Undoes what is at a position of the undo log. */
async function undoAt(client: Client, position: number, expected: readonly Oid[]): Promise<Tid> {
  return await undo(client, at(await undoable(client), position), expected);
}

/** Stores objects together; those that are not given are created. */
async function storeTogether(
  client: Client,
  values: readonly string[],
  previous: readonly { oid: Oid; tid: Tid }[] = [],
) {
  const stored = await Promise.all(values.map(async (value, i) => ({
    oid: previous[i]?.oid ?? await client.newOid(),
    serial: previous[i]?.tid ?? null,
    value,
  })));
  await using transaction = await client.begin();
  for (const { oid, serial, value } of stored) await transaction.store(oid, serial, bytes(value));
  const tid = await transaction.commit();
  return stored.map(({ oid }) => ({ oid, tid }));
}

async function valuesOf(client: Client, oids: readonly Oid[]): Promise<string[]> {
  return await Promise.all(oids.map((oid) => valueOf(client, oid)));
}

const descriptionOf = ({ description }: UndoLogEntry) => text(description);

export const undoLines: Lines = {
  simple: async ({ client, connect }) => {
    const { oid } = at(await dostoreAll(client, "23", "24", "25"), 0);
    await undoAt(client, 0, [oid]);
    assert.equal(await valueOf(client, oid), "24");
    await undoAt(client, 2, [oid]);
    assert.equal(await valueOf(client, oid), "23");
    await undoAt(client, 4, [oid]);
    await assert.rejects(client.load(oid), POSKeyError);
    await assert.rejects((await connect()).load(oid), POSKeyError);
    await undoAt(client, 0, [oid]);
    assert.equal(await valueOf(client, oid), "23");
    assert.equal(await valueOf(await connect(), oid), "23");
  },

  "creation undone, getTid": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "23" });
    await undo(client, tid, [oid]);
    await assert.rejects(client.getTid(oid), POSKeyError);
  },

  "creation undone is seen by other clients": async ({ client, connect }) => {
    const other = await connect();
    const { oid, tid } = await dostore(client, { data: "23" });
    await other.sync();
    assert.equal(await valueOf(other, oid), "23");
    await undo(client, tid, [oid]);
    await other.sync();
    await assert.rejects(other.load(oid), POSKeyError);
    await assert.rejects(other.loadBefore(oid, MAX_TID), POSKeyError);
  },

  "creation branch 1": async ({ client }) => {
    const { oid } = at(await dostoreAll(client, "11", "12"), 0);
    await undoAt(client, 0, [oid]);
    assert.equal(await valueOf(client, oid), "11");
    await undoAt(client, 2, [oid]);
    await assert.rejects(client.load(oid), POSKeyError);
    await assert.rejects(client.loadBefore(oid, MAX_TID), POSKeyError);
  },

  "creation branch 2": async ({ client }) => {
    const { oid } = at(await dostoreAll(client, "11", "12"), 0);
    await undoAt(client, 0, [oid]);
    assert.equal(await valueOf(client, oid), "11");
    await undoAt(client, 0, [oid]);
    assert.equal(await valueOf(client, oid), "12");
  },

  "creation of what was modified later": async ({ client }) => {
    const [creation, increment] = await dostoreAll(client, "counter 5", "counter 8");
    assert.ok(creation !== undefined && increment !== undefined);
    const { oid } = creation;
    await assert.rejects(undo(client, creation.tid, [oid], { resolveConflict }), UndoError);
    assert.equal(await valueOf(client, oid), "counter 8");
  },

  "an unknown transaction": async ({ client }) => {
    await dostore(client);
    await assert.rejects(undo(client, toTid(12345), []), UndoError);
    await assert.rejects(undo(client, toTid(client.lastTransaction + 1n), []), UndoError);
  },

  "two objects": async ({ client }) => {
    const first = await storeTogether(client, ["31", "51"]);
    const oids = first.map(({ oid }) => oid);
    await storeTogether(client, ["32", "52"], first);
    assert.deepEqual(await valuesOf(client, oids), ["32", "52"]);
    await undoAt(client, 0, oids);
    assert.deepEqual(await valuesOf(client, oids), ["31", "51"]);
  },

  "two objects, two transactions at once": async ({ client }) => {
    const first = await storeTogether(client, ["30", "50"]);
    const oids = first.map(({ oid }) => oid);
    const second = await storeTogether(client, ["31", "51"], first);
    const third = await storeTogether(client, ["32", "52"], second);
    const tids = [at(third, 0).tid, at(second, 0).tid];
    await undo(client, tids, oids);
    assert.deepEqual(await valuesOf(client, oids), ["30", "50"]);
    await undoAt(client, 0, oids);
    assert.deepEqual(await valuesOf(client, oids), ["32", "52"]);
  },

  "two objects with different histories": async ({ client }) => {
    const first = await storeTogether(client, ["31", "51"]);
    const oids = first.map(({ oid }) => oid);
    const [one, two] = [at(first, 0), at(first, 1)];
    const alone = await dostore(client, { oid: one.oid, serial: one.tid, data: "32" });
    await storeTogether(client, ["33", "53"], [alone, two]);
    await undoAt(client, 0, oids);
    assert.deepEqual(await valuesOf(client, oids), ["32", "51"]);
    await undo(client, alone.tid, [one.oid]);
    assert.deepEqual(await valuesOf(client, oids), ["31", "51"]);
    // Of both, only one is what that undo made of it.
    await assert.rejects(undoAt(client, 1, oids), UndoError);
  },

  "only objects of the undone transaction change": async ({ client }) => {
    const first = await storeTogether(client, ["31", "51"]);
    const [one, two] = [at(first, 0), at(first, 1)];
    const changed = await dostore(client, { oid: one.oid, serial: one.tid, data: "32" });
    const other = await dostore(client, { oid: two.oid, serial: two.tid, data: "52" });
    await undo(client, changed.tid, [one.oid]);
    assert.deepEqual(await valuesOf(client, [one.oid, two.oid]), ["31", "52"]);
    assert.equal(await client.getTid(two.oid), other.tid);
  },

  "not undoable": async ({ client }) => {
    const stored = await dostoreAll(client, "51", "52", "53");
    const { oid } = at(stored, 0);
    await assert.rejects(undo(client, at(stored, 1).tid, [oid]), (error) => {
      assert.ok(error instanceof UndoError);
      assert.equal(error.oid, oid);
      return true;
    });
    // One of two objects was modified later.
    const first = await storeTogether(client, ["81", "91"]);
    const second = await storeTogether(client, ["82", "92"], first);
    await dostore(client, { oid: at(first, 1).oid, serial: at(second, 1).tid, data: "93" });
    await assert.rejects(undo(client, at(second, 0).tid, []), UndoError);
    assert.equal(await valueOf(client, at(first, 0).oid), "82");
  },

  "conflict between undo and vote": async ({ client, connect }) => {
    const stored = await dostoreAll(client, "counter 1", "counter 4");
    const [{ oid }, last] = [at(stored, 0), at(stored, 1)];
    const other = await connect();
    await using transaction = await client.begin({ resolveConflict });
    // The other transaction holds the lock, and is the first.
    await using first = await other.begin();
    await first.store(oid, last.tid, bytes("counter 14"));
    await first.commit();
    await transaction.undo(last.tid);
    await transaction.vote();
    await transaction.finish();
    assert.equal(await valueOf(client, oid), "counter 11");
  },

  "several transactions with a small cache": async ({ connect }) => {
    const client = await connect({ cacheSize: 0, resolveConflict });
    const stored = await dostoreAll(client, "counter 0", "counter 1", "counter 3", "counter 7");
    const { oid } = at(stored, 0);
    await undo(client, [at(stored, 1).tid, at(stored, 2).tid], [oid]);
    assert.equal(await valueOf(client, oid), "counter 4");
  },

  "a merged undo with a conflict of its own": async ({ client, connect }) => {
    const stored = await dostoreAll(client, "counter 0", "counter 1", "counter 3");
    const { oid } = at(stored, 0);
    const other = await connect();
    await using transaction = await client.begin({ resolveConflict });
    await transaction.undo(at(stored, 1).tid);
    const late = dostore(other, {
      oid,
      serial: at(stored, 2).tid,
      data: "counter 13",
      resolveConflict,
    });
    await transaction.commit();
    await late;
    await client.sync();
    assert.equal(await valueOf(client, oid), "counter 12");
  },

  "undo again and again": async ({ client }) => {
    const { oid } = at(await dostoreAll(client, "a", "b"), 0);
    for (const expected of ["a", "b", "a", "b"]) {
      await undoAt(client, 0, [oid]);
      assert.equal(await valueOf(client, oid), expected);
    }
  },

  iterator: {
    own: true,
    test: async ({ client }) => {
      const oids = [1, 2, 3].map(toOid);
      for (const n of [1, 2]) {
        await using transaction = await client.begin({ tid: toTid(n) });
        const serial = n === 1 ? null : toTid(n - 1);
        for (const oid of oids) await transaction.store(oid, serial, bytes(`${n}`));
        assert.equal(await transaction.commit(), n === 1 ? 1n : 2n);
      }
      for (const n of [3, 4]) await undo(client, toTid(n - 1), oids, { tid: toTid(n) });
      const found: unknown[] = [];
      for await (const transaction of client.iterator()) {
        for await (const { oid, tid, data, dataTid } of transaction.records()) {
          if (oid === oids[1]) found.push([tid, text(data ?? bytes("")), dataTid]);
        }
      }
      assert.deepEqual(found, [
        [toTid(1), "1", null],
        [toTid(2), "2", null],
        [toTid(3), "1", toTid(1)],
        [toTid(4), "2", toTid(2)],
      ]);
    },
  },

  "log metadata": async ({ client }) => {
    const extension = { request: 123, path: ["a", "b"] };
    const { tid } = await dostore(client, { user: "alice", description: "t1", extension });
    const [entry] = await client.undoLog({ last: 1 });
    assert.ok(entry !== undefined);
    assert.deepEqual([text(entry.user), text(entry.description)], ["alice", "t1"]);
    assert.deepEqual([entry.tid, entry.time, entry.items], [tid, tidToTime(tid), extension]);
    const request = (request: number) => client.undoInfo({ items: { request } });
    assert.deepEqual((await request(123)).map(({ tid }) => tid), [tid]);
    assert.deepEqual(await request(124), []);
    // A description that is no text of UTF-8.
    await dostore(client, { user: Uint8Array.of(0xff), extension: Uint8Array.of(0x80, 3) });
    const [last] = await client.undoLog({ last: 1 });
    assert.deepEqual([last?.user, last?.items], [Uint8Array.of(0xff), {}]);
  },

  "indices of undoLog and undoInfo": {
    own: true,
    test: async ({ client, connect }) => {
      let serial: Tid | null = null;
      const oid = await client.newOid();
      const names: string[] = [];
      for (let i = 0; i < 27; i++) {
        ({ tid: serial } = await dostore(client, { oid, serial, description: `t${i}` }));
        names.unshift(`t${i}`);
      }
      const checks: [UndoLogOptions, string[]][] = [
        [{ first: 0, last: 27 }, names],
        [{ first: 0, last: 1000 }, names],
        [{ first: 0, last: Number.MAX_SAFE_INTEGER }, names],
        [{ first: 0, last: -1_000_000 }, names],
        [{}, names.slice(0, 20)],
        [{ first: 0, last: 1 }, names.slice(0, 1)],
        [{ first: 0, last: -1 }, names.slice(0, 1)],
        [{ first: 11, last: 17 }, names.slice(11, 17)],
        [{ first: 11, last: -6 }, names.slice(11, 17)],
        [{ first: 25, last: -6 }, names.slice(25)],
        [{ first: 5, last: 5 }, []],
        [{ first: 27, last: 30 }, []],
      ];
      for (const one of [client, await connect()]) {
        for (const [{ first, last }, expected] of checks) {
          const range = { ...first !== undefined && { first }, ...last !== undefined && { last } };
          assert.deepEqual((await one.undoLog(range)).map(descriptionOf), expected);
          assert.deepEqual((await one.undoInfo({}, range)).map(descriptionOf), expected);
          const only = (await one.undoInfo({ description: "t7" }, range)).map(descriptionOf);
          const wanted = (first ?? 0) === 0 ? ["t7"] : [];
          assert.deepEqual(only, wanted);
        }
        const filter = (entry: UndoLogEntry) => descriptionOf(entry).endsWith("5");
        const some = await one.undoLog({ first: 1, last: 3, filter });
        assert.deepEqual(some.map(descriptionOf), ["t15", "t5"]);
      }
    },
  },

  "multiple undo with resolution, both orders": async ({ client }) => {
    const values = [0, 1, 2, 3, 4].map((n) => `counter ${n}`);
    for (const order of [[2, 3], [3, 2]]) {
      const stored = await dostoreAll(client, ...values);
      const { oid } = at(stored, 0);
      await undo(client, order.map((i) => at(stored, i).tid), [oid], { resolveConflict });
      assert.equal(await valueOf(client, oid), "counter 2");
    }
  },
};

/** A root that links to objects by name. */
async function storeRoot(
  client: Client,
  root: { oid: Oid; tid: Tid | null },
  links: Readonly<Record<string, Oid>>,
  description: string,
) {
  const names = Object.entries(links).map(([name, oid]) => `${name}=${oid}`).join(" ");
  return await dostore(client, { oid: root.oid, serial: root.tid, data: names, description });
}

export const undoAndPack: Lines = {
  "after pack": async ({ client }) => {
    const stored = await dostoreAll(client, "51", "52", "53");
    const [first, second, third] = [at(stored, 0), at(stored, 1), at(stored, 2)];
    await pack(client, first.tid);
    assert.deepEqual(await undoable(client), [third.tid, second.tid]);
    await undo(client, third.tid, [first.oid]);
    assert.equal(await valueOf(client, first.oid), "52");
    await assert.rejects(undo(client, first.tid, []), UndoError);
  },

  "after pack with an unlinked object": async ({ client }) => {
    const object = await dostore(client, { data: "o1", description: "created" });
    const empty = { oid: await client.newOid(), tid: null };
    const linked = await storeRoot(client, empty, { o1: object.oid }, "linked");
    const twice = await storeRoot(client, linked, { o1: object.oid, o2: object.oid }, "twice");
    const unlinked = await storeRoot(client, twice, {}, "unlinked");
    await pack(client, linked.tid);
    const log = (await client.undoLog()).map(descriptionOf);
    assert.deepEqual(log, ["unlinked", "twice"]);
    await undo(client, unlinked.tid, [linked.oid]);
    assert.equal(await valueOf(client, linked.oid), `o1=${object.oid} o2=${object.oid}`);
    assert.equal(await valueOf(client, object.oid), "o1");
  },

  "pack after the undo of a deletion": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: "restored" });
    const deletion = await dostore(client, { oid, serial: tid, data: null });
    const undone = await undo(client, deletion.tid, [oid]);
    const { tid: later } = await dostore(client);
    for (const time of [tid, deletion.tid, undone, later]) {
      await pack(client, time);
      assert.equal(await valueOf(await connect(), oid), "restored");
    }
  },

  "pack after many undos": async ({ client, connect }) => {
    const { oid, tid } = at(await dostoreAll(client, "0", "1"), -1);
    const times = [tid];
    for (let i = 0; i < 10; i++) times.push(await undoAt(client, 0, [oid]));
    assert.equal(await valueOf(client, oid), "1");
    for (const time of times) {
      await pack(client, time);
      assert.equal(await valueOf(await connect(), oid), "1");
    }
  },

  "empty undo after pack": async ({ client }) => {
    const { oid, tid } = at(await dostoreAll(client, "1", "2"), -1);
    await using empty = await client.begin();
    const nothing = await empty.commit();
    await undo(client, nothing, []);
    await pack(client, tid);
    await undo(client, nothing, []);
    assert.equal(await valueOf(client, oid), "2");
  },
};
