/**
 * The migration tool, run like an operator does, between files of ZODB and clusters of processes.
 *
 * @module
 */

import { deepEqual, equal, match, notEqual, rejects } from "node:assert/strict";
import { type Client, connect, type Tid, toTid } from "../../client/mod.ts";
import { FileStorageReader, NeoDestination } from "../../filestorage/mod.ts";
import {
  type DumpedTransaction,
  dumpFile,
  fixture,
  oidOf,
  patched,
  transaction,
  withFolder,
} from "../filestorage/support.ts";
import { withCredentials } from "../network/certificates.ts";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import {
  freePort,
  NodeProcess,
  ProcessCluster,
  type ProcessClusterOptions,
  until,
} from "../support/processes.ts";
import { pythonWithZodb, run } from "../support/python.ts";

const ZODB_SCRIPT = new URL("../filestorage/make_data_fs.py", import.meta.url).pathname;
const SITE_SCRIPT = new URL("make_site_fs.py", import.meta.url).pathname;

/** Arguments of `deno run` for the tool: those of its task. */
const TASK: string[] = JSON.parse(
  await Deno.readTextFile(new URL("../../deno.json", import.meta.url)),
).tasks.migrate.command.split(" ").slice(1);

interface Outcome {
  readonly code: number;
  readonly output: string;
}

function start(...args: string[]): NodeProcess {
  const [run = "", ...rest] = TASK;
  return new NodeProcess("migrate", [run, "--no-prompt", ...rest, ...args]).start();
}

async function migrate(...args: string[]): Promise<Outcome> {
  const tool = start(...args);
  const { code } = await tool.ended();
  return { code, output: tool.output };
}

/** Runs the tool, which must succeed, and returns what it says. */
async function succeed(...args: string[]): Promise<string> {
  const { code, output } = await migrate(...args);
  equal(code, 0, output);
  return output;
}

/** Runs the tool, which must fail. */
async function fail(code: number, message: RegExp, ...args: string[]): Promise<void> {
  const outcome = await migrate(...args);
  match(outcome.output, message);
  equal(outcome.code, code, outcome.output);
  // A stack would be of no help to anybody.
  equal(/^ +at /m.test(outcome.output), false, outcome.output);
}

/** Runs a test with an empty cluster of two storages on SQLite, and a folder. */
async function withCluster(
  test: (cluster: ProcessCluster, folder: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const databases = ["1", "2"].map((name) => ({
      adapter: "SQLite",
      database: `${folder}/${name}.sqlite`,
    }));
    await onCluster(databases, (cluster) => test(cluster, folder));
  });
}

async function onCluster(
  databases: ProcessClusterOptions["databases"],
  test: (cluster: ProcessCluster) => Promise<void>,
): Promise<void> {
  await using cluster = new ProcessCluster({ partitions: 5, databases }).start();
  try {
    await test(cluster);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
}

/** What ZODB iterates in a file; our own reader is trusted where there is no ZODB. */
async function zodbDump(path: string): Promise<DumpedTransaction[]> {
  const python = await pythonWithZodb();
  if (python === null) return await dumpFile(path);
  return JSON.parse(await run(python, ZODB_SCRIPT, "dump", path));
}

async function equalFiles(a: string, b: string): Promise<void> {
  await run("cmp", a, b);
}

/**
 * What a cluster gives back: the last record of each object, without the mark of a pack. Data is not
 * shared with a revision that had several records, as it may be that of another one.
 */
function asKept(transactions: DumpedTransaction[]): DumpedTransaction[] {
  const repeated = new Set<string>();
  return transactions.map((transaction) => {
    const last = new Map<string, DumpedTransaction["records"][number]>();
    for (const { dataTid, ...record } of transaction.records) {
      if (last.has(record.oid)) repeated.add(`${record.oid}@${transaction.tid}`);
      const shared = repeated.has(`${record.oid}@${dataTid}`) ? null : dataTid;
      last.set(record.oid, { ...record, dataTid: shared });
    }
    return { ...transaction, status: " ", records: [...last.values()] };
  });
}

/** Into a cluster and back, with everything compared on the way. */
async function roundTrip(cluster: ProcessCluster, folder: string, original: string) {
  const imported = await succeed("--verify", original, cluster.uri);
  match(imported, /^compared .*: no difference$/m);
  const copy = `${folder}/copy.fs`;
  const exported = await succeed("--verify", cluster.uri, copy);
  match(exported, /^compared .*: no difference$/m);
  return { imported, copy };
}

for (const name of ["history", "small", "empty"] as const) {
  Deno.test(`migrate carries ${name}.fs into a cluster and back without changing a byte`, async () => {
    await withCluster(async (cluster, folder) => {
      const original = `${folder}/original.fs`;
      // What a crash leaves at the end is not part of the history.
      const content = await fixture(name);
      const tail = name === "history" ? content.subarray(4, 104) : new Uint8Array(0);
      await Deno.writeFile(original, content);
      await Deno.writeFile(original, tail, { append: true });
      const { imported, copy } = await roundTrip(cluster, folder, original);
      equal(/the last 100 bytes are ignored/.test(imported), name === "history");
      equal((await Deno.readFile(copy)).toHex(), content.toHex());
      equal((await Deno.readFile(original)).length, content.length + tail.length);
      deepEqual(await zodbDump(copy), await dumpFile(original));
    });
  });
}

Deno.test("migrate says which transactions lost the mark of a pack, and keeps the rest", async () => {
  await withCluster(async (cluster, folder) => {
    const original = `${folder}/original.fs`;
    await Deno.writeFile(original, await fixture("packed"));
    const { imported, copy } = await roundTrip(cluster, folder, original);
    match(imported, /^warning: \d+ transactions are marked as packed: .* can not keep the mark$/m);
    const expected = await zodbDump(original);
    notEqual(expected.filter(({ status }) => status === "p").length, 0);
    deepEqual(await zodbDump(copy), asKept(expected));
    await fail(1, /status is " " on the left, "p" on the right/, "--verify-only", copy, original);
    await succeed("--verify-only", "--ignore", "status", copy, original);
  });
});

Deno.test("migrate keeps the last of several records of an object, and says so", async () => {
  await withCluster(async (cluster, folder) => {
    const original = `${folder}/original.fs`;
    await Deno.writeFile(original, await fixture("duplicates"));
    const { imported, copy } = await roundTrip(cluster, folder, original);
    match(imported, /has several records of oid 0000000000000001: only the last one counts/);
    deepEqual(await zodbDump(copy), asKept(await zodbDump(original)));
  });
});

Deno.test("migrate continues the copy of a large site after it was interrupted and killed", async () => {
  const python = await pythonWithZodb();
  if (python === null) return;
  await withCluster(async (cluster, folder) => {
    const original = `${folder}/original.fs`;
    const copy = `${folder}/copy.fs`;
    await run(python, SITE_SCRIPT, original);
    using reader = await FileStorageReader.open(original);
    const { transactionCount, recordCount } = reader;

    await using client = await connect(cluster.uri);
    const importUntil = async (fraction: number, signal: Deno.Signal) => {
      const tool = start(original, cluster.uri);
      const count = Math.ceil(transactionCount * (1 - fraction));
      await until("there is enough", async () => {
        await client.sync();
        return client.lastTransaction >= reader.tidFromEnd(count);
      });
      const status = await tool.kill(signal);
      return { code: status?.code, output: tool.output };
    };
    const interrupted = await importUntil(0.3, "SIGINT");
    equal(interrupted.code, 1);
    match(
      interrupted.output,
      /^warning: stopped near .*: to continue, run the same command again/m,
    );
    match(interrupted.output, /^migrate: error: stopped by SIGINT$/m);
    await importUntil(0.7, "SIGKILL");
    const output = await succeed("--verify", original, cluster.uri);
    match(output, /^copied \d+ transactions, .*, continuing after [0-9a-f]{16}$/m);
    const compared = `compared ${transactionCount} transactions, ${recordCount} records`;
    match(output, new RegExp(`^${compared}: no difference$`, "m"));

    const exporting = start(cluster.uri, copy);
    await until("a part is there", async () => await sizeOf(copy) > 20_000_000);
    await exporting.kill("SIGKILL");
    match(await succeed(cluster.uri, copy), /, continuing after [0-9a-f]{16}$/m);
    await equalFiles(original, copy);
    deepEqual(await zodbDump(copy), await dumpFile(original));
  });
});

async function sizeOf(path: string): Promise<number> {
  return await Deno.stat(path).then(({ size }) => size, () => 0);
}

Deno.test("migrate refuses to mix two databases, and finds what differs", async () => {
  await withCluster(async (cluster, folder) => {
    const path = (name: string) => `${folder}/${name}.fs`;
    const history = await fixture("history");
    await Deno.writeFile(path("history"), history);
    await Deno.writeFile(path("small"), await fixture("small"));
    await Deno.writeFile(path("blob"), await fixture("blob"));
    await fail(1, /is a blob/, path("blob"), path("copy"));
    await succeed(path("history"), cluster.uri);
    match(await succeed(path("history"), cluster.uri), /^copied 0 transactions/m);

    const other = /is not empty, and is not the beginning of/;
    await fail(1, other, path("small"), cluster.uri);
    await fail(1, other, cluster.uri, path("small"));
    await fail(1, other, path("small"), path("history"));

    // One byte of the data of an object.
    const at = history.length - 10;
    await Deno.writeFile(path("changed"), patched(history, at, [(history[at] ?? 0) ^ 1]));
    const difference = /: data is 7 bytes .* on the left, 7 bytes .* on the right\n.*1 differences/;
    await fail(1, difference, "--verify-only", path("changed"), cluster.uri);
    await fail(1, other, path("changed"), cluster.uri);
    await succeed("-q", "--verify-only", path("history"), cluster.uri);
  });
});

Deno.test("migrate says what is wrong with its arguments, and why it waits", async () => {
  await withCluster(async (cluster, folder) => {
    const file = `${folder}/small.fs`;
    await Deno.writeFile(file, await fixture("small"));
    await fail(2, /the name of the cluster is missing/, file, "neo://127.0.0.1:1");
    await fail(2, /2 arguments|SOURCE and DESTINATION are expected/, file);
    await fail(1, /missing\.fs does not exist/, `${folder}/missing.fs`, cluster.uri);
    await fail(1, /missing\/copy\.fs/, file, `${folder}/missing/copy.fs`);
    const misnamed = cluster.uri.replace(cluster.name, "other");
    await fail(1, /refuses this client: .*invalid cluster name/, file, misnamed);
    await fail(
      1,
      /certificate authority \/missing/,
      file,
      `${cluster.uri}?ca=/missing&cert=b&key=c`,
    );

    const port = freePort();
    const tool = start(file, `neo://test@127.0.0.1:${port}`);
    await until(
      "it says why it waits",
      () =>
        new RegExp(`waiting for cluster "test" at 127.0.0.1:${port}: .*refused`).test(tool.output),
    );
    equal((await tool.kill("SIGTERM"))?.code, 1);
    match(tool.output, /^migrate: error: stopped by SIGTERM$/m);
  });
});

Deno.test("migrate talks TLS to clusters that do", async () => {
  await withCredentials(async (_, keys) => {
    await withFolder(async (folder) => {
      const files = [
        "--ca",
        `${keys}/ca.crt`,
        "--cert",
        `${keys}/node.crt`,
        "--key",
        `${keys}/node.key`,
      ];
      const databases = [{ adapter: "SQLite", database: `${folder}/1.sqlite` }];
      await using cluster = new ProcessCluster({ databases, extra: files }).start();
      const [original, copy] = [`${folder}/original.fs`, `${folder}/copy.fs`];
      await Deno.writeFile(original, await fixture("small"));
      await succeed(...files, original, cluster.uri);
      const query = `?ca=${keys}/ca.crt&cert=${keys}/node.crt&key=${keys}/node.key`;
      await succeed(cluster.uri.replace("neo:", "neos:") + query, copy);
      await equalFiles(original, copy);
    });
  });
});

/** Two clients: one that imports, one that should not do anything. */
async function withTwoClients(
  test: (destination: NeoDestination, other: Client) => Promise<void>,
): Promise<void> {
  await withCluster(async (cluster) => {
    await using other = await connect(cluster.uri);
    const destination = new NeoDestination(await connect(cluster.uri));
    try {
      await test(destination, other);
    } finally {
      await destination.close();
    }
  });
}

Deno.test("NeoDestination tells when somebody else commits or is about to", async () => {
  await withTwoClients(async (destination, other) => {
    await destination.write(transaction(10, [[1, "a"]]));
    await destination.sync();
    {
      await using begun = await other.begin();
      await rejects(
        destination.write(transaction(20, [[1, "b"]])),
        /does not begin transaction 0000000000000014: .*in progress.* nobody else may commit/s,
      );
      await begun.store(oidOf(2), null, new Uint8Array(1));
      await begun.commit();
    }
    await rejects(destination.sync(), /somebody else committed transaction/);
    await rejects(destination.write(transaction(20, [])), /somebody else committed transaction/);
  });
});

Deno.test("NeoDestination keeps the order of records, and data whose hint leads nowhere", async () => {
  await withTwoClients(async (destination, other) => {
    const big = "b".repeat(1_000_000);
    // Those that are stored first are acknowledged last.
    await destination.write(transaction(10, [[6, big], [1, big], [3, "c"], [2, "d"], [5, "e"]]));
    await destination.write(transaction(20, [[1, big, 10], [3, "c", 15], [7, "g", 10], [2, null]]));
    await destination.sync();
    const [, second] = await destination.lastTransactions(10);
    deepEqual((await other.transactionInformation(tidOf(10))).oids, [6n, 1n, 3n, 2n, 5n]);
    deepEqual(
      await Array.fromAsync(second?.records() ?? [], ({ oid, data, dataTid }) => [
        ...[oid, data?.length, dataTid],
      ]),
      [[1n, 1_000_000, 10n], [3n, 1, null], [7n, 1, null], [2n, undefined, null]],
    );
  });
});

function tidOf(number: number): Tid {
  return toTid(number);
}

if (hasMariadb) {
  Deno.test("migrate carries files into a cluster on MariaDB and back", async () => {
    const python = await pythonWithZodb();
    if (python === null) return;
    const server = await Mariadb.start();
    try {
      const database = async () => server.address(await server.createDatabase());
      const databases = [
        { adapter: "MySQL", database: await database() },
        { adapter: "MySQL", database: await database() },
      ];
      await withFolder(async (folder) => {
        await run(python, ZODB_SCRIPT, "make", folder);
        await onCluster(databases, async (cluster) => {
          const { copy } = await roundTrip(cluster, folder, `${folder}/large.fs`);
          await equalFiles(`${folder}/large.fs`, copy);
        });
      });
    } finally {
      await server.stop();
    }
  });
}
