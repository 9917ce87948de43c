/**
 * Every process of a cluster is killed in turn while clients commit.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ProcessCluster, type ProcessClusterOptions, until } from "../support/processes.ts";
import { hasMariadb, Mariadb } from "../support/mariadb.ts";
import { Workload } from "./workload.ts";

const CLIENTS = 8;
const STORAGES = 3;
const ROUNDS = 2;

async function killEverythingInTurn(
  databases: ProcessClusterOptions["databases"],
): Promise<void> {
  await using cluster = new ProcessCluster({ partitions: 6, replicas: 1, databases }).start();
  try {
    await using workload = await Workload.open(cluster.uri, CLIENTS);
    workload.start();
    const progress = async (what: string) => {
      const before = workload.acknowledged;
      await until(what, () => workload.acknowledged >= before + 3 * CLIENTS);
    };
    await progress("clients commit");
    for (let round = 1; round <= ROUNDS; round++) {
      for (const process of [...cluster.storages, cluster.master, cluster.admin]) {
        await process.kill("SIGKILL");
        process.start();
        await progress(`clients commit again after ${process.name} was killed (round ${round})`);
      }
    }
    await workload.stop();
    const { code, stdout } = await cluster.neoctl("print", "cluster");
    assert.deepEqual([code, stdout], [0, "RUNNING\n"]);
    await workload.check(cluster.uri);
    assert(workload.acknowledged > 100);
  } catch (error) {
    console.error(cluster.output());
    throw error;
  }
}

Deno.test("a cluster on SQLite loses nothing when each of its processes is killed", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await killEverythingInTurn(
      Array.from({ length: STORAGES }, (_, index) => ({
        adapter: "SQLite",
        database: `${folder}/${index + 1}.sqlite`,
      })),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

if (hasMariadb) {
  Deno.test("a cluster on MariaDB loses nothing when each of its processes is killed", async () => {
    const server = await Mariadb.start();
    try {
      const databases = [];
      for (let number = 1; number <= STORAGES; number++) {
        const database = server.url(await server.createDatabase());
        databases.push({ adapter: "MySQL", database });
      }
      await killEverythingInTurn(databases);
    } finally {
      await server.stop();
    }
  });
}
