/** Operators at work on a cluster of real nodes. */

import assert from "node:assert/strict";
import { type Client, type Tid, toOid } from "../../client/mod.ts";
import { RealCluster } from "../client/real_cluster.ts";
import { openDatabase } from "../../storage/database/mod.ts";
import { databaseOptions } from "../storage/database/support.ts";
import { until } from "../network/support.ts";

async function store(client: Client, number: number, serial: Tid | null, text: string) {
  await using transaction = await client.begin();
  transaction.store(toOid(number), serial, new TextEncoder().encode(text));
  return await transaction.commit();
}

async function load(client: Client, number: number): Promise<string> {
  return new TextDecoder().decode((await client.load(toOid(number))).data ?? new Uint8Array());
}

Deno.test("Operators see a cluster, and change it", async () => {
  await using cluster = await RealCluster.start({ partitions: 3, replicas: 0, storages: 2 });
  await cluster.startAdmin();
  assert.equal(await cluster.neoctl("print cluster"), "RUNNING\n");
  assert.equal(await cluster.neoctl("print primary"), "M1\n");
  const table = "S1 R U.U\nS2 R .U.\n";
  assert.equal(await cluster.neoctl("print pt"), `# ptid: 1, replicas: 0\n${table}`);
  assert.equal(await cluster.neoctl("add all"), "No node added\n");
  cluster.startStorage(3);
  await until(() => cluster.describe().includes("S3"), "the third storage");
  assert.match(await cluster.neoctl("print node storage"), /\nS3 .* \| PENDING \|/);
  assert.equal(await cluster.neoctl("add all"), "Nodes added: S3\n");
  assert.equal(await cluster.neoctl("tweak -n"), "S1 R U.F\nS2 R .U.\nS3 R ..O\n");
  assert.equal(await cluster.neoctl("tweak S3"), "No change done.\n");
  assert.equal(await cluster.neoctl("set replicas 1"), "\n");
  assert.equal(
    await cluster.neoctl("print pt"),
    `# ptid: 2, replicas: 1\n${table}S3 R ...\n`,
  );
  assert.match(
    await cluster.neoctl("print summary"),
    /^# \{"warning": \[null\]\}\nRUNNING; UP_TO_DATE=3; MISSING=3; ltid=/,
  );
  assert.equal(await cluster.neoctl("set replicas 0"), "\n");
  assert.equal(
    await cluster.neoctl("kill S1"),
    "Refuse to drop nodes that contain the only readable copies of partition 0\n",
  );
  assert.equal(await cluster.neoctl("drop S3"), "a running node must be stopped before removal\n");
  assert.equal(await cluster.neoctl("kill S3"), "state changed\n");
  assert.equal(await cluster.neoctl("tweak"), "tweak: down nodes must be listed explicitly\n");
  assert.equal(await cluster.neoctl("drop S3"), "state changed\n");
  assert.equal(await cluster.neoctl("tweak"), "No change done.\n");
  assert.equal(await cluster.neoctl("check 7:"), "there is no partition 7\n");
  assert.equal(await cluster.neoctl("check :"), "");
  assert.equal(await cluster.neoctl("prune_orphan 1 S9"), "invalid storage node S9\n");
  assert.equal(await cluster.neoctl("flush_log"), "");
});

Deno.test("Operators truncate a database, and clients go on from there", async () => {
  await using cluster = await RealCluster.start({ partitions: 3, replicas: 1, storages: 2 });
  await cluster.startAdmin();
  const client = await cluster.connect();
  const first = await store(client, 1, null, "one");
  const second = await store(client, 1, first, "two");
  await store(client, 2, null, "three");
  assert.match(await cluster.neoctl("truncate tid:1"), /^Truncating before first transaction/);
  const order = `truncate tid:${first}`;
  assert.equal(await cluster.neoctl(order, { wait: true }), "");
  assert.match(
    await cluster.neoctl("print ids"),
    new RegExp(`^last_oid = 0x1\nlast_tid = 0x${first.toString(16)} `),
  );
  assert.equal(await cluster.neoctl(order), "Truncating after last transaction does nothing\n");
  const other = await cluster.connect();
  assert.equal(await load(other, 1), "one");
  await assert.rejects(other.load(toOid(2)));
  const third = await store(other, 1, first, "again");
  assert(third > second, "tids are not used again");
  assert.equal(await load(other, 1), "again");
});

/** A storage with a database in a file. */
function on(path: string) {
  return { openDatabase: () => openDatabase("SQLite", databaseOptions(path)) };
}

Deno.test("A storage on the copy of a database becomes another node", async () => {
  const folder = await Deno.makeTempDir({ prefix: "neo-clone-" });
  const [database, copy] = [`${folder}/original.sqlite`, `${folder}/copy.sqlite`];
  try {
    await using cluster = await RealCluster.start({ partitions: 2, replicas: 0, storages: 0 });
    cluster.startStorage(1, on(database));
    await cluster.startAdmin();
    while (await cluster.neoctl("start", { wait: true }) !== "Cluster state changed\n");
    const first = await store(await cluster.connect(), 1, null, "one");
    await cluster.stopStorage(1);
    await Deno.copyFile(database, copy);
    cluster.startStorage(1, on(database));
    await until(() => cluster.describe().includes(", RUNNING\n"), "the cluster runs again");
    await store(await cluster.connect(), 1, first, "two");

    await cluster.startStorage(2, { ...on(copy), newNid: true });
    assert.match(await cluster.neoctl("print node storage"), /\nS2 \| STORAGE \| +\| DOWN /);
    assert.equal(await cluster.neoctl("print pt"), "# ptid: 2, replicas: 0\nS1 R UU\nS2 D OO\n");
    assert.equal(await cluster.neoctl("tweak"), "tweak: down nodes must be listed explicitly\n");
    assert.equal(await cluster.neoctl("tweak S2"), "No change done.\n");
    cluster.startStorage(2, on(copy));
    await until(() => cluster.describe().includes("ready: [1,2]"), "the copy operates");
    await cluster.neoctl("set replicas 1");
    assert.equal(await cluster.neoctl("tweak"), "No change done.\n", "it has all it needs");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
