/**
 * Adding a storage to a cluster that has data, while nobody commits and while a client does.
 *
 * @module
 */

import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { type Client, connect } from "../client/mod.ts";
import { silentLog } from "../network/log.ts";
import { realEnvironment } from "../network/real.ts";
import { runCommand } from "../neoctl/run.ts";
import { ProcessCluster, type ProcessClusterOptions, until } from "../tests/support/processes.ts";
import type { Figure } from "./report.ts";

const PARTITIONS = 12;
/** Of the transactions that fill the cluster. */
const OBJECTS = 100;
const LENGTH = 2000;
/** Records copied at once. */
const CHUNK = 1000;
/** Commits that are measured while nothing is replicated, before it and after it. */
const COMMITS = 300;
/** Milliseconds that replication may take in all. */
const PATIENCE = 1_800_000;

/** What to measure. */
export interface ReplicationSettings {
  readonly backend: string;
  /** Of three storages: the one that has the data, and those that are added. */
  readonly databases: ProcessClusterOptions["databases"];
  /** Of data, in the first storage. */
  readonly megabytes: number;
  /** Copies what is in the first database as fast as it can, in MB/s. */
  readonly copy?: (database: string) => number;
}

async function commit(client: Client, objects: number): Promise<void> {
  await using txn = await client.begin();
  for (let i = 0; i < objects; i++) {
    await txn.store(await client.newOid(), null, crypto.getRandomValues(new Uint8Array(LENGTH)));
  }
  await txn.commit();
}

function medianOf(times: number[]): number {
  return times.sort((a, b) => a - b)[times.length >> 1] ?? NaN;
}

/** Commits one object after the other, as long as a condition holds. Returns microseconds. */
async function commitWhile(client: Client, condition: (n: number) => boolean): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; condition(n); n++) {
    const start = performance.now();
    await commit(client, 1);
    times.push((performance.now() - start) * 1000);
  }
  return times;
}

/** What an operator does with the cluster. */
class Operator {
  readonly #env = realEnvironment({ log: silentLog });
  readonly #cluster: ProcessCluster;

  constructor(cluster: ProcessCluster) {
    this.#cluster = cluster;
  }

  async #neoctl(...words: string[]): Promise<string> {
    const endpoint = { address: this.#cluster.adminAddress, timeout: 60 };
    const { status, stdout, stderr } = await runCommand(this.#env, endpoint, words);
    if (status !== 0) throw new Error(`neoctl ${words.join(" ")}: ${stderr}`);
    return stdout;
  }

  async #storage(state: string): Promise<string | undefined> {
    const nodes = await this.#neoctl("print", "node", "storage");
    return new RegExp(`^(S\\d+) .*\\| +${state} `, "m").exec(nodes)?.[1];
  }

  /** Adds the storage that was just started. Resolves when replication has been asked for. */
  async add(): Promise<void> {
    let name: string | undefined;
    await until("it is there", async () => (name = await this.#storage("PENDING")) !== undefined);
    if (name !== undefined) await this.#neoctl("add", name);
    await this.#neoctl("tweak");
  }

  /** Drops the storage that was just killed. */
  async drop(): Promise<void> {
    let name: string | undefined;
    await until("it is lost", async () => (name = await this.#storage("DOWN")) !== undefined);
    if (name !== undefined) await this.#neoctl("drop", name);
  }

  /** Waits until all cells have their copy. */
  async replicated(): Promise<void> {
    await until("all cells are up to date", async () => {
      const table = await this.#neoctl("print", "pt");
      return table.match(/U/g)?.length === 2 * PARTITIONS;
    }, PATIENCE);
  }
}

/** Measures one kind of database. */
export async function measureReplication(
  { backend, databases, megabytes, copy }: ReplicationSettings,
): Promise<Figure[]> {
  await using cluster = new ProcessCluster({
    partitions: PARTITIONS,
    replicas: 1,
    databases,
    autostart: 1,
  });
  const [source, first, second] = cluster.storages;
  const [database] = databases;
  if (source === undefined || first === undefined || second === undefined) {
    throw new Error("three databases are needed");
  }
  for (const process of [cluster.master, cluster.admin, source]) process.start();
  await cluster.running();
  const operator = new Operator(cluster);
  await using client = await connect(cluster.uri);
  const transactions = Math.ceil(megabytes * 1e6 / OBJECTS / LENGTH);
  for (let n = 0; n < transactions; n++) await commit(client, OBJECTS);
  const speed = (start: number) => megabytes * 1000 / (performance.now() - start);

  first.start();
  await operator.add();
  let start = performance.now();
  await operator.replicated();
  const alone = speed(start);

  const quiet = await commitWhile(client, (n) => n < COMMITS);
  await first.kill();
  await operator.drop();
  second.start();
  await operator.add();
  start = performance.now();
  let loaded = 0;
  const replicated = operator.replicated().then(() => loaded = speed(start));
  const busy = await commitWhile(client, () => loaded === 0);
  await replicated;
  quiet.push(...await commitWhile(client, (n) => n < COMMITS));
  await source.kill();
  return [
    {
      backend,
      what: `adding a storage, ${megabytes} MB`,
      value: alone,
      unit: "MB/s",
      ...copy && database && {
        raw: { what: "copy from database to database", value: copy(database.database) },
      },
    },
    {
      backend,
      what: "adding a storage while a client commits",
      value: loaded,
      unit: "MB/s",
      raw: { what: "while nobody does", value: alone },
    },
    {
      backend,
      what: "one-object commit, 2 replicas, meanwhile",
      value: medianOf(busy),
      unit: "µs",
      raw: { what: "the same before and after", value: medianOf(quiet) },
      target: { atMost: 2 },
    },
  ];
}

/** Copies all records of a SQLite database to another one. Returns MB/s of data. */
export function copySqlite(from: string): number {
  const options = { readBigInts: true, returnArrays: true } as object;
  const [source, target] = [new DatabaseSync(from, options), new DatabaseSync(`${from}-copy`)];
  target.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  const tables = source.prepare(
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'index'",
  ).all() as unknown as string[][];
  for (const [sql] of tables) target.exec(sql ?? "");
  const select = source.prepare(
    "SELECT o.partition, o.oid, o.tid, o.data_id, o.value_tid, d.hash, d.compression, d.value " +
      "FROM obj o JOIN data d ON d.id = o.data_id WHERE o.partition = ? AND (o.tid, o.oid) > (?, ?) " +
      "ORDER BY o.tid, o.oid LIMIT ?",
  );
  const insertObject = target.prepare("INSERT INTO obj VALUES (?, ?, ?, ?, ?)");
  const insertData = target.prepare("INSERT INTO data VALUES (?, ?, ?, ?)");
  let bytes = 0;
  const start = performance.now();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    let last: SQLInputValue[] = [-1, -1];
    for (;;) {
      const rows = select.all(partition, ...last, CHUNK) as unknown as SQLInputValue[][];
      target.exec("BEGIN");
      for (
        const [part, oid, tid, id, valueTid, hash, compression, value] of rows as [
          number,
          bigint,
          bigint,
          bigint,
          bigint | null,
          Uint8Array,
          bigint,
          Uint8Array,
        ][]
      ) {
        insertData.run(id, hash, compression, value);
        insertObject.run(part, oid, tid, id, valueTid);
        bytes += value.length;
        last = [tid, oid];
      }
      target.exec("COMMIT");
      if (rows.length < CHUNK) break;
    }
  }
  const seconds = (performance.now() - start) / 1000;
  source.close();
  target.close();
  return bytes / seconds / 1e6;
}
