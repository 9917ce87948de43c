/** Merging what two transactions made of the same object. */

import assert from "node:assert/strict";
import { type Client, ConflictError, UndoError } from "../../client/mod.ts";
import type { Lines, Test } from "./harness.ts";
import {
  at,
  bytes,
  dostore,
  dostoreAll,
  type Form,
  resolveConflict,
  resolverFor,
  text,
  undo,
  valueOf,
} from "./operations.ts";
import { ObjectDatabase } from "./object_database.ts";

/** A change of an object of some class that can't be merged with another one. */
function unresolvable(name: string, cause: (error: unknown) => void): Test {
  return async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: `${name} 1` });
    const first = await connect();
    await dostore(first, { oid, serial: tid, data: `${name} 2` });
    const late = dostore(client, { oid, serial: tid, data: `${name} 3`, resolveConflict });
    await assert.rejects(late, (error) => {
      assert.ok(error instanceof ConflictError);
      assert.equal(error.oid, oid);
      assert.equal(error.serials.given, tid);
      assert.deepEqual(error.data, bytes(`${name} 3`));
      cause(error.cause);
      return true;
    });
    await client.sync();
    assert.equal(await valueOf(client, oid), `${name} 2`);
  };
}

/** Undoes the first of two increments. */
async function undoFirst(client: Client, name: string): Promise<string> {
  const stored = await dostoreAll(client, `${name} 1`, `${name} 5`, `${name} 7`);
  const { oid } = at(stored, 0);
  await undo(client, at(stored, 1).tid, [oid], { resolveConflict });
  return await valueOf(client, oid);
}

/** Records that are not stored as they are: reversed, as an example of compressing or encrypting. */
export const REVERSED: Form = {
  encode: (clear) => bytes([...clear].reverse().join("")),
  decode: (data) => [...text(data)].reverse().join(""),
};

export const conflictResolution: Lines = {
  resolvable: async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: "counter 0" });
    const [a, b] = [
      new ObjectDatabase(await connect({ resolveConflict })).open(),
      new ObjectDatabase(await connect({ resolveConflict })).open(),
    ];
    for (const connection of [a, b]) await connection.begin();
    assert.deepEqual([await a.load(oid), await b.load(oid)], ["counter 0", "counter 0"]);
    a.set(oid, "counter 5");
    b.set(oid, "counter 7");
    await a.commit();
    const second = await b.commit();
    for (const connection of [a, b]) {
      await connection.begin();
      assert.equal(await connection.load(oid), "counter 12");
    }
    await client.sync();
    assert.deepEqual((await client.load(oid)).serial, second);
    assert.equal(text((await client.loadSerial(oid, tid)).data), "counter 0");
  },

  "vote tells which objects were merged with what": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "counter 1" });
    const { tid: committed } = await dostore(client, { oid, serial: tid, data: "counter 2" });
    const other = await dostore(client, { data: "counter 1" });
    await using transaction = await client.begin({ resolveConflict });
    await transaction.store(oid, tid, bytes("counter 4"));
    await transaction.store(other.oid, other.tid, bytes("counter 4"));
    assert.deepEqual(await transaction.vote(), new Map([[oid, committed]]));
    await transaction.finish();
    assert.equal(await valueOf(client, oid), "counter 5");
  },

  unresolvable: unresolvable("stubborn", (cause) => {
    assert.ok(cause instanceof Error);
    assert.match(cause.message, /class stubborn/);
  }),
  "non-importable class": unresolvable("unknown", (cause) => assert.equal(cause, undefined)),
  "buggy resolution 1": unresolvable("buggy", (cause) => assert.ok(cause instanceof TypeError)),
  "buggy resolution 2": unresolvable("careless", (cause) => assert.ok(cause instanceof TypeError)),

  "undo of a transaction followed by a resolvable change": async ({ client }) =>
    assert.equal(await undoFirst(client, "counter"), "counter 3"),

  "undo of a transaction followed by an unresolvable change": async ({ client }) => {
    for (const name of ["stubborn", "unknown", "buggy", "careless"]) {
      await assert.rejects(undoFirst(client, name), UndoError);
    }
  },

  "a wrapper that transforms records": async ({ connect }) => {
    const client = await connect({ resolveConflict: resolverFor(REVERSED) });
    const { encode, decode } = REVERSED;
    const { oid, tid } = await dostore(client, { data: encode("counter 1") });
    const first = await dostore(client, { oid, serial: tid, data: encode("counter 12") });
    await dostore(client, { oid, serial: tid, data: encode("counter 101") });
    assert.equal(decode((await client.load(oid)).data), "counter 112");
    await undo(client, first.tid, [oid]);
    assert.equal(decode((await client.load(oid)).data), "counter 101");
    const records: string[] = [];
    for await (const transaction of client.iterator({ start: tid })) {
      for await (const { data } of transaction.records()) records.push(decode(data ?? bytes("")));
    }
    assert.deepEqual(records, ["counter 1", "counter 12", "counter 112", "counter 101"]);
  },
};
