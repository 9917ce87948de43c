import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import type { Client } from "../../client/mod.ts";
import type { Oid, Tid } from "../../protocol/ids.ts";
import { openDatabase } from "../../storage/database/mod.ts";
import { RealCluster, type RealClusterOptions } from "../client/real_cluster.ts";
import { databaseOptions } from "./database/support.ts";

const OBJECTS = 60;
const REVISIONS = 40;

type OpenDatabase = NonNullable<RealClusterOptions["openDatabase"]>;

/** Runs a test with paths for the databases of storages, and how to open them. */
async function withFiles(
  test: (paths: readonly string[], open: OpenDatabase) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "neo-packs-" });
  try {
    const path = (number: number) => `${folder}/${number}.sqlite`;
    const open = (number: number) => openDatabase("SQLite", databaseOptions(path(number)));
    await test([path(1), path(2)], open);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The committed tables without what is a storage's own affair, like the ids of data. */
function tablesOf(path: string): unknown {
  const db = new DatabaseSync(path);
  try {
    const all = (sql: string) => db.prepare(sql).all().map((row) => Object.values(row));
    return {
      records: all(
        "SELECT partition, oid, CAST(tid AS TEXT), CAST(value_tid AS TEXT), hex(hash), value " +
          "FROM obj LEFT JOIN data ON id = data_id ORDER BY partition, oid, tid",
      ),
      transactions: all("SELECT partition, CAST(tid AS TEXT), oids FROM trans ORDER BY tid"),
      orders: all("SELECT CAST(tid AS TEXT), approved, partial, oids FROM pack ORDER BY tid"),
      completed: all("SELECT partition, CAST(pack AS TEXT) FROM pt WHERE pack IS NOT NULL"),
      orphans: all(
        "SELECT hash FROM data WHERE NOT EXISTS (SELECT 1 FROM obj WHERE data_id = data.id)",
      ),
      unfinished: all("SELECT description FROM ttrans"),
    };
  } finally {
    db.close();
  }
}

/** Many revisions of objects, the last one of every fifth being a deletion. */
async function populate(client: Client): Promise<Oid[]> {
  const oids: Oid[] = [];
  for (let i = 0; i < OBJECTS; i++) oids.push(await client.newOid());
  const serials = new Map<Oid, Tid>();
  for (let revision = 1; revision <= REVISIONS; revision++) {
    await using txn = await client.begin();
    for (const [i, oid] of oids.entries()) {
      const serial = serials.get(oid) ?? null;
      const last = revision === REVISIONS;
      if (last && i % 5 === 0 && serial !== null) await txn.deleteObject(oid, serial);
      else await txn.store(oid, serial, new TextEncoder().encode(`${i} ${revision}`));
    }
    const tid = await txn.commit();
    for (const oid of oids) serials.set(oid, tid);
  }
  return oids;
}

/** Commits until told to stop. */
function keepCommitting(client: Client): () => Promise<void> {
  let stopped = false;
  const run = async () => {
    const oid = await client.newOid();
    for (let serial: Tid | null = null, i = 0; !stopped; i++) {
      await using txn = await client.begin();
      await txn.store(oid, serial, new TextEncoder().encode(`revision ${i}`));
      serial = await txn.commit();
      assert.equal((await client.load(oid)).serial, serial);
    }
  };
  const running = run();
  return async () => {
    stopped = true;
    await running;
  };
}

Deno.test("replicas that pack while clients commit end identical", async () => {
  await withFiles(async (databases, openDatabase) => {
    {
      await using cluster = await RealCluster.start({ openDatabase, delay: 0.1 });
      const client = await cluster.connect();
      const oids = await populate(client);
      const stop = keepCommitting(await cluster.connect());
      const first = (await client.history(oids[1] as Oid, 20)).at(-1);
      assert.ok(first !== undefined);
      const partial = await client.pack(first.tid, { oids: oids.slice(0, 30) });
      const full = await client.pack();
      assert.ok(partial !== null && full !== null);
      await client.waitForPack(full);
      await stop();
      assert.equal((await client.history(oids[1] as Oid)).length, 1);
      await assert.rejects(client.load(oids[0] as Oid), { name: "POSKeyError" });
      const again = await client.pack();
      assert.ok(again !== null);
      await client.waitForPack(again);
    }
    const [one, other] = databases.map(tablesOf);
    assert.deepEqual(one, other);
    const { orphans, unfinished, records } = one as Record<string, unknown[]>;
    assert.deepEqual([orphans, unfinished], [[], []]);
    assert.equal(records?.length, OBJECTS * 4 / 5 + 1);
  });
});

Deno.test("a pack that a stop of the cluster interrupts is finished after the next start", async () => {
  await withFiles(async (databases, openDatabase) => {
    let id: Tid | null = null;
    {
      await using cluster = await RealCluster.start({ openDatabase });
      const client = await cluster.connect();
      await populate(client);
      id = await client.pack();
    }
    assert.ok(id !== null);
    for (const path of databases) {
      const { completed } = tablesOf(path) as { completed: [number, string][] };
      assert.ok(completed.some(([, pack]) => pack !== String(id)), "it is too late to interrupt");
    }
    {
      await using cluster = await RealCluster.start({ openDatabase });
      const client = await cluster.connect();
      await client.waitForPack(id);
    }
    const [one, other] = databases.map(tablesOf);
    assert.deepEqual(one, other);
    const { completed, orphans, records } = one as Record<string, unknown[]>;
    assert.deepEqual(completed, [0, 1, 2].map((partition) => [partition, String(id)]));
    assert.deepEqual(orphans, []);
    assert.equal(records?.length, OBJECTS * 4 / 5);
  });
});
