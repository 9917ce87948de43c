/**
 * Real storages that are lost and come back while clients commit: they are refilled, and then able to
 * serve alone.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { ProcessCluster, type ProcessClusterOptions, until } from "../support/processes.ts";
import { Workload } from "./workload.ts";

const PARTITIONS = 4;

async function checkRefill(databases: ProcessClusterOptions["databases"]): Promise<void> {
  await using cluster = new ProcessCluster({ partitions: PARTITIONS, replicas: 1, databases })
    .start();
  try {
    await cluster.running();
    await using workload = await Workload.open(cluster.uri, 4);
    workload.start();
    const progress = async (what: string) => {
      const before = workload.acknowledged;
      await until(what, () => workload.acknowledged >= before + 50);
    };
    const upToDate = () =>
      until("all cells are up to date", async () => {
        const { stdout } = await cluster.neoctl("print", "pt");
        return (stdout.match(/U/g)?.length ?? 0) === 2 * PARTITIONS;
      });
    await progress("clients commit");
    for (const [lost, other] of [[0, 1], [1, 0]] as const) {
      await cluster.storages[lost]?.kill();
      await progress("clients commit with one storage");
      cluster.storages[lost]?.start();
      await upToDate();
      await progress("clients commit to both storages");
      // Nothing is read there any more.
      await cluster.storages[other]?.kill();
      await progress("clients commit to the storage that was refilled");
      cluster.storages[other]?.start();
      await upToDate();
    }
    await workload.stop();
    for (const alone of [0, 1]) {
      await cluster.storages[1 - alone]?.kill();
      await workload.check(cluster.uri);
      cluster.storages[1 - alone]?.start();
      await upToDate();
    }
    assert(cluster.storages.every(({ output }) => !/ERROR|CRITICAL/.test(output)), "no error");
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
}

Deno.test("a storage that comes back is refilled while clients commit: SQLite", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await checkRefill(
      ["a", "b"].map((name) => ({ adapter: "SQLite", database: `${folder}/${name}.sqlite` })),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

if (hasMariadb) {
  Deno.test("a storage that comes back is refilled while clients commit: MariaDB", async () => {
    const server = await Mariadb.start();
    try {
      const database = async () => ({
        adapter: "MySQL",
        database: server.address(await server.createDatabase()),
      });
      await checkRefill([await database(), await database()]);
    } finally {
      await server.stop();
    }
  });
}
