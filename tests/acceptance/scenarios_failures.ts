/** What failures of the network and of nodes do to clients. */

import assert from "node:assert/strict";
import {
  type Client,
  NEOPrimaryMasterLost,
  NEOStorageError,
  type Oid,
  POSError,
  type Tid,
} from "../../client/mod.ts";
import { until } from "../network/support.ts";
import type { Lines, Scene } from "./harness.ts";
import { at, bytes, dostore, dostoreAll, undoable, valueOf } from "./operations.ts";

/** Lets nodes notice what happened to their connections. */
const DELAY = 0.2;

function numbers({ configuration: { storages } }: Scene): number[] {
  return Array.from({ length: storages }, (_, i) => i + 1);
}

/** The storages that a client is connected with. */
function connectedTo(scene: Scene, client: Client): number[] {
  return numbers(scene).filter((n) => scene.cluster.links(client, n).length > 0);
}

function cut(scene: Scene, client: Client, node: "master" | number): void {
  for (const link of scene.cluster.links(client, node)) link.cut();
}

/** Everything still works. */
async function checkWorks(scene: Scene): Promise<void> {
  const { oid, tid } = await dostore(scene.client, { data: "works" });
  const other = await scene.connect();
  assert.equal((await other.load(oid)).serial, tid);
}

/** A transaction that was voted, and the object it stored. */
async function voted({ client }: Scene) {
  const oid = await client.newOid();
  const transaction = await client.begin();
  await transaction.store(oid, null, bytes("committed"));
  await transaction.vote();
  return { oid, transaction };
}

export const failures: Lines = {
  "a storage is lost and reconnected before a store": {
    delay: DELAY,
    test: async (scene) => {
      const { client } = scene;
      const { oid, tid } = await dostore(client);
      for (const n of numbers(scene)) cut(scene, client, n);
      const second = await dostore(client, { oid, serial: tid, data: "2" });
      assert.equal((await client.load(oid)).serial, second.tid);
      assert.ok(connectedTo(scene, client).length > 0);
    },
  },

  "one replica is lost during stores": {
    delay: DELAY,
    replicated: true,
    test: async (scene) => {
      const { client } = scene;
      const { oid, tid } = await dostore(client, { data: "1" });
      const [lost] = connectedTo(scene, client);
      assert.ok(lost !== undefined);
      const transaction = await client.begin();
      await transaction.store(oid, tid, bytes("2"));
      cut(scene, client, lost);
      const committed = await transaction.commit();
      for (const one of [client, await scene.connect()]) {
        assert.deepEqual(await one.load(oid), { data: bytes("2"), serial: committed, next: null });
      }
      await checkWorks(scene);
    },
  },

  "the only storage of a transaction is lost": {
    delay: DELAY,
    test: async (scene) => {
      const { client, connect } = scene;
      const { oid, tid } = await dostore(client, { data: "1" });
      const transaction = await client.begin();
      await transaction.store(oid, tid, bytes("2"));
      for (const n of numbers(scene)) cut(scene, client, n);
      await assert.rejects(transaction.commit(), NEOStorageError);
      assert.equal(await valueOf(await connect(), oid), "1");
      await checkWorks(scene);
    },
  },

  "the master is lost before the vote": {
    delay: DELAY,
    test: async (scene) => {
      const { client, connect } = scene;
      const { oid, tid } = await dostore(client, { data: "1" });
      const other = await connect();
      const transaction = await client.begin();
      await transaction.store(oid, tid, bytes("2"));
      cut(scene, client, "master");
      await assert.rejects(transaction.commit(), (error) => {
        assert.ok(error instanceof NEOPrimaryMasterLost && error.transient);
        return true;
      });
      // Its locks are not there any more.
      const second = await dostore(other, { oid, serial: tid, data: "3" });
      await client.sync();
      assert.equal((await client.load(oid)).serial, second.tid);
    },
  },

  "vote arbitration": {
    delay: DELAY,
    replicated: true,
    test: async (scene) => {
      const { client, connect } = scene;
      // Two transactions of the same partitions, of clients that miss different replicas.
      const clients = [await connect(), await connect()];
      const first = await client.newOid();
      const { partitions } = scene.configuration;
      const oids = [first, first + BigInt(partitions)] as Oid[];
      const transactions = await Promise.all(clients.map(async (own, i) => {
        const transaction = await own.begin();
        await transaction.store(at(oids, i), null, bytes("x"));
        await own.sync();
        return transaction;
      }));
      const nodes = connectedTo(scene, at(clients, 0));
      assert.equal(nodes.length, 2);
      for (const [i, own] of clients.entries()) cut(scene, own, at(nodes, i));
      const outcomes = await Promise.allSettled(transactions.map((one) => one.commit()));
      const committed = outcomes.filter(({ status }) => status === "fulfilled");
      assert.ok(committed.length <= 1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") assert.ok(outcome.reason instanceof POSError);
      }
      await scene.cluster.operational();
      const other = await connect();
      const existing = await Array.fromAsync(other.oids());
      for (const [i, oid] of oids.entries()) {
        assert.equal(existing.includes(oid), outcomes[i]?.status === "fulfilled");
      }
      await checkWorks(scene);
    },
  },

  "the client is disconnected before transactions are locked": {
    delay: DELAY,
    test: async (scene) => {
      const { client, connect, cluster } = scene;
      const { oid, transaction } = await voted(scene);
      const links = numbers(scene).flatMap((n) => cluster.storageLinks(n));
      for (const link of links) link.freeze();
      const called: Tid[] = [];
      const finishing = transaction.finish({ onCommitted: (tid) => called.push(tid) });
      // What follows on the same connection comes later.
      await client.sync();
      cut(scene, client, "master");
      for (const link of links) link.thaw();
      const tid = await finishing;
      assert.equal(transaction.state, "committed");
      assert.deepEqual(called, [tid]);
      assert.equal((await (await connect()).load(oid)).serial, tid);
      assert.equal((await client.load(oid)).serial, tid);
    },
  },

  "the client is disconnected after transactions are locked": {
    delay: DELAY,
    test: async (scene) => {
      const { client, connect, cluster } = scene;
      const other = await connect();
      const { oid, transaction } = await voted(scene);
      const links = numbers(scene).flatMap((n) => cluster.storageLinks(n));
      for (const link of links) link.freeze();
      const finishing = transaction.finish();
      await client.sync();
      for (const link of cluster.links(client, "master")) link.freeze();
      for (const link of links) link.thaw();
      await until(() => other.lastTransaction > transaction.ttid, "the commit");
      const tid = other.lastTransaction;
      cut(scene, client, "master");
      assert.equal(await finishing, tid);
      assert.equal((await client.load(oid)).serial, tid);
      // Nobody gets the oids that were reserved before.
      const oids = new Set([oid, await client.newOid(), await other.newOid()]);
      assert.equal(oids.size, 3);
    },
  },

  "a storage is lost between the vote and the end": {
    delay: DELAY,
    replicated: true,
    test: async (scene) => {
      const { client, connect, cluster } = scene;
      const { oid, transaction } = await voted(scene);
      const [lost] = connectedTo(scene, client);
      assert.ok(lost !== undefined);
      for (const link of cluster.storageLinks(lost)) link.cut();
      const tid = await transaction.finish();
      assert.equal((await (await connect()).load(oid)).serial, tid);
      await checkWorks(scene);
    },
  },

  "the master ends during a commit, and comes back": {
    durable: true,
    delay: DELAY,
    test: async (scene) => {
      const { cluster, connect } = scene;
      const { oid, transaction } = await voted(scene);
      const finishing = transaction.finish();
      await cluster.stopMaster();
      await cluster.startMaster();
      await cluster.operational();
      const committed = await finishing.catch((error) => {
        assert.ok(error instanceof NEOPrimaryMasterLost);
        return null;
      });
      const exists = (await Array.fromAsync((await connect()).oids())).includes(oid);
      assert.equal(exists, committed !== null);
      await checkWorks(scene);
    },
  },

  "the master is restarted": {
    durable: true,
    delay: DELAY,
    test: async (scene) => {
      const { client, cluster, connect } = scene;
      const { oid, tid } = await dostore(client, { data: "1" });
      await cluster.stopMaster();
      await cluster.startMaster();
      await cluster.operational();
      // Reads and new transactions wait for it.
      assert.equal((await client.load(oid)).serial, tid);
      const second = await dostore(client, { oid, serial: tid, data: "2" });
      assert.equal((await (await connect()).load(oid)).serial, second.tid);
    },
  },

  "a storage is stopped, and comes back": {
    durable: true,
    delay: DELAY,
    replicated: true,
    test: async (scene) => {
      const { client, cluster } = scene;
      const stored = await dostoreAll(client, "1", "2");
      const last = at(stored, -1);
      await cluster.stopStorage(1);
      const third = await dostore(client, { oid: last.oid, serial: last.tid, data: "3" });
      assert.equal(await valueOf(await scene.connect(), last.oid), "3");
      cluster.startStorage(1);
      await until(() => /S1 .*RUNNING/.test(cluster.describe()), "the storage");
      const fourth = await dostore(client, { oid: last.oid, serial: third.tid, data: "4" });
      assert.equal((await (await scene.connect()).load(last.oid)).serial, fourth.tid);
    },
  },

  "a replica that was away has everything again": {
    durable: true,
    delay: DELAY,
    replicated: true,
    test: async (scene) => {
      const { client, cluster } = scene;
      const { oid, tid } = await dostore(client, { data: "1" });
      await cluster.stopStorage(1);
      let serial = tid;
      for (let i = 2; i < 12; i++) {
        ({ tid: serial } = await dostore(client, { oid, serial, data: `${i}` }));
        await dostore(client, { data: `new ${i}` });
      }
      const deleted = await dostore(client);
      await dostore(client, { oid: deleted.oid, serial: deleted.tid, data: null });
      const expected = await Array.fromAsync(client.snapshot().records());
      cluster.startStorage(1);
      await until(
        () => !/S\d:[OC]\b|copies: no/.test(cluster.describe()),
        "cells that are up to date",
      );
      for (const stopped of [2, 3]) {
        await cluster.stopStorage(stopped);
        const reader = await scene.connect();
        assert.deepEqual(await Array.fromAsync(reader.snapshot().records()), expected);
        assert.equal((await reader.history(oid, 20)).length, 11);
        cluster.startStorage(stopped);
        await until(
          () => !/S\d:[OC]\b|copies: no/.test(cluster.describe()),
          "cells that are up to date again",
        );
      }
      await checkWorks(scene);
    },
  },

  "all connections of a client are closed": {
    delay: DELAY,
    test: async (scene) => {
      const { client, connect } = scene;
      const { oid, tid } = await dostore(client, { data: "1" });
      const other = await connect();
      const resets: number[] = [];
      using _listening = client.listen({ reset: () => resets.push(1) });
      // Others commit what this client is not told any more.
      for (const link of scene.cluster.links(client, "master")) link.freeze();
      const second = await dostore(other, { oid, serial: tid, data: "2" });
      for (const node of ["master", ...numbers(scene)] as const) cut(scene, client, node);
      await client.sync();
      assert.deepEqual(resets, [1]);
      assert.equal(client.lastTransaction, second.tid);
      assert.deepEqual(await client.load(oid), {
        data: bytes("2"),
        serial: second.tid,
        next: null,
      });
      await checkWorks(scene);
    },
  },

  "reads after all connections with storages are closed": {
    delay: DELAY,
    test: async (scene) => {
      const { client, connect } = scene;
      const stored = await dostoreAll(client, "1", "2", "3");
      const reader = await connect();
      const tids = stored.map(({ tid }) => tid);
      const { oid } = at(stored, 0);
      const reads = [
        async () => assert.deepEqual(await undoable(reader), tids.toReversed()),
        async () => {
          const found = await Array.fromAsync(reader.iterator(), ({ tid }) => tid);
          assert.deepEqual(found, tids);
        },
        async () => assert.equal((await reader.loadSerial(oid, at(tids, 0))).data.length, 1),
        async () => assert.equal((await reader.history(oid, 5)).length, 3),
        async () => assert.deepEqual(await Array.fromAsync(reader.oids()), [oid]),
      ];
      for (const n of numbers(scene)) cut(scene, reader, n);
      await Promise.all(reads.map((read) => read()));
    },
  },
};
