/** The client with real nodes. */

import assert from "node:assert/strict";
import {
  type Conflict,
  ConflictError,
  type Oid,
  POSError,
  POSKeyError,
  ReadConflictError,
  type Tid,
  toOid,
  toTid,
  ZERO_TID,
} from "../../client/mod.ts";
import { RealCluster } from "./real_cluster.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array | null | undefined) => data && new TextDecoder().decode(data);

Deno.test("Client commits and loads when the cluster is real", async () => {
  await using cluster = await RealCluster.start();
  const client = await cluster.connect();
  assert.equal(client.lastTransaction, ZERO_TID);
  const oid = await client.newOid();
  await using transaction = await client.begin({ user: "alice", description: "first" });
  await transaction.store(oid, null, bytes("hello"));
  const tid = await transaction.commit();
  assert.equal(client.lastTransaction, tid);
  assert.equal(text((await client.load(oid)).data), "hello");

  const other = await cluster.connect();
  assert.deepEqual(await other.load(oid), { data: bytes("hello"), serial: tid, next: null });
  await assert.rejects(other.load(toOid(999)), POSKeyError);
  assert.equal(await other.getTid(oid), tid);
  const [entry] = await other.history(oid);
  assert.equal(text(entry?.user), "alice");
});

Deno.test("Client sees what another one commits when it was told", async () => {
  await using cluster = await RealCluster.start();
  const [a, b] = [await cluster.connect(), await cluster.connect()];
  const oid = await a.newOid();
  const store = async (client: typeof a, serial: Tid | null, data: string) => {
    await using transaction = await client.begin();
    await transaction.store(oid, serial, bytes(data));
    return await transaction.commit();
  };
  const first = await store(a, null, "one");
  await b.sync();
  assert.equal((await b.load(oid)).serial, first);
  const told: unknown[] = [];
  using _listening = b.listen({
    invalidate: (tid, oids) => told.push([tid, oids, b.lastTransaction]),
  });
  const second = await store(a, first, "two");
  await b.sync();
  assert.deepEqual(told, [[second, [oid], first]]);
  assert.equal(text((await b.load(oid)).data), "two");
  assert.deepEqual(await b.loadBefore(oid, second), {
    data: bytes("one"),
    serial: first,
    next: second,
  });
  await assert.rejects(store(b, first, "late"), ConflictError);

  await using checking = await b.begin();
  await checking.checkCurrentSerial(oid, first);
  await assert.rejects(checking.commit(), ReadConflictError);
});

Deno.test("Transaction stores what it has undone, and what it was told before a truncation", async () => {
  await using cluster = await RealCluster.start();
  const client = await cluster.connect({ resolveConflict: () => bytes("merged") });
  const oid = await client.newOid();
  const store = async (serial: Tid | null, data: string) => {
    await using transaction = await client.begin();
    await transaction.store(oid, serial, bytes(data));
    return await transaction.commit();
  };
  const first = await store(null, "one");
  const second = await store(first, "two");
  {
    await using transaction = await client.begin();
    await transaction.undo(second);
    await transaction.store(oid, second, bytes("after the undo"));
    await transaction.commit();
    assert.equal(text((await client.load(oid)).data), "after the undo");
  }
  const third = await client.getTid(oid);
  {
    await using transaction = await client.begin();
    await transaction.undo(third);
    // Not based on what was undone: it is merged with what it has become.
    await transaction.store(oid, first, bytes("old"));
    await transaction.commit();
    assert.equal(text((await client.load(oid)).data), "merged");
  }
  const never = toTid((await client.getTid(oid)) + 1n);
  await using future = await client.begin();
  future.store(oid, never, bytes("x"));
  await assert.rejects(future.commit(), ConflictError);
  await using check = await client.begin();
  check.checkCurrentSerial(oid, never);
  await assert.rejects(check.commit(), ReadConflictError);
});

Deno.test("Client iterates over what 100 transactions stored", async () => {
  await using cluster = await RealCluster.start({ partitions: 5 });
  const client = await cluster.connect();
  const tids: Tid[] = [];
  for (let i = 0; i < 100; i++) {
    await using transaction = await client.begin({ description: `number ${i}` });
    for (let n = 1; n <= 3; n++) {
      transaction.store(toOid(3 * i + n), null, bytes(`object ${n} of ${i}`));
    }
    tids.push(await transaction.commit());
  }
  await using deletion = await client.begin();
  await deletion.deleteObject(toOid(1), tids[0] ?? null);
  tids.push(await deletion.commit());

  const found: Tid[] = [];
  const contents: unknown[] = [];
  for await (const transaction of client.iterator()) {
    found.push(transaction.tid);
    for await (const { data } of transaction.records()) contents.push(text(data));
  }
  assert.deepEqual(found, tids);
  assert.equal(contents.length, 301);
  assert.equal(contents[7], "object 2 of 2");
  assert.equal(contents[300], null);
  await assert.rejects(client.load(toOid(1)), POSKeyError);
  const oids = await Array.fromAsync(client.oids());
  assert.deepEqual(oids, Array.from({ length: 299 }, (_, i) => toOid(i + 2)));
});

Deno.test("Transaction.commit() resolves deadlocks of two clients with real nodes", async () => {
  await using cluster = await RealCluster.start({ partitions: 2, replicas: 0 });
  const resolveConflict = ({ newData }: Conflict) => newData;
  const [a, b] = [
    await cluster.connect({ resolveConflict }),
    await cluster.connect({
      resolveConflict,
    }),
  ];
  const [x, y] = [toOid(1), toOid(2)];
  await using setup = await a.begin();
  setup.store(x, null, bytes("x0"));
  setup.store(y, null, bytes("y0"));
  const base = await setup.commit();
  await b.sync();

  await using older = await a.begin();
  await using newer = await b.begin();
  await older.store(x, base, bytes("x older"));
  await newer.store(y, base, bytes("y newer"));
  await Promise.all([a.sync(), b.sync()]);
  newer.store(x, base, bytes("x newer"));
  older.store(y, base, bytes("y older"));
  const [first, second] = await Promise.all([older.commit(), newer.commit()]);
  assert.ok(first < second);
  await a.sync();
  assert.equal(text((await a.load(x)).data), "x newer");
  assert.equal(text((await a.load(y)).data), "y newer");
  assert.equal(text((await b.loadSerial(y, first)).data), "y older");
});

Deno.test("Clients lose nothing, and see the same, when their connections are cut", async () => {
  await using cluster = await RealCluster.start({ delay: 0.1 });
  const clients = await Promise.all([cluster.connect(), cluster.connect(), cluster.connect()]);
  const oids = [1, 2, 3, 4].map(toOid);
  const expected = new Map(oids.map((oid) => [oid, 0]));
  const number = (data: Uint8Array) => Number(text(data));
  let commits = 0;
  let cuts = 0;

  /** Adds one to two objects. */
  const increment = async (client: typeof clients[0], chosen: Oid[]) => {
    await client.sync();
    await using transaction = await client.begin();
    for (const oid of chosen) {
      const revision = await client.load(oid).catch((error) => {
        if (error instanceof POSKeyError) return null;
        throw error;
      });
      const value = revision === null ? 0 : number(revision.data);
      transaction.store(oid, revision?.serial ?? null, bytes(`${value + 1}`));
    }
    await transaction.commit();
    commits++;
    for (const oid of chosen) expected.set(oid, (expected.get(oid) ?? 0) + 1);
  };

  const work = async (client: typeof clients[0], n: number) => {
    while (commits < 100) {
      const first = n++ % oids.length;
      try {
        await increment(
          client,
          oids.filter((_, i) => i === first || i === (first + n) % oids.length),
        );
      } catch (error) {
        if (!(error instanceof POSError)) throw error;
      }
      if (commits < 15 * (cuts + 1) || cuts === 6) continue;
      const links = [...cluster.network.links].filter(({ from }) =>
        from.host.startsWith("10.0.2.")
      );
      links[cuts++ * 5 % links.length]?.cut();
    }
  };
  await Promise.all(clients.flatMap((client, i) => [work(client, i), work(client, i + 2)]));
  for (const client of [...clients, await cluster.connect()]) {
    await client.sync();
    for (const oid of oids) assert.equal(number((await client.load(oid)).data), expected.get(oid));
  }
});
