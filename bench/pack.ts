/**
 * What a pack costs the clients that commit meanwhile.
 *
 * @module
 */

import { type Client, connect } from "../client/mod.ts";
import type { Oid, Tid } from "../protocol/ids.ts";
import { ProcessCluster, type ProcessClusterOptions } from "../tests/support/processes.ts";
import type { Figure } from "./report.ts";

const OBJECTS = 20_000;
/** Revisions of each object. All but one are packed. */
const REVISIONS = 10;
/** Length of an object, in bytes. */
const LENGTH = 300;
const CLIENTS = 8;
/** Objects of a transaction that fills the database. */
const BATCH = 1000;
/** Milliseconds of commits before what is measured, and then before the pack and after it. */
const WARM_UP = 1000;
const USUAL = 3000;

function randomData(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(LENGTH));
}

async function populate(client: Client): Promise<void> {
  const oids: Oid[] = [];
  for (let i = 0; i < OBJECTS; i++) oids.push(await client.newOid());
  const serials = new Map<Oid, Tid>();
  for (let revision = 0; revision < REVISIONS; revision++) {
    for (let i = 0; i < OBJECTS; i += BATCH) {
      const batch = oids.slice(i, i + BATCH);
      await using txn = await client.begin();
      for (const oid of batch) await txn.store(oid, serials.get(oid) ?? null, randomData());
      const tid = await txn.commit();
      for (const oid of batch) serials.set(oid, tid);
    }
  }
}

/** Clients that commit all the time, each in a loop of its own. */
class Workload {
  #stopped = false;
  #times: number[] = [];
  readonly #running: Promise<void>[];

  constructor(clients: readonly Client[]) {
    this.#running = clients.map((client) => this.#run(client));
  }

  async #run(client: Client): Promise<void> {
    while (!this.#stopped) {
      const start = performance.now();
      await using txn = await client.begin();
      await txn.store(await client.newOid(), null, randomData());
      await txn.commit();
      this.#times.push((performance.now() - start) * 1000);
    }
  }

  /** The durations of commits since the last call, in microseconds. */
  take(): number[] {
    const times = this.#times;
    this.#times = [];
    return times;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1] ?? NaN;
}

const delay = (milliseconds: number) =>
  new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** Measures one kind of database. */
export async function measurePack(
  backend: string,
  databases: ProcessClusterOptions["databases"],
): Promise<Figure[]> {
  await using cluster = new ProcessCluster({ partitions: 12, databases }).start();
  await using client = await connect(cluster.uri);
  await populate(client);
  const last = client.lastTransaction;
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(cluster.uri)));
  const workload = new Workload(clients);
  await delay(WARM_UP);
  workload.take();
  await delay(USUAL);
  const usual = workload.take();
  const start = performance.now();
  const id = await client.pack(last);
  if (id === null) throw new Error("there is nothing to pack");
  await client.waitForPack(id);
  const seconds = (performance.now() - start) / 1000;
  const during = workload.take();
  await delay(USUAL);
  // Whatever else goes on, it changes with time.
  usual.push(...workload.take());
  await workload.stop();
  await Promise.all(clients.map((one) => one.close()));
  return [
    {
      backend,
      what: `commit, ${CLIENTS} clients, during a pack`,
      value: median(during),
      unit: "µs",
      raw: { what: "the same before and after", value: median(usual) },
      target: { atMost: 2 },
    },
    {
      backend,
      what: "revisions packed meanwhile",
      value: OBJECTS * (REVISIONS - 1) / seconds,
      unit: "/s",
    },
  ];
}
