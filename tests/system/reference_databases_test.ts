/**
 * A cluster on databases that another implementation wrote and left with a voted transaction.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { type Client, connect, hexId, toOid, toTid } from "../../client/mod.ts";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { ProcessCluster, type ProcessClusterOptions, until } from "../support/processes.ts";

const FIXTURES = new URL("../fixtures/databases/", import.meta.url).pathname;

/** What a client must see: bytes as hexadecimal digits. */
interface Expected {
  readonly last_tid: string;
  readonly transactions: readonly {
    readonly tid: string;
    readonly user: string;
    readonly description: string;
    readonly extension_bytes: string;
    readonly records: readonly {
      readonly oid: string;
      readonly data: { readonly sha1: string; readonly len: number } | null;
    }[];
  }[];
}

async function readAll(client: Client): Promise<Expected> {
  const transactions: Expected["transactions"][number][] = [];
  for await (const transaction of client.iterator()) {
    const records: Expected["transactions"][number]["records"][number][] = [];
    for await (const { oid, data } of transaction.records()) {
      const sha1 = (data: Uint8Array) => createHash("sha1").update(data).digest("hex");
      records.push({
        oid: hexId(oid),
        data: data === null ? null : { sha1: sha1(data), len: data.byteLength },
      });
    }
    transactions.push({
      tid: hexId(transaction.tid),
      user: transaction.user.toHex(),
      description: transaction.description.toHex(),
      extension_bytes: transaction.extension.toHex(),
      records,
    });
  }
  return inOrder({ last_tid: hexId(client.lastTransaction), transactions });
}

/** The order of records means nothing. */
function inOrder({ last_tid, transactions }: Expected): Expected {
  return {
    last_tid,
    transactions: transactions.map((transaction) => ({
      ...transaction,
      records: transaction.records.toSorted((a, b) => a.oid < b.oid ? -1 : 1),
    })),
  };
}

async function expected(file: string): Promise<Expected> {
  return inOrder(JSON.parse(await Deno.readTextFile(FIXTURES + file)));
}

function sampleCluster(databases: ProcessClusterOptions["databases"]): ProcessCluster {
  // The cluster knows its numbers of partitions and replicas.
  return new ProcessCluster({ name: "sample", partitions: 100, databases });
}

/** The tables of a storage, to be compared. */
interface Content {
  readonly schema: unknown;
  readonly config: unknown;
  /** Partition, node and state. */
  readonly cells: unknown;
  /** Number of transactions that are voted. */
  readonly voted: unknown;
}

/**
 * Starts a cluster of two storages, reads all, commits, and checks what is left in the databases.
 *
 * @param content reads the database of a storage that does not run.
 */
async function serve(
  databases: ProcessClusterOptions["databases"],
  file: string,
  content: (storage: number) => Content | Promise<Content>,
): Promise<void> {
  const before = [await content(0), await content(1)];
  assert.deepEqual(before.map(({ voted }) => voted), [1, 1]);
  await using cluster = sampleCluster(databases).start();
  try {
    const history = await expected(file);
    const oid = toOid(1);
    let added;
    {
      await using client = await connect(cluster.uri);
      assert.deepEqual(await readAll(client), history);
      assert.equal(await client.newOid(), 11n);

      await using txn = await client.begin({ user: "é", description: "ours" });
      await txn.store(oid, await client.getTid(oid), new TextEncoder().encode("ours".repeat(99)));
      const tid = await txn.commit();
      assert(tid > toTid(BigInt(`0x${history.last_tid}`)));
      const all = await readAll(client);
      assert.deepEqual(all.transactions.slice(0, -1), history.transactions);
      added = all.transactions.at(-1);
      assert.equal(added?.tid, hexId(tid));
      assert.deepEqual([added?.user, added?.description], ["c3a9", "6f757273"]);
    }
    await cluster.running();
    await cluster.stop();
    for (const [storage, { schema, config, cells }] of before.entries()) {
      assert.deepEqual(await content(storage), { schema, config, cells, voted: 0 });
    }

    cluster.start();
    await using client = await connect(cluster.uri);
    assert.deepEqual((await readAll(client)).transactions, [...history.transactions, added]);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
}

/** Starts a cluster without its second storage, as an operator may. */
async function serveHalf(
  databases: ProcessClusterOptions["databases"],
  file: string,
): Promise<void> {
  await using cluster = sampleCluster(databases.slice(0, 1)).start();
  try {
    await until("neoctl starts the cluster", async () => {
      const { code, stdout } = await cluster.neoctl("start");
      return code === 0 && stdout === "Cluster state changed\n";
    });
    await using client = await connect(cluster.uri);
    assert.deepEqual(await readAll(client), await expected(file));
    const { stdout } = await cluster.neoctl("print", "pt");
    assert.match(stdout, /\nS1 R UUU\nS2 D OOO\n/);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
}

/** Calls with copies of the SQLite databases. */
async function withSqlite(use: (paths: readonly string[]) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const paths = [1, 2].map((number) => `${folder}/refdb${number}.sqlite`);
    for (const path of paths) {
      await Deno.copyFile(path.replace(folder, FIXTURES), path);
    }
    await use(paths);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function sqliteContent(path: string): Content {
  const db = new DatabaseSync(path);
  try {
    const rows = (sql: string) => db.prepare(sql).all().map((row) => Object.values(row));
    return {
      schema: rows("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"),
      config: rows("SELECT name, value FROM config ORDER BY name"),
      cells: rows("SELECT partition, nid, tid FROM pt ORDER BY partition, nid"),
      voted: rows("SELECT count(*) FROM ttrans")[0]?.[0],
    };
  } finally {
    db.close();
  }
}

const sqlite = (database: string) => ({ adapter: "SQLite", database });

Deno.test("a cluster serves SQLite databases of another implementation", async () => {
  await withSqlite(async (paths) => {
    await serve(
      paths.map(sqlite),
      "expected-sqlite.json",
      (storage) => sqliteContent(paths[storage] ?? ""),
    );
  });
});

Deno.test("a cluster serves a SQLite database of another implementation without its replica", async () => {
  await withSqlite((paths) => serveHalf(paths.map(sqlite), "expected-sqlite.json"));
});

if (hasMariadb) {
  Deno.test("a cluster serves MariaDB databases of another implementation", async () => {
    const server = await Mariadb.start();
    try {
      const names: string[] = [];
      for (const number of [1, 2]) {
        const name = await server.createDatabase();
        await server.load(name, `${FIXTURES}refdb${number}.sql`);
        names.push(name);
      }
      await serve(
        names.map((name) => ({ adapter: "MySQL", database: server.address(name) })),
        "expected-mariadb.json",
        (storage) => mariadbContent(server, names[storage] ?? ""),
      );
    } finally {
      await server.stop();
    }
  });
}

async function mariadbContent(server: Mariadb, name: string): Promise<Content> {
  const schema: unknown[] = [];
  for (const [table] of await server.query("SHOW TABLES", name)) {
    const [[, sql] = []] = await server.query(`SHOW CREATE TABLE ${table}`, name);
    schema.push(String(sql).replace(/ AUTO_INCREMENT=\d+/, ""));
  }
  return {
    schema,
    config: await server.query("SELECT name, value FROM config ORDER BY name", name),
    cells: await server.query("SELECT `partition`, nid, tid FROM pt ORDER BY 1, 2", name),
    voted: Number((await server.query("SELECT count(*) FROM ttrans", name))[0]?.[0]),
  };
}
