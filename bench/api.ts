/**
 * The rest of the storage API, seen from clients: history, undo, snapshots, listings, and commits that
 * conflict.
 *
 * @module
 */

import { type Client, type ConflictResolver, connect, type Oid, type Tid } from "../client/mod.ts";
import { median, rate } from "./measure.ts";
import type { RawLimits } from "./raw.ts";
import type { Figure } from "./report.ts";

/** Objects that are loaded in one call. */
const PREFETCHED = 1000;
/** Revisions of the object whose history is asked. */
const REVISIONS = 10;
/** Clients that change the same objects. */
const CLIENTS = 8;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const count = (data: Uint8Array | null) => Number(decoder.decode(data ?? encoder.encode("0")));
const addUp: ConflictResolver = ({ oldData, newData, committedData }) =>
  encoder.encode(`${count(committedData) + count(newData) - count(oldData)}`);

/** A cluster to measure. */
export interface Site {
  readonly backend: string;
  readonly uri: string;
  /** Objects that exist. */
  readonly oids: readonly Oid[];
  readonly raw: RawLimits;
  /** Microseconds of a round trip. */
  readonly echo: number;
}

async function store(client: Client, oid: Oid, text: string): Promise<Tid> {
  const serial = await client.getTid(oid).catch(() => null);
  await using txn = await client.begin({ description: "bench" });
  await txn.store(oid, serial, encoder.encode(text));
  return await txn.commit();
}

/** Adds one to counters, in the order given. */
async function increment(client: Client, oids: readonly Oid[]): Promise<void> {
  const snapshot = client.snapshot();
  await using txn = await client.begin({ resolveConflict: addUp });
  for (const oid of oids) {
    const { data, serial } = await snapshot.load(oid);
    await txn.store(oid, serial, encoder.encode(`${count(data) + 1}`));
  }
  await txn.commit();
}

/** Things done per second, when each call does many. */
async function rateOf(many: () => Promise<number>): Promise<number> {
  await many();
  let done = 0;
  const start = performance.now();
  while (performance.now() - start < 2000) done += await many();
  return done / (performance.now() - start) * 1000;
}

async function measureReads(client: Client, { backend, oids, raw, echo }: Site): Promise<Figure[]> {
  const figures: Figure[] = [];
  const [old] = oids;
  if (old === undefined) throw new Error("there are no objects");
  const before = client.snapshot();
  for (let i = 0; i < REVISIONS; i++) await store(client, old, `revision ${i}`);

  figures.push({
    backend,
    what: "load from a snapshot",
    value: await median(() => before.load(old)),
    unit: "µs",
    raw: { what: "echo + point read", value: echo + raw.read },
  });
  let start = 0;
  figures.push({
    backend,
    what: "prefetch, 1000 objects a call",
    value: await rateOf(async () => {
      start = (start + PREFETCHED) % (oids.length - PREFETCHED);
      await client.prefetch(oids.slice(start, start + PREFETCHED));
      return PREFETCHED;
    }),
    unit: "/s",
    raw: { what: "point reads", value: raw.reads },
  });
  figures.push({
    backend,
    what: "history, 10 revisions",
    value: await median(() => client.history(old, REVISIONS)),
    unit: "µs",
    raw: { what: "2 echoes + 11 point reads", value: 2 * echo + (REVISIONS + 1) * raw.read },
  });
  figures.push({
    backend,
    what: "undo log, 20 transactions",
    value: await median(() => client.undoLog()),
    unit: "µs",
    raw: { what: "3 echoes + 32 point reads", value: 3 * echo + 32 * raw.read },
  });
  const all = await rateOf(async () => (await Array.fromAsync(client.oids())).length);
  figures.push({
    backend,
    what: "listing of oids",
    value: all,
    unit: "/s",
    raw: { what: "point reads", value: raw.reads },
  });
  figures.push({
    backend,
    what: "iteration, records",
    value: await rateOf(async () => {
      let records = 0;
      for await (const transaction of client.iterator({ stop: before.tid })) {
        for await (const _ of transaction.records()) if (++records >= 5000) return records;
      }
      return records;
    }),
    unit: "/s",
    raw: { what: "point reads", value: raw.reads },
  });
  return figures;
}

async function measureWrites(client: Client, { backend, uri, raw, echo }: Site): Promise<Figure[]> {
  const figures: Figure[] = [];
  const undoable = await client.newOid();
  let last = await store(client, undoable, "0");
  for (let i = 1; i < 3; i++) last = await store(client, undoable, `${i}`);
  figures.push({
    backend,
    what: "undo of one object",
    value: await median(async () => {
      // Undoing the last undo each time: there and back again.
      await using txn = await client.begin();
      await txn.undo(last);
      last = await txn.commit();
    }),
    unit: "µs",
    raw: { what: "9 echoes + 2 durable commits", value: 9 * echo + 2 * raw.commit },
  });

  const counters = [await client.newOid(), await client.newOid()];
  for (const oid of counters) await store(client, oid, "0");
  const one = await rate(1, () => increment(client, counters.slice(0, 1)));
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => connect(uri, { cacheSize: 1 << 20 })),
  );
  const together = (oidsOf: (caller: number) => Oid[]) =>
    rate(CLIENTS, async (caller) => {
      const own = clients[caller];
      if (own !== undefined) await increment(own, oidsOf(caller));
    });
  figures.push({
    backend,
    what: `${CLIENTS} clients, one counter`,
    value: await together(() => counters.slice(0, 1)),
    unit: "/s",
    raw: { what: "commits of one client", value: one },
  });
  figures.push({
    backend,
    what: `${CLIENTS} clients, two counters in opposite orders`,
    value: await together((caller) => caller % 2 === 0 ? counters : counters.toReversed()),
    unit: "/s",
    raw: { what: "commits of one client", value: one },
  });
  await Promise.all(clients.map((own) => own.close()));
  return figures;
}

/** Measures a cluster that has some thousands of objects. */
export async function measureApi(site: Site): Promise<Figure[]> {
  await using client = await connect(site.uri, { cacheSize: 0 });
  return [...await measureReads(client, site), ...await measureWrites(client, site)];
}
