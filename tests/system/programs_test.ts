/**
 * The programs of the nodes, as operators run them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { connect, POSKeyError, toOid } from "../../client/mod.ts";
import {
  freePort,
  neoctl,
  NodeProcess,
  PERMISSIONS,
  ProcessCluster,
  runTool,
  until,
} from "../support/processes.ts";

type NodeName = keyof typeof PERMISSIONS;

const MAIN: readonly NodeName[] = ["master", "storage", "admin"];

function nodeProcess(node: NodeName, ...args: string[]): NodeProcess {
  return new NodeProcess(node, ["run", ...PERMISSIONS[node], `${node}/main.ts`, ...args]);
}

/** Runs a node that is expected to end by itself. */
async function runNode(node: NodeName, ...args: string[]) {
  const process = nodeProcess(node, ...args).start();
  const { code } = await process.ended();
  return { code, output: process.output };
}

async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Two storages with copies of the same data. */
function replicated(folder: string): ProcessCluster {
  return new ProcessCluster({
    partitions: 4,
    replicas: 1,
    databases: [1, 2].map((n) => ({ adapter: "SQLite", database: `${folder}/${n}.sqlite` })),
  });
}

/** Commits an object. */
async function commit(uri: string, oid: number): Promise<void> {
  await using client = await connect(uri);
  await using txn = await client.begin();
  await txn.store(toOid(oid), null, new TextEncoder().encode(`object ${oid}`));
  await txn.commit();
}

async function table(cluster: ProcessCluster): Promise<string> {
  return (await cluster.neoctl("print", "pt")).stdout;
}

/** Calls with a running cluster; tells what its nodes said if that fails. */
async function withCluster(
  use: (cluster: ProcessCluster, folder: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    await using cluster = replicated(folder).start();
    try {
      await cluster.running();
      await use(cluster, folder);
    } catch (error) {
      console.error(cluster.output());
      throw error;
    }
  });
}

// Command line

for (const program of [...MAIN, "neoctl", "filestorage"]) {
  Deno.test(`${program} --help describes the program on standard output`, async () => {
    const { code, stdout, stderr } = await runTool(
      "--allow-read",
      "--allow-env",
      `${program}/main.ts`,
      "--help",
    );
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^usage: /i);
    assert.match(stdout, /--help/);
  });
}

Deno.test("the nodes of a cluster are described by one configuration file", async () => {
  await withFolder(async (folder) => {
    const [master, admin, storage] = [freePort(), freePort(), freePort()];
    const file = `${folder}/neo.conf`;
    await Deno.writeTextFile(
      file,
      `\
# full-line comments with # or ;
[DEFAULT]
cluster: prod
masters: 127.0.0.1:${master}
partitions: 3
replicas: 1
dir: ${folder}
adapter: SQLite

[master]
bind: 127.0.0.1:${master}
autostart = 2
logfile: %(dir)s/m1.log

[storage1]
database: %(dir)s/1.sqlite
bind: 127.0.0.1:${storage}

[storage2]
database: %(dir)s/2.sqlite

[admin]
bind: 127.0.0.1:${admin}
`,
    );
    const processes = [
      nodeProcess("master", "-f", file),
      nodeProcess("storage", "-f", file, "-s", "storage1"),
      nodeProcess("storage", "--file", file, "--section=storage2"),
      nodeProcess("admin", "-f", file),
    ];
    for (const process of processes) process.start();
    try {
      await commit(`neo://prod@127.0.0.1:${master}`, 1);
      const address = { host: "127.0.0.1", port: admin };
      let stdout = "";
      await until("the admin knows the cluster", async () => {
        stdout = (await neoctl(address, "print", "pt")).stdout;
        return stdout !== "";
      });
      assert.match(stdout, /replicas: 1\nS1 R UUU\nS2 R UUU\n/);
      const nodes = (await neoctl(address, "print", "node", "storage")).stdout;
      assert(nodes.includes(`127.0.0.1:${storage}`), nodes);
      assert((await Deno.stat(`${folder}/m1.log`)).isFile);
    } catch (error) {
      for (const { name, output } of processes) console.error(name, output);
      throw error;
    } finally {
      for (const process of processes) await process.kill();
    }
  });
});

for (const node of MAIN) {
  Deno.test(`${node} tells that its address is in use and exits with 1`, async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const { code, output } = await runNode(
      node,
      ...["--cluster", "test", "--bind", `127.0.0.1:${port}`],
      ...(node === "storage" ? ["--adapter", "SQLite", "--database", ":memory:"] : []),
    );
    assert.equal(code, 1, output);
    assert.match(
      output,
      new RegExp(`^.* ERROR .*can't listen to 127.0.0.1:${port}: .*in use.*\n$`),
    );
  });
}

Deno.test("master remembers masters in a file, and looks for them when it starts again", async () => {
  await withFolder(async (folder) => {
    const list = `${folder}/masters.json`;
    const address = `127.0.0.1:${freePort()}`;
    const options = ["--cluster", "test", "--bind", address, "--dynamic-master-list", list];
    const master = nodeProcess("master", ...options).start();
    const saved = `[["127.0.0.1",${address.split(":")[1]}]]\n`;
    await until("the file is written", async () => {
      try {
        return await Deno.readTextFile(list) === saved;
      } catch {
        return false;
      }
    });
    assert.equal((await master.kill("SIGTERM"))?.code, 0);
    const other = `127.0.0.1:${freePort()}`;
    await Deno.writeTextFile(list, `[["127.0.0.1", ${other.split(":")[1]}]]`);
    const primary = nodeProcess("master", "--cluster", "test", "--bind", other).start();
    const connected = (port: string) => async () =>
      (await runTool(
        ...["--allow-net", "--allow-read", "--allow-env", "neoctl/main.ts", "-a", port],
        ...["print", "node", "master"],
      )).stdout.includes(`${address} | RUNNING`);
    const door = `127.0.0.1:${freePort()}`;
    const admin = nodeProcess("admin", "-c", "test", "-m", other, "-b", door).start();
    try {
      master.start();
      await until("it is a secondary master of the other one", connected(door));
      const ports = [address, other].map((text) => Number(text.split(":")[1])).sort();
      const both = JSON.stringify(ports.map((port) => ["127.0.0.1", port])) + "\n";
      await until("it remembers both", async () => await Deno.readTextFile(list) === both);
    } finally {
      await Promise.all([master, primary, admin].map((process) => process.kill()));
    }
  });
});

// Logs

/** Sends a signal that only has a number. */
async function sendSignal(process: NodeProcess, signal: number): Promise<void> {
  const args = [`-${signal}`, String(process.pid)];
  assert((await new Deno.Command("kill", { args }).output()).success);
}

/** The texts in a log database, which may not be complete yet. */
function texts(path: string): string[] {
  return rows(path, "SELECT msg FROM log ORDER BY date").map(({ msg }) => String(msg));
}

function countPackets(path: string): number {
  return Number(rows(path, "SELECT count(*) AS n FROM packet")[0]?.n ?? 0);
}

function rows(path: string, sql: string): Record<string, unknown>[] {
  let db;
  try {
    db = new DatabaseSync(path, { readOnly: true });
    return db.prepare(sql).all();
  } catch {
    return []; // It is being created or written.
  } finally {
    db?.close();
  }
}

Deno.test("nodes write their logs on signals and warnings, and survive all signals of NEO", async () => {
  await withFolder(async (folder) => {
    const logfile = (name: string) => `${folder}/${name}.log`;
    await using cluster = new ProcessCluster({
      partitions: 1,
      databases: [{ adapter: "SQLite", database: `${folder}/1.sqlite` }],
      extra: (name) => ["--logfile", logfile(name)],
    }).start();
    const { processes } = cluster;
    const names = processes.map(({ name }) => name);
    const everywhere = async (what: string, condition: (name: string) => boolean) => {
      await until(what, () => names.every(condition));
    };
    const signalAll = async (signal: number) => {
      for (const process of processes) await sendSignal(process, signal);
    };
    try {
      await cluster.running();
      const pids = processes.map(({ pid }) => pid);
      for (const process of processes) process.signal("SIGUSR1");
      await everywhere("SIGUSR1 has the logs written", (name) => {
        return countPackets(logfile(name)) > 0 && texts(logfile(name)).length > 0;
      });

      const before = new Map(names.map((name) => [name, countPackets(logfile(name))]));
      await commit(cluster.uri, 1);
      await cluster.neoctl("print", "cluster");
      await signalAll(34);
      await everywhere("SIGRTMIN does", (name) => {
        return countPackets(logfile(name)) > (before.get(name) ?? 0);
      });

      for (const name of names) await Deno.rename(logfile(name), `${logfile(name)}.1`);
      await signalAll(35);
      await everywhere("the logs are opened again", (name) => {
        return exists(logfile(name));
      });
      await signalAll(36);
      await signalAll(37);
      await until("the state of all nodes is in their logs", async () => {
        await signalAll(34);
        return names.every((name) =>
          texts(logfile(name)).some((text) => text.startsWith("State:\n"))
        );
      });
      assert.deepEqual(processes.map(({ pid }) => pid), pids);
      await commit(cluster.uri, 2);

      const written = countPackets(logfile("storage 1"));
      await cluster.master.kill();
      await until("a warning has the log of the storage written", () => {
        return texts(logfile("storage 1")).some((text) => /primary master is lost/.test(text));
      });
      assert(countPackets(logfile("storage 1")) > written);
    } catch (error) {
      console.error(cluster.output());
      throw error;
    }
  });
});

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

// Stopping

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`nodes exit with 0 on ${signal}, and no cell is outdated if the master is first`, async () => {
    await withCluster(async (cluster) => {
      await commit(cluster.uri, 1);
      const before = await table(cluster);
      // Nobody waits for what somebody has left open.
      await using client = await connect(cluster.uri);
      await using txn = await client.begin();
      await txn.store(toOid(2), null, new Uint8Array(1));
      await txn.vote();
      for (const process of cluster.processes) {
        assert.equal((await process.kill(signal))?.code, 0, process.output);
      }
      cluster.start();
      await cluster.running();
      assert.equal(await table(cluster), before);
      await checkObject(cluster, 1);
    });
  });
}

Deno.test("neoctl stops all processes of a cluster, and nothing is outdated", async () => {
  await withCluster(async (cluster) => {
    await commit(cluster.uri, 1);
    const before = await table(cluster);
    assert.match(before, /^# ptid: \d+, replicas: 1\nS1 R UUUU\nS2 R UUUU\n/);
    await cluster.stop();
    cluster.start();
    await cluster.running();
    assert.equal(await table(cluster), before);
    await checkObject(cluster, 1);
  });
});

async function checkObject(cluster: ProcessCluster, oid: number): Promise<void> {
  await using client = await connect(cluster.uri);
  const { data } = await client.load(toOid(oid));
  assert.equal(new TextDecoder().decode(data), `object ${oid}`);
}

// Administration

Deno.test("neoctl kills and drops storages, unless data would be lost", async () => {
  await withCluster(async (cluster) => {
    const order = async (...words: string[]) => {
      const { code, stdout, stderr } = await cluster.neoctl(...words);
      return code === 0 ? stdout : `${code}: ${stderr}`;
    };
    await commit(cluster.uri, 1);
    assert.equal(
      await order("drop", "S2"),
      "1: a running node must be stopped before removal\n",
    );
    assert.equal(await order("kill", "S2"), "state changed\n");
    await until("the storage ends", () => cluster.storages.some((storage) => !storage.running));
    const killed = cluster.storages.find((storage) => !storage.running);
    assert.equal((await killed?.ended())?.code, 0);
    assert.match(await table(cluster), /\nS1 R UUUU\nS2 D OOOO\n/);
    assert.match(
      await order("kill", "S1"),
      /^1: Refuse to drop nodes that contain the only readable copies of partition \d\n/,
    );
    await commit(cluster.uri, 2);

    assert.equal(await order("drop", "S2"), "node permanently removed\n");
    assert.match(await table(cluster), /\nS1 R UUUU\n(?!S2)/);
    await checkObject(cluster, 1);
    await checkObject(cluster, 2);
  });
});

Deno.test("a storage refuses a database that another process uses", async () => {
  await withCluster(async (cluster, folder) => {
    const { code, output } = await runNode(
      "storage",
      ...["--cluster", "test", "--masters", `127.0.0.1:${cluster.masterAddress.port}`],
      ...["--adapter", "SQLite", "--database", `${folder}/1.sqlite`],
    );
    assert.equal(code, 1);
    assert.match(output, /^.* ERROR .*\] database is locked\n$/);
  });
});

Deno.test("the wrong name of a cluster is told to whoever gives it", async () => {
  await withCluster(async (cluster, folder) => {
    await assert.rejects(connect(cluster.uri.replace("test", "other")), {
      name: "NEOStorageError",
      message: /cluster/,
    });
    const master = `127.0.0.1:${cluster.masterAddress.port}`;
    const stranger = nodeProcess(
      "storage",
      ...["--cluster", "other", "--masters", master],
      ...["--adapter", "SQLite", "--database", ":memory:"],
    ).start();
    try {
      await until("the storage says why it does not enter", () => {
        return /WARNING .* master 127.0.0.1:\d+ refuses this node: .*cluster/.test(stranger.output);
      });
    } finally {
      assert.equal((await stranger.kill("SIGTERM"))?.code, 0, stranger.output);
    }
    await cluster.stop();
    const { code, output } = await runNode(
      "storage",
      ...["--cluster", "other", "--masters", master],
      ...["--adapter", "SQLite", "--database", `${folder}/1.sqlite`],
    );
    assert.equal(code, 1);
    assert.match(output, /ERROR .* the database belongs to cluster 'test', not 'other'\n$/);
  });
});

Deno.test("storage --reset erases the database and exits", async () => {
  await withFolder(async (folder) => {
    const databases = [{ adapter: "SQLite", database: `${folder}/1.sqlite` }];
    await using cluster = new ProcessCluster({ partitions: 2, databases }).start();
    await commit(cluster.uri, 1);
    await cluster.running();
    await cluster.stop();
    const { code, output } = await runNode(
      "storage",
      ...["--cluster", "test", "--adapter", "SQLite", "--database", `${folder}/1.sqlite`],
      "--reset",
    );
    assert.deepEqual([code, output], [0, ""]);
    cluster.start();
    await using client = await connect(cluster.uri);
    assert.equal(client.lastTransaction, 0n);
    await assert.rejects(client.load(toOid(1)), POSKeyError);
    await commit(cluster.uri, 1);
  });
});
