/** Transactions that lock the same objects in opposite orders. */

import assert from "node:assert/strict";
import { type Client, type Oid, toOid } from "../../client/mod.ts";
import { MESSAGES } from "../../protocol/mod.ts";
import { RealCluster } from "../client/real_cluster.ts";
import { addUp, decode, encode } from "./random_clients.ts";

const PAIRS = 5;
const ROUNDS = 200;

/** Adds one to objects, storing them in the order given. */
async function increment(client: Client, oids: readonly Oid[]): Promise<void> {
  const snapshot = client.snapshot();
  await using transaction = await client.begin({ resolveConflict: addUp });
  for (const oid of oids) {
    const { data, serial } = await snapshot.load(oid);
    await transaction.store(oid, serial, encode(Number(decode(data)) + 1));
  }
  await transaction.commit();
}

for (const shape of [{ storages: 1, replicas: 0 }, { storages: 3, replicas: 1 }]) {
  const { storages } = shape;
  Deno.test(
    `2000 transactions that may deadlock end without any timer, ${storages} storages`,
    async () => {
      await using cluster = await RealCluster.start({ ...shape, partitions: 4 });
      const setup = await cluster.connect();
      const oids = [1, 2, 3].map(toOid);
      await using creation = await setup.begin();
      for (const oid of oids) creation.store(oid, null, encode(0));
      await creation.commit();

      const clients = await Promise.all(
        Array.from({ length: 2 * PAIRS }, () => cluster.connect()),
      );
      await Promise.all(clients.map((client) => client.sync()));
      let deadlocks = 0;
      for (const log of cluster.logs) {
        log.packet = ({ sent, code }) => {
          if (sent && code === MESSAGES.NotifyDeadlock.code) deadlocks++;
        };
      }
      cluster.timersOff = true;
      await Promise.all(clients.map(async (client, i) => {
        const order = i % 2 === 0 ? oids : oids.toReversed();
        for (let round = 0; round < ROUNDS; round++) await increment(client, order);
      }));
      cluster.timersOff = false;
      await setup.sync();
      for (const oid of oids) {
        assert.equal(decode((await setup.load(oid)).data), 2 * PAIRS * ROUNDS);
      }
      assert.ok(deadlocks > 100, `only ${deadlocks} possible deadlocks`);
    },
  );
}
