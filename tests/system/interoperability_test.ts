/**
 * Our nodes as processes, and nodes in Python that were written from the description of the protocol
 * alone: each side is what the other one has to get along with.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ConflictError, connect, NEOStorageError, type Oid, type Tid } from "../../client/mod.ts";
import type { Address } from "../../protocol/nodes.ts";
import { freePort, NodeProcess, PERMISSIONS, ProcessCluster, until } from "../support/processes.ts";
import { pythonWithMsgpack } from "../support/python.ts";
import { LivingPeer, runPeer } from "./peers/peers.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;
const RECORDINGS = ["main", "deadlock", "masters", "verify", "backup", "maint"]
  .map((name) => `${FIXTURES}conversations/${name}.jsonl`);
const CLUSTER = "test";

/** What a test is given; it is thrown away afterwards. */
interface Scene {
  readonly python: string;
  readonly folder: string;
}

/** Runs a test with a Python that has msgpack, if there is one. */
function peerTest(name: string, test: (scene: Scene) => Promise<void>): void {
  Deno.test(name, async () => {
    const python = await pythonWithMsgpack();
    if (python === null) return;
    const folder = await Deno.makeTempDir();
    try {
      await test({ python, folder });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** A running cluster of two storages. */
async function withCluster(
  { folder }: Scene,
  options: { partitions: number; replicas: number },
  test: (cluster: ProcessCluster) => Promise<void>,
): Promise<void> {
  const databases = [1, 2].map((n) => ({ adapter: "SQLite", database: `${folder}/${n}.sqlite` }));
  await using cluster = new ProcessCluster({ name: CLUSTER, databases, ...options }).start();
  try {
    {
      await using client = await connect(cluster.uri);
      await client.connected({ signal: AbortSignal.timeout(60_000) });
    }
    await test(cluster);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
}

/** The command line of one of our nodes, after the name of the program. */
function nodeArgs(
  node: keyof typeof PERMISSIONS,
  masters: string,
  bind: Address,
  ...args: string[]
): string[] {
  const address = `${bind.host}:${bind.port}`;
  return [
    "run",
    ...PERMISSIONS[node],
    new URL(`../../${node}/main.ts`, import.meta.url).pathname,
    "--cluster",
    CLUSTER,
    ...node === "master" ? [] : ["--masters", masters],
    "--bind",
    address,
    ...args,
  ];
}

function anyPort(): Address {
  return { host: "127.0.0.1", port: freePort() };
}

async function listening({ name }: NodeProcess, { host, port }: Address): Promise<void> {
  await until(`the ${name} listens`, async () => {
    try {
      (await Deno.connect({ hostname: host, port })).close();
      return true;
    } catch {
      return false;
    }
  });
}

peerTest("the messages of recorded nodes are those that peers accept", async ({ python }) => {
  await runPeer(python, "wire_check.py", `${FIXTURES}vectors.txt`, ...RECORDINGS);
});

peerTest("clients and tools of another make get along with a cluster", async (scene) => {
  await withCluster(scene, { partitions: 4, replicas: 1 }, async (cluster) => {
    const { python } = scene;
    const { masterAddress: master, adminAddress: admin } = cluster;
    // First, as it counts on oids that nobody else was given.
    const [recording = ""] = RECORDINGS;
    const end = "pack to now, waiting for it";
    await runPeer(python, "replay.py", master, CLUSTER, recording, end);
    await runPeer(python, "client_scenarios.py", master, CLUSTER);
    await runPeer(python, "ctl.py", admin);
    await runPeer(python, "ctl.py", admin, "stop");
    for (const process of cluster.processes) {
      assert.equal((await process.ended()).code, 0, `${process.name} stops`);
    }
  });
});

peerTest("clients that lock each other out are told what recorded ones were", async (scene) => {
  await withCluster(scene, { partitions: 2, replicas: 0 }, async ({ masterAddress }) => {
    const [, recording = ""] = RECORDINGS;
    await runPeer(scene.python, "replay.py", masterAddress, CLUSTER, recording);
  });
});

peerTest("an admin that has no master says so to tools", async ({ python }) => {
  const address = anyPort();
  const admin = new NodeProcess("admin", nodeArgs("admin", "127.0.0.1:1", address)).start();
  try {
    await listening(admin, address);
    await runPeer(python, "ctl.py", address, "alone");
  } finally {
    await admin.kill();
  }
});

peerTest("a storage is led through its life by a master of another make", async (scene) => {
  await runPeer(
    scene.python,
    "master.py",
    CLUSTER,
    Deno.execPath(),
    ...nodeArgs("storage", "{masters}", anyPort()),
    "--adapter",
    "SQLite",
    "--database",
    `${scene.folder}/1.sqlite`,
  );
});

peerTest("a master finds out from its storages what to commit", async ({ python }) => {
  const address = anyPort();
  const master = new NodeProcess("master", nodeArgs("master", "", address)).start();
  try {
    await listening(master, address);
    await runPeer(python, "verification.py", address, CLUSTER);
  } catch (error) {
    console.error(master.output);
    throw error;
  } finally {
    await master.kill();
  }
});

peerTest("a client and an admin get along with a master of another make", async ({ python }) => {
  await using peer = new LivingPeer(python, "one_node_cluster.py", CLUSTER);
  try {
    await until("the cluster listens", () => peer.said("listening"));
    const masters = `127.0.0.1:${peer.events[0]?.port}`;
    await useAsClient(masters, peer);
    await useAsAdmin(masters, peer);
    peer.check();
  } catch (error) {
    console.error(String(peer));
    throw error;
  }
});

async function useAsClient(masters: string, peer: LivingPeer): Promise<void> {
  await using client = await connect(`neo://${CLUSTER}@${masters}`);
  const encoder = new TextEncoder();
  const oid = await client.newOid();
  let serial: Tid | null = null;
  const commit = async (description: string) => {
    await using transaction = await client.begin({ user: "alice", description });
    await transaction.store(oid, serial, encoder.encode(description.repeat(20)));
    serial = await transaction.commit();
    return serial;
  };
  const loaded = async () => new TextDecoder().decode((await client.load(oid)).data);
  await commit("first");
  assert.equal(await loaded(), "first".repeat(20));
  await commit("lose the answer");
  assert(peer.said("final tid asked"), "the client asks what became of its transaction");
  assert.equal((await client.load(oid)).serial, serial);
  assert.equal(await loaded(), "lose the answer".repeat(20));
  await assert.rejects(commit("lose the request"), NEOStorageError);
  assert.equal(await loaded(), "lose the answer".repeat(20));

  const invalidated: (readonly Oid[])[] = [];
  using _listening = client.listen({ invalidate: (_tid, oids) => invalidated.push([...oids]) });
  const { serial: before } = await client.load(oid);
  serial = before;
  const committed = await commit("compete");
  await until("the client is told about the other transaction", () => invalidated.length > 0);
  assert.deepEqual(invalidated, [[oid]]);
  assert.equal(await loaded(), "competition");
  await assert.rejects(commit("too late"), ConflictError);
  await until("the transaction was aborted", () => peer.said("aborted"));
  const { serial: current } = await client.load(oid);
  assert.deepEqual((await client.history(oid, 2)).map(({ tid }) => tid), [current, committed]);

  const other = await client.newOid();
  {
    await using transaction = await client.begin();
    await transaction.store(other, null, encoder.encode("other"));
    await transaction.checkCurrentSerial(oid, current);
    serial = await transaction.commit();
  }
  {
    await using transaction = await client.begin();
    await transaction.deleteObject(other, serial);
    await transaction.commit();
  }
  await assert.rejects(client.load(other));
}

async function useAsAdmin(masters: string, peer: LivingPeer): Promise<void> {
  const address = anyPort();
  const admin = new NodeProcess("admin", nodeArgs("admin", masters, address)).start();
  try {
    await until("the admin is accepted", () => peer.said("admin"));
    const neoctl = async (...command: string[]) => {
      const process = new NodeProcess("neoctl", [
        ...["run", "--allow-net", "--allow-read", "--allow-env"],
        new URL("../../neoctl/main.ts", import.meta.url).pathname,
        ...["-a", `${address.host}:${address.port}`, ...command],
      ]).start();
      const { code } = await process.ended();
      return { code, output: process.output };
    };
    await until("the admin knows the state", async () => {
      return (await neoctl("print", "cluster")).output.includes("RUNNING");
    });
    const { output } = await neoctl("print", "ids");
    assert.match(output, /last_tid = 0x[0-9a-f]+/);
    assert.match((await neoctl("print", "node")).output, /STORAGE/);
    const denied = await neoctl("check", ":");
    assert.notEqual(denied.code, 0);
    assert.match(denied.output, /no CheckReplicas here/);
    await neoctl("flush_log");
    await until("the order to flush logs is forwarded", () => peer.said("flush"));
  } catch (error) {
    console.error(admin.output);
    throw error;
  } finally {
    await admin.kill();
  }
}

peerTest("a storage of another make is a replica, and may die", async ({ python, folder }) => {
  const address = anyPort();
  const masters = `${address.host}:${address.port}`;
  const master = new NodeProcess("master", [
    ...nodeArgs("master", masters, address),
    ...["--partitions", "4", "--replicas", "1"],
  ]);
  const storage = new NodeProcess("storage", [
    ...nodeArgs("storage", masters, anyPort()),
    ...["--adapter", "SQLite", "--database", `${folder}/1.sqlite`],
  ]);
  const nodes = [master.start(), storage.start()];
  try {
    await listening(master, address);
    await using peer = new LivingPeer(python, "storage.py", address, CLUSTER);
    await using admin = new LivingPeer(python, "admin.py", address, CLUSTER, "2");
    await until("the cluster runs", () => admin.said("running") && peer.said("operational"));

    await using client = await connect(`neo://${CLUSTER}@${masters}`);
    const contents = new Map<Oid, { data: Uint8Array; serial: Tid }>();
    const commit = async (oid: Oid) => {
      const data = crypto.getRandomValues(new Uint8Array(300)).fill(7, 100);
      await using transaction = await client.begin({ description: "mixed" });
      await transaction.store(oid, contents.get(oid)?.serial ?? null, data);
      contents.set(oid, { data, serial: await transaction.commit() });
    };
    const check = async () => {
      await using other = await connect(`neo://${CLUSTER}@${masters}`);
      for (const [oid, { data, serial }] of contents) {
        assert.deepEqual(await other.load(oid), { data, serial, next: null });
      }
    };
    const oids: Oid[] = [];
    for (let i = 0; i < 12; i++) oids.push(await client.newOid());
    for (const oid of oids) await commit(oid);
    for (const oid of oids) await commit(oid);
    await until("both storages have been read", async () => {
      await check();
      return peer.said("loaded") && peer.said("committed");
    });
    const first = oids.slice(0, 1);
    for (const oid of first) {
      const { serial } = contents.get(oid) ?? {};
      assert.deepEqual((await client.history(oid, 2)).map(({ tid }) => tid)[0], serial);
      await using transaction = await client.begin();
      await transaction.deleteObject(oid, contents.get(oid)?.serial ?? null);
      await transaction.commit();
      contents.delete(oid);
    }
    let transactions = 0;
    for await (const _ of client.iterator()) transactions++;
    assert.equal(transactions, 2 * oids.length + 1);

    peer.check();
    const nid = peer.events.find(({ event }) => event === "identified")?.nid;
    await peer.kill();
    for (const oid of oids.slice(1)) await commit(oid);
    await check();
    await until("the lost cells are out of date", () => {
      admin.check();
      const table = admin.events.findLast(({ event }) => event === "table");
      if (table === undefined) return false;
      assert(Array.isArray(table.rows));
      return table.rows.every((row) => row[String(nid)] === "OUT_OF_DATE");
    });
    // Another one is not part of the cluster until somebody wants it.
    await using late = new LivingPeer(python, "storage.py", address, CLUSTER);
    await until("another storage waits", () => late.said("pending"));
    await check();
    late.check();
    admin.check();
  } catch (error) {
    for (const { name, output } of nodes) console.error(`--- ${name}\n${output}`);
    throw error;
  } finally {
    await Promise.all(nodes.map((node) => node.kill()));
  }
});
