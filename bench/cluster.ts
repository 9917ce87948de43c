/**
 * What a cluster of real processes does, seen from its clients.
 *
 * @module
 */

import { type Client, connect } from "../client/mod.ts";
import type { Oid } from "../protocol/ids.ts";
import { ProcessCluster, type ProcessClusterOptions } from "../tests/support/processes.ts";
import { measureApi } from "./api.ts";
import { median, rate } from "./measure.ts";
import type { RawLimits } from "./raw.ts";
import type { Figure } from "./report.ts";

/** Objects that are read. */
const OBJECTS = 20_000;
/** Length of an object, in bytes. */
const LENGTH = 300;
const CLIENTS = 16;

/** A cache that keeps nothing, so that each load asks a storage. */
const NO_CACHE = { cacheSize: 0 };

function randomData(length = LENGTH): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

async function populate(client: Client): Promise<Oid[]> {
  const oids: Oid[] = [];
  while (oids.length < OBJECTS) {
    await using txn = await client.begin();
    for (let i = 0; i < 1000; i++) {
      const oid = await client.newOid();
      oids.push(oid);
      await txn.store(oid, null, randomData());
    }
    await txn.commit();
  }
  return oids;
}

async function commitOne(client: Client): Promise<void> {
  await using txn = await client.begin();
  await txn.store(await client.newOid(), null, randomData());
  await txn.commit();
}

/** Measures one kind of database. */
export async function measureCluster(
  backend: string,
  databases: ProcessClusterOptions["databases"],
  raw: RawLimits,
  echo: number,
): Promise<Figure[]> {
  const isSqlite = backend === "SQLite";
  const figures: Figure[] = [];
  await using cluster = new ProcessCluster({ partitions: 12, databases }).start();
  {
    await using client = await connect(cluster.uri, NO_CACHE);
    const oids = await populate(client);
    const load = (n: number) => client.load(oids[n * 7919 % OBJECTS] ?? oids[0] as Oid);

    figures.push({
      backend,
      what: "sequential load",
      value: await median(load),
      unit: "µs",
      raw: { what: "echo + point read", value: echo + raw.read },
      ...isSqlite && { target: { atMost: 4 } },
    });
    figures.push({
      backend,
      what: "loads, 64 in flight",
      value: await rate(64, (_, n) => load(n)),
      unit: "/s",
      raw: { what: "point reads", value: raw.reads },
      ...isSqlite && { target: { atLeast: 0.25 } },
    });
    figures.push({
      backend,
      what: "one-object commit",
      value: await median(() => commitOne(client)),
      unit: "µs",
      raw: { what: "5 echoes + 2 durable commits", value: 5 * echo + 2 * raw.commit },
      ...isSqlite && { target: { atMost: 2 } },
    });
    figures.push({
      backend,
      what: "100-object transaction",
      value: await median(async () => {
        await using txn = await client.begin();
        for (let i = 0; i < 100; i++) await txn.store(await client.newOid(), null, randomData());
        await txn.commit();
      }),
      unit: "µs",
      raw: { what: "5 echoes + 2 durable commits", value: 5 * echo + 2 * raw.commit },
    });
    const one = await rate(1, () => commitOne(client));
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => connect(cluster.uri, NO_CACHE)),
    );
    figures.push({
      backend,
      what: `commits with ${CLIENTS} clients`,
      value: await rate(CLIENTS, async (index) => {
        const own = clients[index];
        if (own !== undefined) await commitOne(own);
      }),
      unit: "/s",
      raw: { what: "commits of one client", value: one },
      ...isSqlite && { target: { atLeast: 6 } },
    });
    await Promise.all(clients.map((own) => own.close()));
    figures.push(...await measureApi({ backend, uri: cluster.uri, oids, raw, echo }));
  }
  for (const process of cluster.processes) {
    figures.push({
      backend,
      what: `memory of ${process.name}`,
      value: await process.memory() / 2 ** 20,
      unit: "MiB",
    });
  }
  return figures;
}
