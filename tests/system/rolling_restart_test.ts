/**
 * All nodes are restarted one by one, as `neoctl` advises, while clients commit.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type NodeProcess, ProcessCluster, until } from "../support/processes.ts";
import { Workload } from "./workload.ts";

const CLIENTS = 4;
/** Milliseconds for which no client may commit: a new primary takes one, on a machine that is free. */
const LONGEST_PAUSE = 5_000;

/** The processes of a cluster by the addresses they listen to. */
function byAddress(cluster: ProcessCluster): Map<string, NodeProcess> {
  const addresses = [
    ...cluster.masterAddresses,
    ...cluster.storageAddresses,
    cluster.adminAddress,
  ];
  return new Map(addresses.map(({ host, port }, index) => {
    const process = cluster.processes[index];
    assert(process !== undefined);
    return [`${host}:${port}`, process];
  }));
}

/** Watches the longest time between two commits. */
function watchPauses(workload: Workload): { longest: number; stop(): void } {
  let seen = workload.acknowledged;
  let since = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    pauses.longest = Math.max(pauses.longest, now - since);
    if (workload.acknowledged === seen) return;
    seen = workload.acknowledged;
    since = now;
  }, 50);
  const pauses = { longest: 0, stop: () => clearInterval(timer) };
  return pauses;
}

Deno.test("neoctl rolling-restart guides a restart that clients do not notice", async () => {
  const folder = await Deno.makeTempDir();
  const databases = ["1", "2"].map((name) => (
    { adapter: "SQLite", database: `${folder}/${name}.sqlite` }
  ));
  await using cluster = new ProcessCluster({ partitions: 4, replicas: 1, masters: 2, databases })
    .start();
  try {
    await using workload = await Workload.open(cluster.uri, CLIENTS);
    workload.start();
    await until("clients commit", () => workload.acknowledged > CLIENTS);
    const pauses = watchPauses(workload);
    try {
      const processes = byAddress(cluster);
      const done: string[] = [];
      const order: string[] = [];
      for (;;) {
        let address: string | undefined;
        let answer = "";
        await until(`a node may be restarted after ${order}`, async () => {
          const check = ["--json", "rolling-restart", "--check", ...done];
          const { code, stdout } = await cluster.neoctl(...check);
          answer = stdout;
          if (code !== 0) return false;
          address = JSON.parse(stdout).next?.address;
          return true;
        });
        if (address === undefined) break;
        const process = processes.get(address);
        assert(process !== undefined && !done.includes(address), answer);
        const primary = process === cluster.admin ? null : await cluster.primary();
        order.push(process === primary ? "primary" : process.name.replace(/ \d/, ""));
        const before = workload.acknowledged;
        assert.equal((await process.kill("SIGTERM"))?.code, 0, process.output);
        process.start();
        done.push(address);
        await until(
          `clients commit after a restart of ${process.name}`,
          () => workload.acknowledged >= before + 2 * CLIENTS,
        );
      }
      assert.deepEqual(order, ["storage", "storage", "master", "primary", "admin"]);
    } finally {
      pauses.stop();
    }
    await workload.stop();
    await workload.check(cluster.uri);
    assert(pauses.longest < LONGEST_PAUSE, `nobody could commit for ${pauses.longest} ms`);
    await cluster.stop();
  } catch (error) {
    console.error(cluster.output());
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
