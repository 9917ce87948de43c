/** Deleting objects that a garbage collector has found. */

import assert from "node:assert/strict";
import { ConflictError, MAX_TID, POSKeyError, ZERO_TID } from "../../client/mod.ts";
import type { Lines } from "./harness.ts";
import { at, bytes, dostore, dostoreAll, pack, readable, undo, valueOf } from "./operations.ts";

export const externalGc: Lines = {
  "deleteObject of two orphans": async ({ client, connect }) => {
    const [one, two] = [await dostore(client, { data: "1" }), await dostore(client, { data: "2" })];
    const other = await connect();
    for (const { oid } of [one, two]) await other.load(oid);
    await using transaction = await client.begin();
    for (const { oid, tid } of [one, two]) await transaction.deleteObject(oid, tid);
    const deletion = await transaction.commit();
    assert.equal(client.lastTransaction, deletion);
    await other.sync();
    for (const reader of [client, other, await connect()]) {
      for (const [{ oid, tid }, data] of [[one, "1"], [two, "2"]] as const) {
        await assert.rejects(reader.load(oid), POSKeyError);
        await assert.rejects(reader.loadBefore(oid, MAX_TID), POSKeyError);
        await assert.rejects(reader.getTid(oid), POSKeyError);
        assert.deepEqual(readable(await reader.loadBefore(oid, deletion)), {
          data,
          serial: tid,
          next: deletion,
        });
      }
    }
    await pack(client);
    for (const reader of [client, await connect()]) {
      for (const { oid, tid } of [one, two]) {
        await assert.rejects(reader.load(oid), POSKeyError);
        await assert.rejects(reader.loadBefore(oid, deletion), POSKeyError);
        await assert.rejects(reader.loadSerial(oid, tid), POSKeyError);
      }
    }
  },

  "wrong serial": async ({ client }) => {
    const [first, second] = await dostoreAll(client, "1", "2");
    assert.ok(first !== undefined && second !== undefined);
    for (const serial of [first.tid, ZERO_TID]) {
      await assert.rejects(dostore(client, { oid: first.oid, serial, data: null }), ConflictError);
    }
    // Never merged.
    const late = dostore(client, {
      oid: first.oid,
      serial: first.tid,
      data: null,
      resolveConflict: ({ newData }) => newData,
    });
    await assert.rejects(late, ConflictError);
    assert.equal(await valueOf(client, first.oid), "2");
  },

  "packing does not remove garbage that was not deleted": async ({ client, connect }) => {
    const { oid } = at(await dostoreAll(client, "1", "2"), 0);
    await pack(client);
    assert.equal(await valueOf(await connect(), oid), "2");
  },

  "the deletion is undone": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "1" });
    const deletion = await dostore(client, { oid, serial: tid, data: null });
    await undo(client, deletion.tid, [oid]);
    assert.equal(await valueOf(client, oid), "1");
  },

  "a conflict with a deletion": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "1" });
    const deletion = await dostore(client, { oid, serial: tid, data: null });
    const conflicts: unknown[] = [];
    await using transaction = await client.begin({
      resolveConflict: ({ committedData }) => {
        conflicts.push(committedData);
        return null;
      },
    });
    await transaction.store(oid, tid, bytes("2"));
    await assert.rejects(transaction.vote(), (error) => {
      assert.ok(error instanceof ConflictError);
      assert.deepEqual(error.serials, { current: deletion.tid, given: tid });
      return true;
    });
    assert.deepEqual(conflicts, [null]);
  },
};
