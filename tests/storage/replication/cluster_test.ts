/** Whole clusters whose storages come and go while clients commit: copies end up identical. */

import assert from "node:assert/strict";
import { type Client, ConflictError, type Oid, type Tid, toOid } from "../../../client/mod.ts";
import { MAX_TID, ZERO_OID, ZERO_TID } from "../../../protocol/ids.ts";
import { type Database, openDatabase } from "../../../storage/database/mod.ts";
import { RealCluster } from "../../client/real_cluster.ts";
import { until } from "../../network/support.ts";
import { databaseOptions } from "../database/support.ts";

const PARTITIONS = 3;
/** Counters that all clients increment, so that they conflict. */
const COUNTERS = 3;

/** Clients that increment counters, and write objects of their own. */
class Increments {
  /** Increments that were acknowledged, or whose outcome is not known. */
  acknowledged = 0;
  unknown = 0;
  conflicts = 0;
  #stopped = false;
  #running: Promise<void>[] = [];

  constructor(readonly clients: readonly Client[]) {}

  start(): void {
    this.#running = this.clients.map((client, index) => this.#run(client, index));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #run(client: Client, index: number): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      let finishing = false;
      try {
        await using txn = await client.begin();
        for (const oid of [toOid(n % COUNTERS), toOid(100 + index * 10 + n % 10)]) {
          const { value, serial } = await read(client, oid);
          await txn.store(oid, serial, new TextEncoder().encode(String(value + 1)));
        }
        await txn.vote();
        finishing = true;
        await txn.commit();
        this.acknowledged++;
      } catch (error) {
        if (error instanceof ConflictError) this.conflicts++;
        else if (finishing) this.unknown++;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  }

  /** Waits until some more were acknowledged. */
  async progress(count = 30): Promise<void> {
    const before = this.acknowledged;
    await until(() => this.acknowledged >= before + count, "clients commit");
  }

  async check(client: Client): Promise<void> {
    const { acknowledged } = this;
    await client.sync();
    let sum = 0;
    for (let n = 0; n < COUNTERS; n++) sum += (await read(client, toOid(n))).value;
    assert.ok(sum >= acknowledged, `${sum} increments of ${acknowledged} remain`);
    const inProgress = this.#stopped ? 0 : this.clients.length;
    const most = this.acknowledged + this.unknown + inProgress;
    assert.ok(sum <= most, `${sum} increments of at most ${most}`);
  }
}

async function read(client: Client, oid: Oid): Promise<{ value: number; serial: Tid | null }> {
  try {
    const { data, serial } = await client.load(oid);
    return { value: Number(new TextDecoder().decode(data)), serial };
  } catch (error) {
    if (error instanceof Error && error.name.startsWith("NEO")) return { value: 0, serial: null };
    if (error instanceof Error && error.name === "POSKeyError") return { value: 0, serial: null };
    throw error;
  }
}

/** Everything that a cell has. */
async function contents(database: Database, partition: number): Promise<unknown[]> {
  const all: unknown[] = [];
  for (const tid of await database.tidsFrom(partition, ZERO_TID, MAX_TID, 1e6)) {
    all.push(await database.transaction(tid));
  }
  const first = { tid: ZERO_TID, oid: ZERO_OID };
  for (const { tid, oid } of await database.cells.records(partition, first, MAX_TID, 1e6)) {
    all.push({ oid, ...await database.object(oid, tid, null) });
  }
  return all;
}

interface Scenario {
  readonly cluster: RealCluster;
  readonly increments: Increments;
  /** Waits until a storage has all its cells up to date. */
  refilled(number: number): Promise<void>;
  /** Waits until a storage receives data. */
  refilling(number: number): Promise<void>;
  connect(): Promise<Client>;
}

/** Runs a cluster where each storage has a copy of everything. */
async function withCluster(
  storages: number,
  test: (scenario: Scenario) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "neo-storage-" });
  try {
    await using cluster = await RealCluster.start({
      partitions: PARTITIONS,
      replicas: storages - 1,
      storages,
      delay: () => Math.random(),
      openDatabase: (n) => openDatabase("SQLite", databaseOptions(`${folder}/${n}.sqlite`)),
    });
    const clients = await Promise.all([0, 1, 2].map(() => cluster.connect()));
    const increments = new Increments(clients);
    increments.start();
    const logged = (number: number, pattern: RegExp) =>
      cluster.storageLogs[number - 1]?.lines.some((line) => pattern.test(line)) ?? false;
    const readable = (number: number) => {
      const database = cluster.databases[number - 1];
      // Before the operation, it believes what it had saved.
      return logged(number, /INFO operational/) && Array.from({ length: PARTITIONS }, (_, p) => p)
        .every((partition) => database?.isReadable(partition));
    };
    await test({
      cluster,
      increments,
      refilled: (number) => until(() => readable(number), `storage ${number} is up to date`),
      refilling: (number) =>
        until(() => logged(number, /replicating from/), `storage ${number} receives data`),
      connect: () => cluster.connect({ cacheSize: 0 }),
    });
    await increments.stop();
    await increments.check(await cluster.connect({ cacheSize: 0 }));
    const [first, ...others] = cluster.databases;
    assert.ok(first !== undefined && others.length === storages - 1);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const expected = await contents(first, partition);
      assert.ok(expected.length > 0);
      for (const other of others) assert.deepEqual(await contents(other, partition), expected);
    }
    const errors = cluster.logs.flatMap(({ lines }) => lines).filter((l) => l.startsWith("ERROR"));
    assert.deepEqual(errors, []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes many objects, that need several chunks. */
async function writeMuch(client: Client): Promise<void> {
  for (let n = 0; n < 40; n++) {
    await using txn = await client.begin();
    for (let i = 0; i < 100; i++) {
      await txn.store(toOid(10_000 + 100 * n + i), null, new Uint8Array(1000).fill(n));
    }
    await txn.commit();
  }
}

Deno.test("a storage that comes back is identical to others while clients commit", async () => {
  await withCluster(2, async ({ cluster, increments, refilled, connect }) => {
    await increments.progress();
    for (const [lost, other] of [[1, 2], [2, 1]] as const) {
      await cluster.stopStorage(lost);
      await increments.progress();
      cluster.startStorage(lost);
      await refilled(lost);
      await increments.progress();
      // Everything is read from the one that was refilled.
      await cluster.stopStorage(other);
      await increments.progress();
      await increments.check(await connect());
      cluster.startStorage(other);
      await refilled(other);
    }
    assert.ok(increments.conflicts > 0, "clients conflict");
  });
});

Deno.test("a storage that missed the deletion of objects, and then a pack, forgets them", async () => {
  await withCluster(2, async ({ cluster, increments, refilled, connect }) => {
    const client = await connect();
    const store = async (oid: Oid, serial: Tid | null, data: string | null) => {
      await using txn = await client.begin();
      if (data === null) await txn.deleteObject(oid, serial);
      else await txn.store(oid, serial, new TextEncoder().encode(data));
      return await txn.commit();
    };
    const oids = [1000, 1001, 1002].map(toOid);
    const serials = new Map<Oid, Tid>();
    for (const oid of oids) serials.set(oid, await store(oid, await store(oid, null, "a"), "b"));
    await cluster.stopStorage(2);
    for (const oid of oids) await store(oid, serials.get(oid) ?? null, null);
    await client.sync();
    const order = await client.pack();
    assert.ok(order !== null);
    await client.waitForPack(order);
    await increments.progress();
    cluster.startStorage(2);
    await refilled(2);
    const packed = async () =>
      (await cluster.databases[1]?.completedPacks())?.map(({ pack }) => pack);
    assert.deepEqual(await packed(), Array(PARTITIONS).fill(order));
    for (const oid of oids) assert.equal(await cluster.databases[1]?.lastSerial(oid), null);
    assert.deepEqual(
      cluster.storageLogs[1]?.lines.filter((line) => /pack .* starts/.test(line)),
      [],
    );
  });
});

Deno.test("a storage is refilled by another one when its source is lost", async () => {
  await withCluster(3, async ({ cluster, increments, refilled, refilling, connect }) => {
    await cluster.stopStorage(3);
    await writeMuch(await connect());
    cluster.startStorage(3);
    await refilling(3);
    const text = cluster.storageLogs[2]?.lines.join() ?? "";
    const source = Number(/replicating from S(\d)/.exec(text)?.[1]);
    await cluster.stopStorage(source);
    await refilled(3);
    await increments.progress();
    cluster.startStorage(source);
    await refilled(source);
  });
});

Deno.test("a storage that is lost while it is refilled goes on when it comes back", async () => {
  await withCluster(2, async ({ cluster, increments, refilled, refilling, connect }) => {
    await cluster.stopStorage(2);
    await writeMuch(await connect());
    for (let round = 0; round < 2; round++) {
      cluster.startStorage(2);
      await refilling(2);
      await cluster.stopStorage(2);
      await increments.progress(5);
    }
    cluster.startStorage(2);
    await refilled(2);
    await increments.progress();
  });
});

Deno.test("partitions that move to a new storage are filled there, and deleted where they were", async () => {
  const partitions = 4;
  await using cluster = await RealCluster.start({ partitions, replicas: 0, storages: 1 });
  await cluster.startAdmin();
  const client = await cluster.connect({ cacheSize: 0 });
  await writeMuch(client);
  const increments = new Increments([client]);
  increments.start();
  cluster.startStorage(2);
  await until(
    () => /S2.*PENDING|PENDING.*S2/s.test(cluster.describe()),
    "another storage is there",
  );
  await cluster.neoctl("add all");
  await cluster.neoctl("tweak");
  const assigned = (number: number) => {
    const database = cluster.databases[number - 1];
    return Array.from({ length: partitions }, (_, p) => p)
      .filter((partition) => database?.isReadable(partition));
  };
  await until(() => assigned(1).length === 2 && assigned(2).length === 2, "two partitions moved");
  await increments.progress();
  await increments.stop();
  await increments.check(await cluster.connect({ cacheSize: 0 }));
  const [first, second] = cluster.databases;
  assert.ok(first !== undefined && second !== undefined);
  await until(() => first.cells.discarded.length === 0, "moved partitions are deleted");
  for (const partition of assigned(2)) {
    assert.deepEqual(await contents(first, partition), []);
    assert.ok((await contents(second, partition)).length > 0);
  }
  assert.deepEqual((await first.cells.orphans(-1n)).orphans, []);
});
