/** What databases of objects rely on, whatever the storage. */

import assert from "node:assert/strict";
import {
  ConflictError,
  MAX_OID,
  NEOStorageError,
  POSKeyError,
  StorageTransactionError,
  toOid,
} from "../../client/mod.ts";
import type { Lines } from "./harness.ts";
import { ObjectDatabase } from "./object_database.ts";
import { bytes, dostore, text, valueOf } from "./operations.ts";

export const databaseLevel: Lines = {
  "a connection sees what others commit only after it synchronizes": async (scene) => {
    const { client, connect } = scene;
    const { oid } = await dostore(client, { data: "1" });
    using local = new ObjectDatabase(client);
    using remote = new ObjectDatabase(await connect());
    const [one, two, three] = [local.open(), local.open(), remote.open()];
    for (const connection of [one, two, three]) {
      await connection.begin();
      assert.equal(await connection.load(oid), "1");
    }
    one.set(oid, "2");
    await one.commit();
    assert.deepEqual([await two.load(oid), await three.load(oid)], ["1", "1"]);
    for (const connection of [two, three]) await connection.begin();
    assert.deepEqual([await two.load(oid), await three.load(oid)], ["2", "2"]);
  },

  "objects not yet loaded are read at the snapshot": async ({ client, connect }) => {
    const [one, two] = [await dostore(client, { data: "1" }), await dostore(client, { data: "1" })];
    using database = new ObjectDatabase(await connect());
    const connection = database.open();
    await connection.begin();
    assert.equal(await connection.load(one.oid), "1");
    for (const { oid, tid } of [one, two]) await dostore(client, { oid, serial: tid, data: "2" });
    await database.client.sync();
    assert.equal(await connection.load(two.oid), "1");
    connection.poll();
    assert.deepEqual([await connection.load(one.oid), await connection.load(two.oid)], ["2", "2"]);
  },

  "a conflict is found by a connection that did not synchronize": async ({ client, connect }) => {
    const { oid, tid } = await dostore(client, { data: "1" });
    using database = new ObjectDatabase(await connect());
    const connection = database.open();
    assert.equal(await connection.load(oid), "1");
    await dostore(client, { oid, serial: tid, data: "2" });
    connection.set(oid, "3");
    await assert.rejects(connection.commit(), ConflictError);
    await connection.begin();
    assert.equal(await connection.load(oid), "2");
  },

  "a failure stays until the transaction is aborted": async ({ client }) => {
    const { oid, tid } = await dostore(client, { data: "1" });
    const current = await dostore(client, { oid, serial: tid, data: "2" });
    const transaction = await client.begin();
    await transaction.store(oid, tid, bytes("3"));
    await assert.rejects(transaction.vote(), ConflictError);
    const again = transaction.store(oid, current.tid, bytes("3"));
    await assert.rejects(again, StorageTransactionError);
    await assert.rejects(transaction.finish(), StorageTransactionError);
    await transaction.abort();
    await dostore(client, { oid, serial: current.tid, data: "3" });
    assert.equal(await valueOf(client, oid), "3");
  },

  "a check of what the transaction creates": async ({ client }) => {
    const oid = await client.newOid();
    await using transaction = await client.begin();
    await transaction.store(oid, null, bytes("new"));
    const check = transaction.checkCurrentSerial(oid, client.lastTransaction);
    await assert.rejects(check, StorageTransactionError);
    await transaction.commit();
    assert.equal(await valueOf(client, oid), "new");
  },

  "what was aborted leaves nothing": async ({ client, connect }) => {
    const before = client.lastTransaction;
    const oid = await client.newOid();
    const transaction = await client.begin();
    await transaction.store(oid, null, bytes("never"));
    await transaction.vote();
    await transaction.abort();
    const other = await connect();
    assert.equal(other.lastTransaction, before);
    await assert.rejects(other.load(oid), POSKeyError);
    assert.ok(!(await Array.fromAsync(other.oids())).includes(oid));
    await dostore(other, { oid, data: "now" });
  },

  "commits without object are kept": async ({ client }) => {
    const tids = [];
    for (const options of [{}, { user: "alice", description: "nothing", extension: { a: 1 } }]) {
      await using transaction = await client.begin(options);
      tids.push(await transaction.commit());
    }
    const found = await Array.fromAsync(client.iterator(tids[0] ? { start: tids[0] } : {}));
    assert.deepEqual(found.map(({ tid }) => tid), tids);
    assert.deepEqual(found.map(({ user }) => text(user)), ["", "alice"]);
  },

  "an oid that is greater than any allocated raises the allocator": {
    own: true,
    test: async ({ client, connect }) => {
      const great = toOid(2 ** 40);
      await dostore(client, { oid: great });
      // Those that a client reserved before stay valid.
      assert.ok(await (await connect()).newOid() > great);
      await dostore(client, { oid: toOid(great - 5n) });
      assert.ok(await (await connect()).newOid() > great);
      await using restoring = await client.begin();
      await restoring.restore({ oid: toOid(2 * 2 ** 40), data: bytes("x"), dataTid: null });
      await restoring.commit();
      assert.ok(await (await connect()).newOid() > 2 * 2 ** 40);
      await assert.rejects(dostore(client, { oid: toOid(MAX_OID + 1n) }), RangeError);
    },
  },

  "metadata that is longer than 64 KiB": async ({ client, configuration }) => {
    const long = "x".repeat(70_000);
    const storing = dostore(client, { description: long });
    if (configuration.name.startsWith("SQLite")) {
      const { tid } = await storing;
      assert.equal(text((await client.transactionInformation(tid)).description), long);
    } else {
      // Nothing is lost but the transaction.
      await assert.rejects(storing, NEOStorageError);
    }
    const { oid } = await dostore(client, { data: "next", description: "x".repeat(65_000) });
    assert.equal(await valueOf(client, oid), "next");
  },
};
